"""Estimates with standard errors, and measures that compare samples."""
