"""States and their spaces."""
