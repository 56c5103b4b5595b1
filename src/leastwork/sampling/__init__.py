"""Sampling, with or without guidance, and the ledger of its cost."""
