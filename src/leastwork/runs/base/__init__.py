"""Parts that all kinds of run share."""
