"""How far an ensemble is from the reference simulation, in what no measurement told: Q, contacts, size and ends.

JS = ½ KL(p ‖ m) + ½ KL(q ‖ m), m = ½(p + q), of histograms of Q        RMS = √⟨(c_ij − c′_ij)²⟩ of contacts
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.observables import end_to_end, evaluate, radius_of_gyration, stack
from leastwork.systems import chignolin

__all__ = ["Descriptors", "HeldOut", "describe", "held_out", "jensen_shannon"]

_BINS = 40


@dataclass(frozen=True, eq=False)
class Descriptors:
    """What is compared, of each structure: Q (n,), contacts (n, 14), R_g and end-to-end distance (n,), nm."""

    q: Tensor
    contacts: Tensor
    radius: Tensor
    ends: Tensor


@dataclass(frozen=True)
class HeldOut:
    """Errors against the reference.

    Args:
        js: of the histogram of Q, nats.
        contacts: root mean square error of the contact probabilities.
        radius: error of the mean radius of gyration, nm.
        ends: error of the mean end-to-end distance, nm.
    """

    js: float
    contacts: float
    radius: float
    ends: float


def describe(x: Tensor) -> Descriptors:
    """The descriptors of structures, (n, 10, 3), nm."""
    all_of = stack(chignolin.native(), radius_of_gyration(), end_to_end(), chignolin.contact_map())
    values = evaluate(all_of, x)
    return Descriptors(values[:, 0], values[:, 3:], values[:, 1], values[:, 2])


def held_out(found: Descriptors, truth: Descriptors, log_weight: Tensor | None = None) -> HeldOut:
    """Errors of an ensemble, weighted if need be by e^{log_weight}, (n,)."""
    n = len(found.q)
    w = torch.full((n,), 1 / n, dtype=torch.float64) if log_weight is None else log_weight.double().softmax(dim=0)
    return HeldOut(
        jensen_shannon(found.q, truth.q, w),
        float((w @ found.contacts - truth.contacts.mean(dim=0)).square().mean().sqrt()),
        abs(float(w @ found.radius - truth.radius.mean())),
        abs(float(w @ found.ends - truth.ends.mean())),
    )


def jensen_shannon(x: Tensor, y: Tensor, weight: Tensor | None = None, bins: int = _BINS) -> float:
    """Of histograms of fractions between 0 and 1, nats.

    Args:
        x: (n,), with ``weight``, (n,), that sums to one.
        y: (m,).
        weight: by default the same for all.
        bins: of the histograms.

    >>> round(jensen_shannon(torch.tensor([0.1]), torch.tensor([0.9])), 4)  # ln 2
    0.6931
    """
    place = (x.double() * bins).long().clamp(0, bins - 1)
    w = torch.full((len(x),), 1 / len(x), dtype=torch.float64) if weight is None else weight.double()
    p = torch.zeros(bins, dtype=torch.float64).index_add_(0, place, w)
    q = torch.bincount((y.double() * bins).long().clamp(0, bins - 1), minlength=bins).double() / len(y)
    m = 0.5 * (p + q)
    divergence = (torch.xlogy(part, part / m).nan_to_num(0.0).sum() for part in (p, q))
    return 0.5 * float(sum(divergence))
