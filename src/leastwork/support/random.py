"""Random numbers keyed by (seed, purpose, block of samples), one stream a block, one draw a step.

Samples come in fixed blocks of ``BLOCK``; block j owns one stream, from which the prior and then the noise of every
step are drawn in order, always for the whole block. So sample i sees the same noise at step k whatever the batch
size, and a batch can be drawn again alone. Torch's CPU generator is seeded by the low 32 bits of its key only, so
these are a bijection of the block number: two blocks of a run never share a stream.
"""

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


def generator(seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for one purpose of a run; the global one is never touched."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, purpose))
