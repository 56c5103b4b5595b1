"""A guidance is an extra score h(x, t, denoised), and guidances add up: h = h₁ + h₂.

A guidance that can be saved is taken apart into named parts, from which it is made again on loading; :func:`register`
gives its class a name in files.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol, Self, TypeAlias, TypeVar, runtime_checkable

from leastwork.errors import LeastworkError
from leastwork.geometry.state import State, smap
from leastwork.observables import Observable
from leastwork.support.arguments import refused

__all__ = ["Composable", "Find", "Guidance", "Parts", "Savable", "Scaled", "Sum", "as_guidance", "kinds", "register"]

Parts: TypeAlias = Mapping[str, Any]
"""Named JSON values, tensors and guidances, and lists and mappings of these."""

Find: TypeAlias = Callable[[Sequence[str]], Observable]
"""Function from names to the observable with these names. The user passes it on loading, as functions have no file."""


@runtime_checkable
class Guidance(Protocol):
    """Anything that returns an extra score.

    ``through_network`` is True if h differentiates ``denoised`` with respect to ``x`` and needs that graph; if it is
    False, no graph is kept.
    """

    @property
    def through_network(self) -> bool: ...

    def __call__(self, x: State, t: float, denoised: State) -> State:
        """h(x, t), network units, in the structure of x (B, *event); ``denoised`` is D(x, t), or x − t u for a flow."""
        ...


def as_guidance(value: object) -> Guidance:
    """The guidance that an argument is.

    Raises:
        LeastworkError: it is none.
    """
    if not isinstance(value, Guidance):
        raise refused(
            "guidance", value, "give a guidance, as run.guidance of a run, or an object that is called with x, t and "
            "denoised and has the attribute through_network"
        )  # fmt: skip
    return value


class Savable(Protocol):
    """A guidance that can be saved in a file."""

    def parts(self) -> Parts:
        """The named parts from which :meth:`from_parts` makes the same guidance again."""
        ...

    @classmethod
    def from_parts(cls, parts: Parts, find: Find) -> Self:
        """The guidance of these parts; ``find(names)`` gives the observable that it steers."""
        ...


_Class = TypeVar("_Class", bound=type[Savable])
_KINDS: dict[str, type[Savable]] = {}


def register(kind: str) -> Callable[[_Class], _Class]:
    """Decorate the class of a guidance to give it a file form.

    Args:
        kind: the name of the class in files.

    Raises:
        LeastworkError: another class has this name already.
    """

    def named(cls: _Class) -> _Class:
        known = _KINDS.get(kind)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise LeastworkError(f"guidance kind {kind!r} is {known.__qualname__} already: give yours another name")
        _KINDS[kind] = cls
        return cls

    return named


def kinds() -> Mapping[str, type[Savable]]:
    """The classes of guidance that can be saved, by their names in files."""
    return dict(_KINDS)


class Composable:
    """Base class that lets guidances be added and scaled: ``observable + 0.5 * path``."""

    def __add__(self: Guidance, other: Guidance) -> "Sum":
        return Sum((self, other))

    def __rmul__(self: Guidance, factor: float) -> "Scaled":
        return Scaled(self, factor)


@register("sum")
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

    def parts(self) -> Parts:
        return {"terms": self.terms}

    @classmethod
    def from_parts(cls, parts: Parts, find: Find) -> "Sum":
        return cls(tuple(parts["terms"]))


@register("scaled")
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

    def parts(self) -> Parts:
        return {"guidance": self.guidance, "factor": self.factor}

    @classmethod
    def from_parts(cls, parts: Parts, find: Find) -> "Scaled":
        return cls(**parts)
