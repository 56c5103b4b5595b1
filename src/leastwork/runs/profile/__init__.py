"""Runs that compute a free-energy profile along a coordinate."""
