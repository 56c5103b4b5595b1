"""Bundled systems whose truth is known, each with its runs and data."""
