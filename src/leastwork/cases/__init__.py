"""Bundled systems with known truth, each with its runs and data."""
