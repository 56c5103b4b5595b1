"""A guidance is an extra score h(x, t, denoised), and guidances add up: h = h₁ + h₂."""

from dataclasses import dataclass
from functools import reduce
from typing import Protocol, runtime_checkable

from leastwork.geometry.state import State, smap

__all__ = ["Composable", "Guidance", "Scaled", "Sum"]


@runtime_checkable
class Guidance(Protocol):
    """Anything that returns an extra score.

    ``through_network`` says that h differentiates ``denoised`` with respect to ``x`` and needs that graph; leave it
    False where it does not, and no graph is kept.
    """

    @property
    def through_network(self) -> bool: ...

    def __call__(self, x: State, t: float, denoised: State) -> State:
        """h(x, t), network units, same structure as x (B, *event); denoised: D(x, t), or a flow's straight-line end."""
        ...


class Composable:
    """Gives a guidance ``+`` and a factor in front of it: ``observable + 0.5 * path``."""

    def __add__(self: Guidance, other: Guidance) -> "Sum":
        return Sum((self, other))

    def __rmul__(self: Guidance, factor: float) -> "Scaled":
        return Scaled(self, factor)


@dataclass(frozen=True)
class Sum(Composable):
    """h = Σ h_j, all evaluated at the same (x, t)."""

    terms: tuple[Guidance, ...]

    @property
    def through_network(self) -> bool:
        return any(term.through_network for term in self.terms)

    def __call__(self, x: State, t: float, denoised: State) -> State:
        return reduce(lambda a, b: smap(lambda u, v: u + v, a, b), (term(x, t, denoised) for term in self.terms))

    def __add__(self, other: Guidance) -> "Sum":
        return Sum((*self.terms, other))


@dataclass(frozen=True)
class Scaled(Composable):
    """h = ε h₀."""

    guidance: Guidance
    factor: float

    @property
    def through_network(self) -> bool:
        return self.guidance.through_network

    def __call__(self, x: State, t: float, denoised: State) -> State:
        return smap(lambda leaf: self.factor * leaf, self.guidance(x, t, denoised))
