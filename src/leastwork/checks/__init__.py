"""Checks by measurement of whether a model is what its declaration says, one topic per file."""
