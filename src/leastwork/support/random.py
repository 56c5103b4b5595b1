"""Seeds and generators for a purpose: two purposes of a run never share a stream of random numbers."""

import hashlib

import torch

__all__ = ["derive_seed", "generator"]


def derive_seed(seed: int, purpose: str) -> int:
    """A seed for one purpose of a run, unrelated to those of other purposes.

    >>> derive_seed(0, "fit") != derive_seed(0, "certificate")
    True
    """
    digest = hashlib.blake2b(f"{seed}:{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1  # 63 bits: torch takes signed seeds


def generator(seed: int, purpose: str) -> torch.Generator:
    """A generator for one purpose of a run; the global one is never touched."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose))
