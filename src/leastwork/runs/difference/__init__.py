"""Runs that compute the free-energy difference of two states."""
