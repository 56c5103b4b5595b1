"""Windows placed by overlap: the next one stands where samples are fewest, among the places that samples reach.

    c(m) = Σ_i ESS_i Σ_n exp(−½ |(ξ_n − m)/w|²)          n_eff(m) = (Σ ω)²/Σ ω²,   ω = dP/dQ · e^{r_m} in one part

c(m) counts the effective samples around a middle m; for a window at m itself it is n/2^{D/2}, and at a distance of 1.3
widths two thirds of that. Every place of the range gets as many, so that neighbouring windows overlap by construction,
and where the model has many samples there are no windows. n_eff(m) counts the samples of one part from which the
guidance of a window at m can be learned.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.free_energy.guided import Drawn
from leastwork.free_energy.windows import Window, balanced

__all__ = ["Place", "next_place"]

_NEIGHBOUR = 1.3  # distance of neighbours in widths, at which c is just enough
ENOUGH = 60.0
"""Effective samples from which the guidance of a window is learned."""
FEWEST = 15.0
"""Effective samples below which a window is out of reach."""


@dataclass(frozen=True)
class Place:
    """The next window, the part from whose samples it can be learned, and how many effective ones that part has."""

    window: Window
    parent: int
    effective: float
    count: float


def least_count(n: int, dimensions: int) -> float:
    """Effective samples that are wanted around every place, if windows have n samples."""
    return n * 2 ** (-dimensions / 2) * math.exp(-(_NEIGHBOUR**2) / 4)


def next_place(
    parts: Sequence[Drawn], shares: Sequence[float], log_weight: Sequence[Tensor], middles: Tensor, width: Tensor,
    n: int, highest: float = math.inf,
) -> tuple[Place | None, Tensor]:  # fmt: skip
    """The window that is wanted most, if any can be reached, and all places where samples are wanting, (M, D).

    Args:
        parts: all samples so far.
        shares: ESS of each part.
        log_weight: their log-weights under the model, jointly.
        middles: where windows may stand, (C, D).
        width: w, (D,).
        n: number of samples of a window.
        highest: free energy above the lowest beyond which no window is wanted, k_BT.
    """
    seen, log_v = torch.cat([part.seen for part in parts]), torch.cat(list(log_weight))
    kept = torch.cat([torch.full((len(part.seen),), share) for part, share in zip(parts, shares, strict=True)]).double()
    counts, masses = [], []
    for some in middles.split(max(1, 2**22 // len(seen))):
        near = -0.5 * ((seen[None] - some[:, None]) / width).square().sum(dim=2)
        counts.append(near.exp() @ kept)
        masses.append(torch.logsumexp(near + log_v, dim=1))
    count, mass = torch.cat(counts), torch.cat(masses)
    few = count < least_count(n, len(width))
    wanted = (few & (mass > mass.max() - highest)).nonzero()[:, 0]
    if not len(wanted):
        return None, middles[:0]
    slopes = balanced(seen, log_v, middles[wanted], width)
    places: list[Place] = []
    for index, slope in zip(wanted.tolist(), slopes, strict=True):
        window = Window(tuple(middles[index].tolist()), tuple(width.tolist()), tuple(slope.tolist()))
        reach = [part.effective(window.log_tilt(part.seen)) for part in parts]
        best = max(range(len(parts)), key=reach.__getitem__)
        places.append(Place(window, best, reach[best], float(count[index])))
    good = [place for place in places if place.effective >= ENOUGH]
    if good:
        return min(good, key=lambda place: place.count), middles[wanted]
    far = max(places, key=lambda place: place.effective)
    return (far if far.effective >= FEWEST else None), middles[wanted]
