"""Estimates with standard errors, and what samples are compared by."""
