"""Measured averages, the maximum-entropy target that meets them, and the choice of how far to trust them."""
