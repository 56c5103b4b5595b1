"""Scalar couplings as data."""
