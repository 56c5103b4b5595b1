"""Runs of Observable Guidance."""
