"""The flat histogram: the tilt r(ξ) = F(ξ) = −ln p(ξ), under which all values of a coordinate are equally likely.

F is interpolated linearly between the centres of bins (Wang & Landau, Phys. Rev. Lett. 86, 2050, 2001, find such a tilt
by random walks; here it is that of a profile). Beyond the range r is what it is at its end, and above a ceiling it is
the ceiling, so that no work is spent on what is rarer.
"""

from dataclasses import dataclass

from torch import Tensor

__all__ = ["FlatTilt", "flat_tilt"]


@dataclass(frozen=True, eq=False)
class FlatTilt:
    """r(ξ) from a table.

    Args:
        edges: edges of equal bins, one tensor for each of one or two columns.
        values: r at the centres of the bins, nats, (B,) or (B₁, B₂).

    >>> import torch
    >>> edges = torch.linspace(0, 2, 3, dtype=torch.float64)
    >>> FlatTilt((edges,), torch.tensor([0.0, 1.0]).double()).log_tilt(torch.tensor([[0.5], [1.0], [9.0]]).double())
    tensor([0.0000, 0.5000, 1.0000], dtype=torch.float64)
    """

    edges: tuple[Tensor, ...]
    values: Tensor

    def log_tilt(self, seen: Tensor) -> Tensor:
        """r of coordinates (n, D), nats, (n,)."""
        places = []
        for column, edge in zip(seen.double().T, self.edges, strict=True):
            count = len(edge) - 1
            place = (column - edge[0]) / (edge[-1] - edge[0]) * count - 0.5
            places.append(place.clamp(0, count - 1))
        return _interpolated(self.values, places)


def _interpolated(values: Tensor, places: list[Tensor]) -> Tensor:
    """Values of a table between its entries, linear in each direction, (n,)."""
    first, *rest = places
    low = first.floor().long()
    high = (low + 1).clamp(max=len(values) - 1)
    share = first - low
    if not rest:
        return values[low] * (1 - share) + values[high] * share
    (second,) = rest
    left = second.floor().long()
    right = (left + 1).clamp(max=values.shape[1] - 1)
    across = second - left
    below = values[low, left] * (1 - across) + values[low, right] * across
    above = values[high, left] * (1 - across) + values[high, right] * across
    return below * (1 - share) + above * share


def flat_tilt(edges: tuple[Tensor, ...], energies: Tensor, ceiling: float) -> FlatTilt:
    """The tilt of a profile F, k_BT; what is not known, or higher above the lowest than the ceiling, is the ceiling."""
    lowest = energies[energies.isfinite()].min()
    return FlatTilt(edges, (energies - lowest).nan_to_num(nan=ceiling).clamp(max=ceiling))
