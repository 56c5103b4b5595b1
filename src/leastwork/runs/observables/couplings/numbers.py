"""The metrics of couplings, as the report reads them from ``metrics.json``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from leastwork.runs.base.numbers import PLACE, Number
from leastwork.runs.base.typed import REST, read_as

__all__ = ["Agreement", "CouplingNumbers", "Reported", "TrustNumbers", "coupling_numbers"]


@dataclass(frozen=True)
class TrustNumbers:
    """θ, and where it was chosen by cross-validation, χ² per datum at each θ that was tried.

    Args:
        theta: θ of the run.
        left_out: what was left out at a time, "types" or "residues"; None where θ was given, and then there is no more.
        chosen: index of θ among ``thetas``.
        thetas: those that were tried.
        groups: what was left out in turn.
        held_out, held_out_stderr, by_group: χ² of data that were left out, over all groups and in each.
        fitted, model: χ² of data that are fitted all at once, and of the model as it is.
        kl, ess: divergence from the model and effective fraction at each θ.
    """

    theta: float
    left_out: str | None
    chosen: int = 0
    thetas: tuple[float, ...] = ()
    groups: tuple[str, ...] = ()
    held_out: tuple[float, ...] = ()
    held_out_stderr: tuple[float, ...] = ()
    by_group: tuple[tuple[float, ...], ...] = ()
    fitted: tuple[float, ...] = ()
    model: float | None = None
    kl: tuple[float, ...] = ()
    ess: tuple[float, ...] = ()


@dataclass(frozen=True)
class Agreement:
    """χ² per datum of one type of coupling, or of several together, where ``held_out`` may be None."""

    type: str
    data: int
    held_out: bool | None
    model: Number
    reweighted: Number
    guided: Number | None
    change: Number

    @property
    def after(self) -> Number:
        """χ² of guided samples, or of reweighted ones where nothing was guided."""
        return self.reweighted if self.guided is None else self.guided


@dataclass(frozen=True)
class ReweightingNumbers:
    """Effective samples of reweighting, and whether that is enough by the criterion."""

    effective: float
    enough: bool
    criterion: int


@dataclass(frozen=True)
class Difference:
    """The largest difference of guided from reweighted averages."""

    name: str
    difference: float
    standard_errors: float


@dataclass(frozen=True)
class Reported:
    """Averages of an observable that has no data."""

    name: str
    unit: str
    model: Number | None
    reweighted: Number | None
    guided: Number | None


@dataclass(frozen=True)
class CouplingNumbers:
    """All that couplings add to the quality of a run; ``besides`` is what others add."""

    trust: TrustNumbers
    chi_squared: tuple[Agreement, ...]
    reweighting: ReweightingNumbers
    guided_against_reweighted: Difference | None
    reported: tuple[Reported, ...] = ()
    besides: Mapping[str, Any] = field(default_factory=dict, metadata=REST)


def coupling_numbers(besides: Mapping[str, Any]) -> CouplingNumbers:
    """What couplings add, from what the quality of a run holds besides its own numbers.

    Raises:
        ConfigError: it is of another version.
    """
    return read_as(CouplingNumbers, besides, f"{PLACE}, quality")
