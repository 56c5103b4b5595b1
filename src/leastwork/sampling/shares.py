"""A static share of the blocks of an ensemble, so that several processes draw it without a coordinator.

block b belongs to share k of N        if b mod N = k − 1
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from leastwork.errors import ConfigError

__all__ = ["WHOLE", "Share"]


@dataclass(frozen=True)
class Share:
    """The k-th of N shares, counted from 1.

    Args:
        k: number of the share.
        of: number of shares.

    Raises:
        ConfigError: there is no such share.
    """

    k: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.of:
            raise ConfigError(
                f"share {self.k}/{self.of} does not exist: the shares are 1/{self.of} to {self.of}/{self.of}"
            )

    @classmethod
    def parse(cls, text: str) -> "Share":
        """The share that is written ``k/N``.

        Raises:
            ConfigError: no share is written like that.

        >>> Share.parse("2/4").of_blocks(range(0, 96, 16))
        [16, 80]
        """
        found = re.fullmatch(r"(\d{1,9})/([1-9]\d{0,8})", text)
        if found is None:
            raise ConfigError(f"share {text!r} is not of the form k/N, such as 2/4 for the second of four")
        return cls(int(found[1]), int(found[2]))

    @property
    def is_whole(self) -> bool:
        """Whether it is all there is."""
        return self.of == 1

    def of_blocks(self, starts: Sequence[int]) -> list[int]:
        """The first samples of its blocks, out of those of all blocks."""
        return list(starts[self.k - 1 :: self.of])

    def __str__(self) -> str:
        return f"{self.k}/{self.of}"


WHOLE = Share(1, 1)
"""All blocks, drawn by one process."""
