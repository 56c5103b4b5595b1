"""Finding the parameters of a guidance."""
