"""Error messages for data that no reweighting of the samples reaches."""

import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from operator import mul
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from leastwork.errors import InfeasibleError

__all__ = ["MAX_STEPS", "Array", "Words"]

Array: TypeAlias = NDArray[np.float64]

_ERRORS = 3.0  # standard errors of a datum that do not make it doubtful
_OTHER_UNITS = (
    (0.1, "a unit ten times another"),
    (10.0, "a unit ten times another"),
    (0.01, "percent instead of a fraction"),
    (100.0, "a fraction instead of percent"),
    (1e-3, "a unit a thousand times another"),
    (1e3, "a unit a thousand times another"),
    (math.pi / 180, "degrees instead of radians"),
    (180 / math.pi, "radians instead of degrees"),
    (-1.0, "the opposite sign"),
)  # factors by which data are often off, with their reasons
_OF_ENERGY = ((4.184, "kcal instead of kJ"), (1 / 4.184, "kJ instead of kcal"))
_CIRCULAR = re.compile(r"(cos|sin)(?:ine|us)?(?![a-z])", re.IGNORECASE)  # at the beginning of a name
_LENGTH = re.compile(r"(?:nm|Å|A|pm|angstroms?|ångströms?)(?:\^?[-−]?(\d{1,2}))?", re.IGNORECASE)
_FAR = 1.5  # times as large as what the samples reach
MAX_STEPS = 100
"""Largest number of Newton steps of the dual."""


class Words:
    """Names, units and intervals of the data, and the ranges that the samples reach, (K,), for error messages."""

    def __init__(
        self,
        names: list[str],
        units: Sequence[str],
        lower: Array,
        upper: Array,
        values: Array,
        fitted: NDArray[np.int64],
        rounding: Array,
    ) -> None:
        self.units = units
        self.names, self.lower, self.upper, self.fitted, self.n = names, lower, upper, fitted, len(values)
        self.least, self.most = values.min(axis=0)[fitted], values.max(axis=0)[fitted]
        size = np.maximum(np.abs(self.least), np.abs(self.most))
        self.constant = self.most - self.least <= rounding * size
        self.slack = np.where(self.constant, np.maximum(2 * rounding, 1e-9) * size, 0.0)

    def check_reach(self, exact: NDArray[np.bool_]) -> None:
        """Check that exact data lie strictly inside the range of the samples, or equal it if it is one number."""
        for k in np.flatnonzero(self.outside & exact).tolist():
            raise InfeasibleError(
                f"the {self.n} samples reach [{self.least[k]:.6g}, {self.most[k]:.6g}] in {self.names[k]!r}, so no "
                f"weighting of them gives {self._datum(k)}{self._meant(k)}: check its unit, draw more samples, guide "
                "in stages or give it an error"
            )

    @property
    def outside(self) -> NDArray[np.bool_]:
        """Data that no weighting of the samples meets; a constant meets its datum to the precision of the samples."""
        high, low = self.upper - self.least, self.lower - self.most
        return np.where(self.constant, (high < -self.slack) | (low > self.slack), (high <= 0) | (low >= 0))

    def far_off(self, deviation: Array, error: Array) -> str:
        """Names the data that lie outside of what the samples reach, with the unit that may be meant, or nothing.

        Args:
            deviation: standard deviations of the observables under the model.
            error: standard errors of the data.
        """
        beyond = np.maximum(self.least - self.upper, self.lower - self.most)
        far = np.flatnonzero(self.outside & (beyond > deviation + _ERRORS * error))
        return "; ".join(map(self._far, far[:5].tolist()))

    def idle(self) -> str:
        """Names bounds that no sample comes near, if most would lie amid the samples in another unit, or nothing.

        Bounds of one unit and side are doubted together: one that acts speaks for their unit.
        """
        bound = np.isfinite(self.lower) != np.isfinite(self.upper)
        upper = np.isfinite(self.upper)
        told = []
        for unit, is_upper in dict.fromkeys(zip(self.units, upper.tolist(), strict=True)):
            of = [k for k in np.flatnonzero(bound & (upper == is_upper)).tolist() if self.units[k] == unit]
            ends, edges = (self.upper, self.most) if is_upper else (self.least, self.lower)
            if of and all(0 < _FAR * edges[k] < ends[k] for k in of):
                told.append(self._in_another_unit(of, self.upper if is_upper else self.lower))
        return "; ".join(filter(None, told))

    def _in_another_unit(self, of: Sequence[int], bounds: Array) -> str:
        every = {k: self._of_an_angle(k, bounds[k]) or _factors(self.units[k]) for k in of}
        for number in range(len(every[of[0]])):
            readings = {k: found[number : number + 1] for k, found in every.items()}
            amid = [k for k in of if any(self.least[k] < read(bounds[k]) < self.most[k] for read, _ in readings[k])]
            if 2 * len(amid) > len(of):
                k = amid[0]
                read, said = readings[k][0]
                more = f" and {len(of) - 1} more" if len(of) > 1 else ""
                return (
                    f"{self.names[k]!r}{more}, whose bound {bounds[k]:.4g} lies far outside of [{self.least[k]:.4g}, "
                    f"{self.most[k]:.4g}], which the samples reach, while {read(bounds[k]):.4g}, as of {said}, "
                    "would lie there"
                )
        return ""

    def _of_an_angle(self, k: int, datum: float) -> "list[_Reading]":
        """What a datum is as an angle, the likelier unit first, if the observable is a cosine or a sine by its name."""
        found = _CIRCULAR.match(self.names[k])
        if not found or self.units[k] or max(abs(self.least[k]), abs(self.most[k])) > 1 + 1e-6:
            return []
        function, said = (math.cos, "cosine") if found[1].lower() == "cos" else (math.sin, "sine")
        if abs(datum) <= 1:
            return _multiples([(-1.0, "the opposite sign")])
        of_degrees = (lambda angle: function(math.radians(angle)), f"the {said} of an angle in degrees")
        of_radians = (function, f"the {said} of an angle in radians")
        return [of_radians, of_degrees] if abs(datum) <= 2 * math.pi else [of_degrees, of_radians]

    def _meant(self, k: int) -> str:
        """What the datum would be in another unit in which the samples reach it, or nothing."""
        datum = self.lower[k] if self.lower[k] > self.most[k] else self.upper[k]
        known = (*_OF_ENERGY, *_OTHER_UNITS) if re.search("J|cal", self.units[k]) else _OTHER_UNITS
        readings = self._of_an_angle(k, datum) or _multiples(known)
        inside = ((read(datum), said) for read, said in readings if self.least[k] <= read(datum) <= self.most[k])
        value, unit = next(inside, (0.0, ""))
        return f", and {value:.4g}, as of {unit}, would lie there" if unit else ""

    def _far(self, k: int) -> str:
        datum = self.lower[k] if self.lower[k] > self.most[k] else self.upper[k]
        if self.constant[k]:
            return (
                f"{self.names[k]!r} is {datum:.6g}, where all {self.n} samples have {self.least[k]:.6g}, which no "
                "weights change: check it, or draw more samples"
            )
        return (
            f"{self.names[k]!r} is {datum:.6g}, where the samples reach [{self.least[k]:.4g}, {self.most[k]:.4g}]"
            f"{self._meant(k)}: check its unit"
        )

    def out_of_reach(self, direction: Array) -> InfeasibleError:
        """Error for data that are infeasible only together; names those with the largest share in the direction."""
        return InfeasibleError(
            f"no weighting of the {self.n} samples meets these data together: {self._largest(direction)}: draw more "
            "samples, guide in stages or give the data errors"
        )

    def at_the_edge(self, direction: Array) -> InfeasibleError:
        return InfeasibleError(
            f"λ did not converge in {MAX_STEPS} Newton steps, for these data lie at the edge of what the {self.n} "
            f"samples reach: {self._largest(direction)}: draw more samples, guide in stages or give the data errors"
        )

    def contradictory(self, direction: Array, centre: Array, scale: Array) -> InfeasibleError:
        """Error for contradictory values: a combination of the observables is the same in every sample."""
        raw = direction / scale
        raw = raw / np.abs(raw).max()
        terms = [f"{raw[k]:+.4g} {self.names[k]!r}" for k in self._share(direction)]
        given = float(raw @ np.where(np.isfinite(self.lower), self.lower, 0.0))
        return InfeasibleError(
            f"the values contradict each other: {' '.join(terms)} is {float(raw @ centre):.6g} in every sample but "
            f"{given:.6g} by the data: correct a value, leave one out or give the data errors"
        )

    def _datum(self, k: int) -> str:
        if self.lower[k] == self.upper[k]:
            return f"its value {self.lower[k]:.6g}"
        if self.upper[k] <= self.least[k]:
            return f"its upper bound {self.upper[k]:.6g}"
        return f"its lower bound {self.lower[k]:.6g}"

    def _share(self, direction: Array) -> list[int]:
        """The data with the largest shares in a direction, at most five."""
        size = np.abs(direction)
        return [int(k) for k in np.argsort(-size, kind="stable")[:5] if size[k] >= 0.1 * size.max()]

    def _largest(self, direction: Array) -> str:
        parts = []
        for k in self._share(direction):
            end = self.upper[k] if direction[k] > 0 else self.lower[k]
            sign = "=" if self.lower[k] == self.upper[k] else "<=" if direction[k] > 0 else ">="
            parts.append(
                f"{self.names[k]!r} {sign} {end:.6g} (samples reach [{self.least[k]:.6g}, {self.most[k]:.6g}])"
            )
        return ", ".join(parts)


_Reading: TypeAlias = tuple[Callable[[float], float], str]


def _multiples(factors: Sequence[tuple[float, str]]) -> list[_Reading]:
    return [(partial(mul, factor), said) for factor, said in factors]


def _factors(unit: str) -> list[_Reading]:
    """Readings of a unit that is taken for another: powers of ten for lengths, percent for pure numbers."""
    length = _LENGTH.fullmatch(unit)
    if length:
        ten = 10.0 ** int(length[1] or 1)
        return _multiples([(1 / ten, "a length ten times another"), (ten, "a length ten times another")])
    return [] if unit else _multiples([(0.01, "percent instead of a fraction")])
