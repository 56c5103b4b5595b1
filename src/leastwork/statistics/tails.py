"""The tail index k of positive numbers: the shape of the generalised Pareto distribution of the largest of them

    P(v > u + y | v > u) ≈ (1 + k y / s)^(−1/k)

Averages of numbers with k < ½ have an error that falls as 1/√n; with ½ < k < 1 it falls more slowly and is not told by
the samples; with k > 1 there is no average, and the largest sample makes what is computed. Above 0.7 an average is not
to be trusted (Vehtari et al., J. Mach. Learn. Res. 25, 72, 2024). k is estimated as by Zhang & Stephens (Technometrics
51, 316, 2009), of the 3√n largest, with a weak prior at ½.
"""

import math

import torch
from torch import Tensor

__all__ = ["NOT_TO_TRUST", "tail_index"]

NOT_TO_TRUST = 0.7
"""Tail index above which an average is not to be trusted."""

_FEWEST = 25  # samples for which there is a tail
_PRIOR = 10  # samples that the prior at ½ is worth


def tail_index(values: Tensor) -> float:
    """k of the largest of n numbers, 0 or more; NaN where there are too few or the largest are all alike.

    Args:
        values: weights, or sizes of weighted observables, (n,).

    >>> u = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    >>> round(tail_index(u**-0.9), 1), round(tail_index(u**-0.3), 1), tail_index(torch.ones(100))
    (0.9, 0.3, nan)
    """
    n = len(values)
    if n < _FEWEST:
        return math.nan
    many = math.ceil(min(0.2 * n, 3 * math.sqrt(n)))
    largest = values.to(torch.float64).sort().values[-many - 1 :]
    x = largest[1:] - largest[0]
    quarter = float(x[max(int(many / 4 + 0.5) - 1, 0)])
    if not (quarter > 0 and math.isfinite(float(x[-1]))):
        return math.nan
    count = 30 + int(math.sqrt(many))
    j = torch.arange(1, count + 1, dtype=torch.float64)
    b = 1 / x[-1] + (1 - (count / (j - 0.5)).sqrt()) / (3 * quarter)
    k = torch.log1p(-b[:, None] * x).mean(dim=1)
    likelihood = many * ((-b / k).log() - k - 1)
    weight = (likelihood - likelihood.logsumexp(dim=0)).exp()
    best = float((b * weight).sum())
    found = float(torch.log1p(-best * x).mean())
    return (many * found + _PRIOR * 0.5) / (many + _PRIOR)
