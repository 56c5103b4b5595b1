"""Errors of an ensemble against the reference simulation in quantities that were not fitted: Q, contacts, R_g, ends.

JS = ½ KL(p ‖ m) + ½ KL(q ‖ m), m = ½(p + q), of histograms of Q        RMS = √⟨(c_ij − c′_ij)²⟩ of contacts

Standard errors come from a jackknife over twenty blocks of successive frames of each ensemble, which includes the slow
fluctuations of a simulation (Quenouille, Biometrika 43, 353, 1956).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.cases import chignolin
from leastwork.observables import end_to_end, evaluate, radius_of_gyration, stack
from leastwork.statistics.discrepancy import histogram_divergence
from leastwork.statistics.estimate import Estimate

__all__ = ["Descriptors", "HeldOut", "describe", "held_out", "jensen_shannon", "removed"]

_BINS = 40
_BLOCKS = 20


@dataclass(frozen=True, eq=False)
class Descriptors:
    """Quantities that are compared: Q (n,), contacts (n, 14), R_g and end-to-end distance (n,), nm."""

    q: Tensor
    contacts: Tensor
    radius: Tensor
    ends: Tensor

    def at(self, index: Tensor) -> "Descriptors":
        return Descriptors(self.q[index], self.contacts[index], self.radius[index], self.ends[index])


@dataclass(frozen=True)
class HeldOut:
    """Errors against the reference.

    Args:
        js: Jensen–Shannon divergence of the histogram of Q, nats.
        contacts: root mean square error of the contact probabilities.
        radius: error of the mean radius of gyration, nm.
        ends: error of the mean end-to-end distance, nm.
    """

    js: Estimate
    contacts: Estimate
    radius: Estimate
    ends: Estimate


def describe(x: Tensor) -> Descriptors:
    """The descriptors of structures, (n, 10, 3), nm."""
    all_of = stack(chignolin.native(), radius_of_gyration(), end_to_end(), chignolin.contact_map())
    values = evaluate(all_of, x)
    return Descriptors(values[:, 0], values[:, 3:], values[:, 1], values[:, 2])


def held_out(found: Descriptors, truth: Descriptors, log_weight: Tensor | None = None) -> HeldOut:
    """Errors of an ensemble, optionally weighted by e^{log_weight}, (n,), with standard errors."""
    tilt = torch.zeros(len(found.q), dtype=torch.float64) if log_weight is None else log_weight.double()
    values = _errors(found, truth, tilt)
    variance = [0.0] * len(values)
    for without_found in (True, False):
        n = len(tilt) if without_found else len(truth.q)
        block = torch.arange(n) * _BLOCKS // n
        left: list[tuple[float, ...]] = []
        for b in range(_BLOCKS):
            rest = (block != b).nonzero()[:, 0]
            part = (found.at(rest), truth, tilt[rest]) if without_found else (found, truth.at(rest), tilt)
            left.append(_errors(*part))
        spread = torch.tensor(left, dtype=torch.float64).var(dim=0, correction=0) * (_BLOCKS - 1)
        variance = [v + s for v, s in zip(variance, spread.tolist(), strict=True)]
    return HeldOut(*(Estimate(value, math.sqrt(v)) for value, v in zip(values, variance, strict=True)))


def _errors(found: Descriptors, truth: Descriptors, log_weight: Tensor) -> tuple[float, ...]:
    w = log_weight.softmax(dim=0)
    return (
        jensen_shannon(found.q, truth.q, w),
        float((w @ found.contacts - truth.contacts.mean(dim=0)).square().mean().sqrt()),
        abs(float(w @ found.radius - truth.radius.mean())),
        abs(float(w @ found.ends - truth.ends.mean())),
    )


def removed(start: HeldOut, after: HeldOut, before: HeldOut, best: HeldOut) -> list[float]:
    """Reduction of the errors from ``start`` to ``after``, relative to the reduction from ``before`` to ``best``."""
    errors = zip(*(_values(each) for each in (start, after, before, best)), strict=True)
    return [(s - a) / (b - e) if b > e else math.nan for s, a, b, e in errors]


def _values(errors: HeldOut) -> tuple[float, ...]:
    return tuple(each.value for each in (errors.js, errors.contacts, errors.radius, errors.ends))


def jensen_shannon(x: Tensor, y: Tensor, weight: Tensor | None = None, bins: int = _BINS) -> float:
    """Jensen–Shannon divergence, nats, of histograms of fractions between 0 and 1.

    Args:
        x: (n,), with ``weight``, (n,), that sums to one.
        y: (m,).
        weight: by default equal weights.
        bins: number of bins.

    >>> round(jensen_shannon(torch.tensor([0.1]), torch.tensor([0.9])), 4)  # ln 2
    0.6931
    """
    place = (x.double() * bins).long().clamp(0, bins - 1)
    w = torch.full((len(x),), 1 / len(x), dtype=torch.float64) if weight is None else weight.double()
    p = torch.zeros(bins, dtype=torch.float64).index_add_(0, place, w)
    q = torch.bincount((y.double() * bins).long().clamp(0, bins - 1), minlength=bins).double() / len(y)
    return histogram_divergence(p, q)
