"""Guides in another unit, of another hand or shape are named; good ones pass in silence."""

import math

import pytest
import torch
from torch import Tensor

from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.path_guidance.guides import check_guides


def helices(n: int, seed: int, noise: float = 0.04, spread: float = 1.0) -> Tensor:
    """Right-handed helices of 12 atoms with noise, nm."""
    random = torch.Generator().manual_seed(seed)
    angle = torch.arange(12) * math.radians(100)
    x = torch.stack([0.23 * angle.cos(), 0.23 * angle.sin(), spread * 0.15 * torch.arange(12)], dim=1)
    return x + noise * torch.randn(n, 12, 3, generator=random)


def test_good_guides_pass() -> None:
    check_guides(helices(6, 0), helices(50, 1))
    check_guides(helices(2, 0), helices(50, 1))
    check_guides(helices(6, 0, spread=1.5), helices(50, 1, noise=0.1))
    check_guides(0.02 * torch.randn(5, 2), torch.randn(100, 2))  # a small region is not a unit


@pytest.mark.parametrize(("factor", "remedy"), [(10.0, "0.1"), (0.1, "10")])
def test_wrong_unit_is_refused(factor: float, remedy: str) -> None:
    with pytest.raises(LeastworkError, match=f"nm and the other in Å, multiply the guiding points by {remedy}$"):
        check_guides(factor * helices(6, 0), helices(50, 1))


def test_odd_sizes_are_warned_of() -> None:
    with pytest.warns(LeastworkWarning, match="as far apart"):
        check_guides(4 * helices(6, 0), helices(50, 1))
    with pytest.warns(LeastworkWarning, match="as far from the samples' mean"):
        check_guides(torch.full((3, 2), 10.0), torch.randn(100, 2, generator=torch.Generator().manual_seed(0)))


def test_mirror_images_are_named() -> None:
    guides = helices(6, 0)
    guides[4] = -guides[4]
    with pytest.warns(LeastworkWarning, match="guiding point 4 fits far better as a mirror image"):
        check_guides(guides, helices(50, 1))
    both = torch.cat([helices(25, 1), -helices(25, 2)])  # a model of both hands: only the guides themselves can tell
    with pytest.warns(LeastworkWarning, match="guiding point 4 fits"):
        check_guides(guides, both)
    with pytest.warns(LeastworkWarning, match="guiding points 0, 1 fit far"):
        check_guides(-helices(2, 0), helices(50, 1))


def test_structures_without_a_hand_pass() -> None:
    flat = helices(6, 0) * torch.tensor([1.0, 0.0, 1.0])
    check_guides(flat * torch.tensor([1.0, 1.0, -1.0]), flat)
    random = torch.randn(80, 10, 3, generator=torch.Generator().manual_seed(0))
    check_guides(random[:20], random[20:])


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(LeastworkError, match=r"shape \(11, 3\) and the model's samples \(12, 3\)"):
        check_guides(helices(3, 0)[:, 1:], helices(5, 1))
    with pytest.raises(LeastworkError, match="no guiding points"):
        check_guides(helices(0, 0), helices(5, 1))
    with pytest.raises(LeastworkError, match="half of the atoms of the guiding points"):
        check_guides(torch.zeros(3, 12, 3), helices(5, 1))
    broken = helices(3, 0)
    broken[2, 0, 0] = math.inf
    with pytest.raises(LeastworkError, match="guiding point 2 is NaN or infinite"):
        check_guides(broken, helices(5, 1))
