"""Problems with exact answers."""
