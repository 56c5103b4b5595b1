"""A run by every method."""
