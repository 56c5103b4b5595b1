"""Runs from files: what the command line carries out."""
