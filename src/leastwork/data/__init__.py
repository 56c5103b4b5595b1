"""Measured averages, the maximum-entropy target that they ask for, and how far they are trusted."""
