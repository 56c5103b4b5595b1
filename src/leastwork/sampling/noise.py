"""Noise that depends on the seed and the index of a sample only, not on the batch size.

Samples come in fixed blocks of ``BLOCK``; block j owns one stream, from which the prior and then the noise of every
step are drawn in order, always for the whole block. So sample i sees the same noise at step k whatever the batch
size, and a batch can be drawn again alone. Torch's CPU generator is seeded by the low 32 bits of its key only, so
these are a bijection of the block number: two blocks of a run never share a stream.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from leastwork.geometry.state import EventShape, State, shapes
from leastwork.support.random import derive_seed

__all__ = ["BLOCK", "BlockNoise"]

BLOCK = 1024
_MASK = 0xFFFFFFFF


def _block_key(base: int, block: int) -> int:
    low = (base + block * 0x9E3779B1) & _MASK  # odd multiplier: a bijection of the block number
    low ^= low >> 16
    low = (low * 0x85EBCA6B) & _MASK
    low ^= low >> 13
    return (base & ~_MASK) | low


@dataclass(frozen=True)
class BlockNoise:
    """The noise of samples ``start`` to ``stop`` of a run.

    Args:
        seed: seed of the run.
        start, stop: range of sample indices.
        event_shape: shape of one sample, or of every leaf of one.
        dtype, device: dtype and device of the noise.
    """

    seed: int
    start: int
    stop: int
    event_shape: EventShape
    dtype: torch.dtype = torch.float32
    device: torch.device | str = "cpu"

    def __post_init__(self) -> None:
        base = derive_seed(self.seed, "noise")
        blocks = range(self.start // BLOCK, -(-self.stop // BLOCK))
        streams = [torch.Generator(device=self.device).manual_seed(_block_key(base, j)) for j in blocks]
        object.__setattr__(self, "_streams", streams)

    def __reduce__(self) -> tuple[Any, ...]:
        """Streams are at their beginning when the noise arrives in another process."""
        return BlockNoise, (self.seed, self.start, self.stop, self.event_shape, self.dtype, self.device)

    @property
    def blocks(self) -> int:
        """Number of blocks that the samples are in."""
        return -(-self.stop // BLOCK) - self.start // BLOCK

    def block(self, number: int) -> "BlockNoise":
        """The noise of the samples of one of these blocks, from the beginning of its stream."""
        first = (self.start // BLOCK + number) * BLOCK
        return replace(self, start=max(first, self.start), stop=min(first + BLOCK, self.stop))

    def draw(self) -> State:
        """The next standard normal noise of every sample, (stop − start, *event)."""
        drawn = tuple(self._draw(shape) for shape in shapes(self.event_shape))
        is_tuple = bool(self.event_shape) and isinstance(self.event_shape[0], tuple)
        return drawn if is_tuple else drawn[0]

    def _draw(self, shape: tuple[int, ...]) -> Tensor:
        streams: list[torch.Generator] = self._streams  # type: ignore[attr-defined]
        noise = torch.empty((len(streams) * BLOCK, *shape), dtype=self.dtype, device=self.device)
        for j, stream in enumerate(streams):
            noise[j * BLOCK : (j + 1) * BLOCK].normal_(generator=stream)
        first = self.start - self.start // BLOCK * BLOCK
        return noise[first : first + self.stop - self.start]
