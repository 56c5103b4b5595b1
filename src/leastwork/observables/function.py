"""Observables O: state (B, *event) -> (B, K), K functions of a state in data units.

Some methods need ∇ₓ O(x), so indicators are smoothed: 1[a < x < b] becomes σ((x − a)/w) σ((b − x)/w), with the logistic
function σ and the width w of an edge. Others take any function, also one of NumPy or of another program.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from leastwork.errors import ConfigError, LeastworkError, NonFiniteError
from leastwork.geometry.state import State, batch_size, leaves, smap, take, writes
from leastwork.support.text import plural

__all__ = ["Observable", "check_differentiable", "component", "evaluate", "smooth_interval", "stack"]

_count_samples = batch_size  # another name, since `batch_size` is an argument of evaluate


@dataclass(frozen=True)
class Observable:
    """K functions of a state, with their names and units.

    Args:
        fn: differentiable function of states (B, *event) in data units -> (B,) or (B, K), floating point.
        names: one name per column; for one column a string is enough.
        unit: the unit of all columns, or a tuple with one per column.
        differentiable: False for a black box: fn gets states on the CPU, and may return a NumPy array or any numbers.
            "least-work" of a model with a score and "reweight" take it; methods that differentiate it refuse it.

    >>> radius = Observable(lambda x: x.square().sum(dim=1).sqrt(), names="r", unit="nm")
    >>> radius(torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[5.],
            [1.]])
    >>> largest = Observable(lambda x: x.numpy().max(axis=1) > 2, names="large", differentiable=False)
    >>> largest(torch.tensor([[3.0, 4.0], [0.0, 1.0]])).tolist()
    [[1.0], [0.0]]
    """

    fn: Callable[[Any], Any]  # the state is a tensor or a tuple of tensors
    names: tuple[str, ...] = ("O",)
    unit: str | tuple[str, ...] = ""
    differentiable: bool = True

    def __post_init__(self) -> None:
        names = (self.names,) if isinstance(self.names, str) else tuple(self.names)
        if not callable(self.fn):
            raise ConfigError(f"fn must be a function of a state, not {type(self.fn).__name__}")
        if not names:
            raise ConfigError("an observable has no names: give one name per column of fn")
        for name in names:
            if not isinstance(name, str) or not name.strip():
                raise ConfigError(f"{name!r} cannot name an observable: give a string that is not empty")
            if names.count(name) > 1:
                raise ConfigError(f"the name {name!r} stands for {names.count(name)} columns: give each its own")
        unit = self.unit if isinstance(self.unit, str) else tuple(self.unit)
        if isinstance(unit, tuple) and len(unit) != len(names):
            raise ConfigError(
                f"{plural(len(unit), 'unit')} for {plural(len(names), 'name')}: give one for all or one each"
            )
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "unit", unit)

    @property
    def count(self) -> int:
        """Number of columns K."""
        return len(self.names)

    @property
    def units(self) -> tuple[str, ...]:
        """The unit of every column."""
        return (self.unit,) * self.count if isinstance(self.unit, str) else self.unit

    def __call__(self, x: State) -> Tensor:
        """The observables of every sample, (B, K); differentiable in x unless declared otherwise."""
        before = writes(x)
        values = self.fn(x) if self.differentiable else self._of_black_box(x)
        size = _count_samples(x)
        if writes(x) != before:
            raise LeastworkError(f"fn of {self.names} changes its samples in place: let it work on x = x.clone()")
        if not isinstance(values, Tensor):
            raise LeastworkError(
                f"fn of {self.names} returns a {type(values).__name__}: return a tensor, (B,) or (B, K)"
            )
        if values.ndim not in (1, 2) or values.shape[0] != size:
            raise LeastworkError(
                f"fn of {self.names} returns shape {tuple(values.shape)} for {plural(size, 'sample')}: "
                f"return ({size},) or ({size}, {self.count}), one row per sample"
            )
        if not values.is_floating_point():
            raise LeastworkError(
                f"fn of {self.names} returns {values.dtype}, which has no gradient: return floating point "
                "(smooth_interval is a differentiable indicator), or declare differentiable=False"
            )
        values = values[:, None] if values.ndim == 1 else values
        if values.shape[1] != self.count:
            columns, names = plural(values.shape[1], "column"), plural(self.count, "name")
            raise LeastworkError(f"fn returns {columns} for {names}: give one name per column")
        return values

    @torch.no_grad()
    def _of_black_box(self, x: State) -> Tensor:
        """What fn returns, in the precision of the state and on its device."""
        like = leaves(x)[0]
        values = self.fn(smap(lambda leaf: leaf.detach().cpu().clone(), x))  # it may write to it
        try:
            found = torch.as_tensor(values)
        except (TypeError, ValueError, RuntimeError) as error:
            raise LeastworkError(
                f"fn of {self.names} returns a {type(values).__name__} that is no array of numbers: return (B,) or "
                "(B, K) numbers"
            ) from error
        if found.is_complex():
            raise LeastworkError(f"fn of {self.names} returns complex numbers: return real ones")
        return found.to(like.device, torch.float64 if like.dtype == torch.float64 else torch.float32)


def check_differentiable(observable: Observable, method: str) -> None:
    """Refuse a black box for a method that differentiates observables.

    Args:
        observable: K functions of a state.
        method: the name of the method.

    Raises:
        LeastworkError: the observable is declared not to be differentiable.
    """
    if not observable.differentiable:
        raise LeastworkError(
            f"{method} differentiates the observables, and {', '.join(observable.names[:5])} are declared with "
            "differentiable=False: take method='reweight', or 'least-work' for a model with a score"
        )


@torch.no_grad()
def evaluate(observable: Observable, x: State, batch_size: int = 4096) -> Tensor:
    """The observables of many samples, float64 (n, K) on the CPU, batch by batch and without gradients.

    Args:
        observable: K functions of a state.
        x: state, (n, *event), in data units.
        batch_size: number of samples in one call of ``fn``.

    >>> evaluate(component(1), torch.tensor([[0.0, 1.0], [2.0, 3.0]])).tolist()
    [[1.0], [3.0]]
    """
    if batch_size < 1:
        raise LeastworkError(f"batch_size must be at least 1, not {batch_size}")
    n = _count_samples(x)
    if n == 0:
        raise LeastworkError(f"no samples to evaluate {observable.names} on: give at least one")
    parts = (
        smap(torch.clone, take(x, slice(i, i + batch_size))) for i in range(0, n, batch_size)
    )  # fn may write to it
    values = torch.cat([observable(part).to("cpu", torch.float64) for part in parts])
    finite = values.isfinite()
    if not finite.all():
        column = int((~finite).any(dim=0).nonzero()[0])
        bad = (~finite[:, column]).nonzero()[:, 0]
        raise NonFiniteError(
            f"observable {observable.names[column]!r} is NaN or infinite for {len(bad)} of {plural(n, 'sample')}, "
            f"the first at index {int(bad[0])}: look at that sample, or at fn there"
        )
    return values


def stack(*observables: Observable) -> Observable:
    """The columns of several observables side by side.

    >>> both = stack(component(0, "x", unit="nm"), component(1, "y"))
    >>> both.names, both.units
    (('x', 'y'), ('nm', ''))
    """
    names = tuple(name for observable in observables for name in observable.names)
    units = tuple(unit for observable in observables for unit in observable.units)
    return Observable(_Stack(observables), names, units, all(observable.differentiable for observable in observables))


def column(observable: Observable, name: str) -> Observable:
    """One column of an observable; the observable itself if it has no other.

    Raises:
        ConfigError: it has no column of this name.

    >>> column(stack(component(0, "x", unit="nm"), component(1, "y")), "y")(torch.tensor([[1.0, 2.0]]))
    tensor([[2.]])
    """
    if name not in observable.names:
        raise ConfigError(f"there is no observable {name!r}: known are {', '.join(observable.names[:5])}")
    k = observable.names.index(name)
    if observable.count == 1:
        return observable
    return Observable(_Column(observable, k), (name,), observable.units[k], observable.differentiable)


def component(index: int, name: str | None = None, unit: str = "") -> Observable:
    """One coordinate of the flattened event.

    >>> component(2)(torch.arange(8.0).reshape(2, 2, 2)).tolist()
    [[2.0], [6.0]]
    """
    return Observable(_Component(index), (f"x[{index}]" if name is None else name,), unit)


def smooth_interval(
    lower: float | None, upper: float | None, width: float, index: int = 0, name: str | None = None
) -> Observable:
    """A differentiable indicator of lower < x < upper for one coordinate; its mean is a population.

    Args:
        lower: left edge in data units, or None for no edge.
        upper: right edge in data units, or None for no edge.
        width: w of an edge, over which the indicator goes from 0.27 to 0.73, in data units.
        index: index of the coordinate.
        name: name of the observable; by default it describes the interval.

    >>> right = smooth_interval(0.0, None, width=0.01)
    >>> right(torch.tensor([[-1.0], [0.0], [1.0]])).tolist()
    [[0.0], [0.5], [1.0]]
    """
    return population(component(index), lower, upper, width, name)


def _check_interval(lower: float | None, upper: float | None, width: float) -> None:
    if lower is None and upper is None:
        raise ConfigError("the interval has no edge: give lower, upper or both")
    if lower is not None and upper is not None and not lower < upper:
        raise ConfigError(f"the interval is empty: lower = {lower} must be below upper = {upper}")
    if not width > 0:
        raise ConfigError(f"the width of an edge must be positive, not {width}")


def population(
    observable: Observable, lower: float | None, upper: float | None, width: float, name: str | None = None
) -> Observable:
    """A differentiable indicator of lower < O < upper for an observable of one column; its mean is a population.

    Args:
        observable: the observable O that tells the states apart, one column.
        lower: left edge in units of O, or None for no edge.
        upper: right edge in units of O, or None for no edge.
        width: w of an edge, over which the indicator goes from 0.27 to 0.73, in units of O.
        name: name of the population; by default it describes the interval.

    Raises:
        ConfigError: the observable has several columns, or the interval is empty.

    >>> compact = population(component(0, "R_g", "nm"), None, 1.0, width=0.01)
    >>> compact.names, compact(torch.tensor([[0.5], [1.5]])).round().tolist()
    (('R_g < 1',), [[1.0], [0.0]])
    """
    if observable.count != 1:
        raise ConfigError(f"a population is of one observable, and {', '.join(observable.names[:5])} are several")
    _check_interval(lower, upper, width)
    left, right = "" if lower is None else f"{lower:g} < ", "" if upper is None else f" < {upper:g}"
    names = (f"{left}{observable.names[0]}{right}" if name is None else name,)
    return Observable(_Interval(lower, upper, width, observable), names, "", observable.differentiable)


# Functions of a state are small values rather than closures: they compare, print and pickle.


@dataclass(frozen=True)
class _Stack:
    observables: tuple[Observable, ...]

    def __call__(self, x: State) -> Tensor:
        return torch.cat([observable(x) for observable in self.observables], dim=1)


@dataclass(frozen=True)
class _Column:
    observable: Observable
    number: int

    def __call__(self, x: State) -> Tensor:
        return self.observable(x)[:, self.number]


@dataclass(frozen=True)
class _Component:
    index: int

    def __call__(self, x: State) -> Tensor:
        flat = torch.cat([leaf.reshape(len(leaf), -1) for leaf in leaves(x)], dim=1)
        size = flat.shape[1]
        if not -size <= self.index < size:
            raise LeastworkError(f"the event has {plural(size, 'coordinate')}, so index {self.index} does not exist")
        return flat[:, self.index]


@dataclass(frozen=True)
class _Interval:
    lower: float | None
    upper: float | None
    width: float
    of: Observable

    def __call__(self, x: State) -> Tensor:
        value = self.of(x)[:, 0]
        inside = torch.ones_like(value)
        if self.lower is not None:
            inside = inside * torch.sigmoid((value - self.lower) / self.width)
        if self.upper is not None:
            inside = inside * torch.sigmoid((self.upper - value) / self.width)
        return inside
