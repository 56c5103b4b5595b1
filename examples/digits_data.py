"""The handwritten digits that scikit-learn ships (8 × 8 pixels, 1,797 images), and a share of them that is biased.

A model that learns from the biased share draws the digits 3 and 8 five times too rarely. How often each of the ten
classes should come is known: as often as among all images.
"""

from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits
from torch import Tensor

PIXELS = 64
CLASSES = 10
RARE = (3, 8)
KEPT = 5  # one in so many of the rare classes is left to the model
_HELD_OUT = 5  # one in so many, of every class


@dataclass(frozen=True)
class Digits:
    """Images (n, 64), pixels from 0 to 1, with their classes (n,)."""

    x: Tensor
    label: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def of(self, chosen: Tensor) -> "Digits":
        return Digits(self.x[chosen], self.label[chosen])

    @property
    def frequencies(self) -> Tensor:
        """Of the classes, float64 (10,)."""
        return torch.bincount(self.label, minlength=CLASSES).double() / len(self)


def digits() -> Digits:
    """All images."""
    x, label = load_digits(return_X_y=True)
    return Digits(torch.from_numpy(x).float() / 16, torch.from_numpy(label).long())


def split(seed: int = 0) -> tuple[Digits, Digits]:
    """Images to train with, and held-out ones: one in five of every class."""
    images = digits()
    place = _place(images.label, seed)
    return images.of(place % _HELD_OUT != 0), images.of(place % _HELD_OUT == 0)


def biased(images: Digits, seed: int = 0) -> Digits:
    """The images without four in five of the rare classes."""
    rare = torch.isin(images.label, torch.tensor(RARE))
    return images.of(~rare | (_place(images.label, seed) % KEPT == 0))


def _place(label: Tensor, seed: int) -> Tensor:
    """A random place for every image among those of its class, (n,)."""
    order = torch.randperm(len(label), generator=torch.Generator().manual_seed(seed))
    place = torch.empty_like(label)
    for k in range(CLASSES):
        some = order[label[order] == k]
        place[some] = torch.arange(len(some))
    return place
