"""The Prinz potential."""
