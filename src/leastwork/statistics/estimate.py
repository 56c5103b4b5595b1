"""Estimates with standard errors, and error propagation through averages (the delta method).

For a smooth function θ(⟨a⟩, ⟨b⟩, …) of averages over n independent samples the influence of sample i is
ψ_i = Σ ∂θ/∂⟨a⟩ (a_i − ⟨a⟩), and stderr(θ)² = Σ ψ_i² / n² (van der Vaart, Asymptotic Statistics, ch. 3). Where
samples depend on one another within groups, and the groups do not, the mean of ψ over each group takes its place.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.support.html import html_table
from leastwork.support.numerals import plus_minus

__all__ = ["Estimate"]


@dataclass(frozen=True)
class Estimate:
    """A value and its standard error; scalars, or float64 tensors (K,) for several quantities.

    >>> Estimate(0.5, 0.01)
    0.5 ± 0.01
    """

    value: Any
    stderr: Any

    def __repr__(self) -> str:
        if isinstance(self.value, Tensor) and self.value.ndim:
            pairs = zip(self.value.tolist(), self.stderr.tolist(), strict=True)
            return "[" + ", ".join(f"{v:.4g} ± {e:.2g}" for v, e in pairs) + "]"
        return f"{float(self.value):.4g} ± {float(self.stderr):.2g}"

    def _repr_html_(self) -> str:
        if isinstance(self.value, Tensor) and self.value.ndim:
            pairs = zip(self.value.tolist(), self.stderr.tolist(), strict=True)
            return html_table("Estimate", [(i, plus_minus(v, e)) for i, (v, e) in enumerate(pairs)])
        return f"<span>{plus_minus(float(self.value), float(self.stderr))}</span>"

    @classmethod
    def from_influence(cls, value: Any, influence: Tensor, group: int = 1) -> "Estimate":
        """The estimate ``value`` with the standard error of its influence function ψ, (n,) or (n, K).

        Args:
            value: the estimate.
            influence: ψ of every sample, up to a constant.
            group: number of successive samples that depend on each other; different groups are independent. With a
                single group or a single sample the standard error is NaN.

        Raises:
            LeastworkError: the samples do not divide into groups of that size.

        >>> Estimate.from_influence(0.5, torch.tensor([0.0, 1.0, 0.0, 1.0]), group=2)
        0.5 ± 0
        """
        if group < 1 or influence.shape[0] % group:
            raise LeastworkError(
                f"{influence.shape[0]} samples do not divide into groups of {group}: pass whole groups"
            )
        means = influence.unflatten(0, (-1, group)).mean(dim=1) if group > 1 else influence
        n = means.shape[0]
        centred = means - means.mean(dim=0)
        stderr = (centred.square().sum(dim=0) / max(n - 1, 1) / n).sqrt()
        if n < 2:
            stderr = torch.full_like(stderr, math.nan)
        if stderr.ndim == 0:
            return cls(float(value), float(stderr))
        return cls(value, stderr)

    @classmethod
    def from_samples(cls, samples: Tensor, group: int = 1) -> "Estimate":
        """The mean of samples, (n,) or (n, K); ``group`` as in :meth:`from_influence`."""
        samples = samples.to(torch.float64)
        mean = samples.mean(dim=0)
        return cls.from_influence(mean, samples, group)

    @classmethod
    def from_log_weights(cls, samples: Tensor, log_weight: Tensor, group: int = 1) -> "Estimate":
        """The self-normalised weighted mean Σ w φ / Σ w.

        Args:
            samples: φ, (n,) or (n, K).
            log_weight: ln w, (n,) up to a constant.
            group: as in :meth:`from_influence`; the constant in ln w must be the same for all groups.
        """
        samples = samples.to(torch.float64)
        n = samples.shape[0]
        w = torch.softmax(log_weight.to(torch.float64), dim=0) * n  # weights of mean one
        w = w if samples.ndim == 1 else w[:, None]
        mean = (w * samples).mean(dim=0)
        return cls.from_influence(mean, w * (samples - mean), group)
