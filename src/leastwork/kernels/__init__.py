"""Distances between structures, densities of guides, and regions."""
