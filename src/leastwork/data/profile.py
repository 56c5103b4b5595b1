"""Unknowns of data at averages that are known: η that makes χ² of these data least (Gauss & Newton)

    min over η:  (y − f(m; η))ᵀ Σ⁻¹ (y − f(m; η))

Data that are held out have no part in a fit, so the unknowns that they alone depend on, such as the scale of a curve,
are found in this way afterwards: of what is held out, χ² judges what no such unknown can change.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from leastwork.data.indirect import Indirect
from leastwork.data.linear import inverse_covariance, slopes

__all__ = ["profiled", "unknowns_of"]

_STEPS = 30
_DONE = 1e-12  # squared step, in standard errors


def unknowns_of(data: Indirect, m: Tensor, rows: Tensor) -> tuple[list[int], Tensor]:
    """Numbers of the unknowns on which only some of the data depend, and bool (J,): the data that depend on them.

    Args:
        data: the J data.
        m: averages of the observables, (K,).
        rows: bool (J,), the data in question.
    """
    if not data.parameters:
        return [], torch.zeros_like(rows)
    depends = slopes(lambda eta: data.function(m, eta), data.start, len(data.names)) != 0
    which = (depends[rows].any(dim=0) & ~depends[~rows].any(dim=0)).nonzero()[:, 0].tolist()
    return which, rows & depends[:, which].any(dim=1)


def profiled(data: Indirect, m: Tensor, eta: Tensor, rows: Tensor, unknowns: Sequence[int]) -> tuple[Tensor, Tensor]:
    """η (P,) with some unknowns at their least χ² of some data, and standard errors (P,), zero for the others.

    Args:
        data: the J data.
        m: averages of the observables, (K,).
        eta: all unknowns, (P,).
        rows: bool (J,), the data whose χ² is made least; bounds take no part.
        unknowns: numbers of the unknowns that are found.
    """
    which = list(unknowns)
    errors = torch.zeros_like(eta)
    if not which:
        return eta, errors
    used = (rows & ~data.values.isnan()).nonzero()[:, 0]
    precision = inverse_covariance(data.covariance[used][:, used])
    if not bool(precision.any()):  # data without errors count alike
        precision = torch.eye(len(used), dtype=torch.float64)
    eta = eta.clone()
    told = precision
    for _ in range(_STEPS):
        slope = slopes(lambda all_: data.function(m, all_), eta, len(data.names))[used][:, which]
        told = slope.T @ precision @ slope
        pull = slope.T @ precision @ (data.values - data.evaluated(m, eta))[used]
        change = torch.linalg.lstsq(told, pull[:, None], driver="gelsd").solution[:, 0]
        eta[which] += change
        if float(change @ told @ change) < _DONE:
            break
    errors[which] = torch.linalg.pinv(told, hermitian=True).diagonal().clamp(min=0).sqrt()
    return eta, errors
