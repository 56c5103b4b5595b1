"""An estimate and its standard error, and how errors propagate through averages (the delta method).

For a smooth function θ(⟨a⟩, ⟨b⟩, …) of averages over n independent samples the influence of sample i is
ψ_i = Σ ∂θ/∂⟨a⟩ (a_i − ⟨a⟩), and stderr(θ)² = Σ ψ_i² / n² (van der Vaart, Asymptotic Statistics, ch. 3).
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

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

    @classmethod
    def from_influence(cls, value: Any, influence: Tensor) -> "Estimate":
        """The estimate ``value`` with the standard error of its influence function ψ, (n,) or (n, K)."""
        n = influence.shape[0]
        centred = influence - influence.mean(dim=0)
        stderr = (centred.square().sum(dim=0) / max(n - 1, 1) / n).sqrt()
        if n < 2:
            stderr = torch.full_like(stderr, math.nan)
        if stderr.ndim == 0:
            return cls(float(value), float(stderr))
        return cls(value, stderr)

    @classmethod
    def from_samples(cls, samples: Tensor) -> "Estimate":
        """The mean of independent samples, (n,) or (n, K)."""
        samples = samples.to(torch.float64)
        mean = samples.mean(dim=0)
        return cls.from_influence(mean, samples)

    @classmethod
    def from_log_weights(cls, samples: Tensor, log_weight: Tensor) -> "Estimate":
        """The self-normalised weighted mean Σ w φ / Σ w; φ (n,) or (n, K), ln w (n,) up to a constant."""
        samples = samples.to(torch.float64)
        n = samples.shape[0]
        w = torch.softmax(log_weight.to(torch.float64), dim=0) * n  # mean one
        w = w if samples.ndim == 1 else w[:, None]
        mean = (w * samples).mean(dim=0)
        return cls.from_influence(mean, w * (samples - mean))
