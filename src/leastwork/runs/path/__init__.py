"""Runs of Path Guidance."""
