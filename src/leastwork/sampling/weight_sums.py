"""The effective fraction of many weights from the sums of their powers, so that no weight need be kept.

    ESS = m₁²/m₂        σ² = ESS² (4 (m₂ − m₁²)/m₁² − 4 (m₃ − m₁m₂)/(m₁m₂) + (m₄ − m₂²)/m₂²) / (n − 1)

with m_k = ⟨w^k⟩: Kish's fraction and its standard error by the delta method, as in
:func:`leastwork.sampling.work.kish_ess`.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from leastwork.statistics.estimate import Estimate

__all__ = ["ess_of_sums", "log_power_sums"]


def log_power_sums(log_weight: Tensor) -> tuple[float, ...]:
    """ln Σ w^k for k = 1…4.

    Args:
        log_weight: ln w, (n,).

    >>> log_power_sums(torch.zeros(1))
    (0.0, 0.0, 0.0, 0.0)
    """
    wide = log_weight.to(torch.float64)
    return tuple(float(torch.logsumexp(power * wide, dim=0)) for power in (1, 2, 3, 4))


def ess_of_sums(sums: Sequence[Sequence[float]], n: int) -> Estimate:
    """Kish's effective fraction of all weights, in (0, 1], with its standard error.

    Args:
        sums: of each part of the samples, from :func:`log_power_sums`.
        n: number of samples in all parts together.

    >>> log_weight = torch.tensor([0.0, 1.0, -1.0, 0.5])
    >>> ess_of_sums([log_power_sums(log_weight[:3]), log_power_sums(log_weight[3:])], 4)
    0.7313 ± 0.14
    >>> from leastwork.sampling.work import kish_ess
    >>> kish_ess(log_weight)
    0.7313 ± 0.14
    """
    whole = torch.logsumexp(torch.tensor(sums, dtype=torch.float64), dim=0) - math.log(n)
    second, third, fourth = (float(torch.exp(whole[k] - (k + 1) * whole[0])) for k in (1, 2, 3))  # in units of ⟨w⟩
    ess = 1 / second
    variance = 4 * (second - 1) - 4 * (third - second) / second + (fourth - second**2) / second**2
    return Estimate(ess, ess * math.sqrt(max(variance, 0.0) / (n - 1)) if n > 1 else math.nan)
