"""The tables of rotations that BioEmu builds at its first start, in seconds instead of tens of minutes.

    f(ω; σ) = Σ_l (2l + 1) e^{−l(l+1)σ²/2} sin((l + ½)ω)/sin(ω/2)        w(σ)² = Σ_j |∂_ω ln f|² p(ω_j)/3 Σ_j p(ω_j)

p(ω) = f (1 − cos ω)/π on the grid ω_j = π (j/n)³, summed without weights, as the package does: the networks were
trained with that w, which is 0.88/σ where 1/σ would be the root mean square of the score. The sines are computed once,
and each table is one product of matrices; the numbers are those of the package, to the last digit of float32.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["TABLE_SETTINGS", "write_tables"]

TABLE_SETTINGS: Mapping[str, Any] = {
    "eps_t": 1e-4, "num_sigma": 1000, "num_omega": 2000, "omega_exponent": 3, "l_max": 2000, "sigma_min": 0.02,
    "sigma_max": 1.65, "tol": 1e-7,
}  # fmt: skip
"""Settings on which the tables depend, with the package's defaults."""


def write_tables(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write three files with the names that the package expects.

    Args:
        folder: an existing folder.
        settings: settings of :data:`TABLE_SETTINGS` that differ from the defaults.
    """
    s = {**TABLE_SETTINGS, **settings}
    narrow = s["sigma_min"] * (s["sigma_max"] / s["sigma_min"]) ** torch.linspace(s["eps_t"], 1.0, s["num_sigma"])
    sigma, tol, exponent = narrow.double(), s["tol"], s["omega_exponent"]
    low, high, count = float(narrow.min()), float(narrow.max()), s["num_omega"]
    degree = torch.arange(s["l_max"] + 1, dtype=torch.float64)
    weight = (2 * degree + 1) * torch.exp(-degree * (degree + 1) * sigma[:, None] ** 2 / 2)
    span, grid = f"s{low:04.3f}-{high:04.3f}-{s['num_sigma']:d}", f"o{count:d}-{exponent:d}.npz"

    angle = _angles(count + 1, exponent)
    uniform = (1 - angle.cos()) / math.pi
    np.savez(
        folder / f"cache_igso3_{span}_l{s['l_max']:d}_{grid}",
        omega_grid=angle[1:].float().numpy(),
        cdf_igso3=_distribution(_density(angle, degree, weight, tol) * uniform, angle),
    )
    np.savez(
        folder / f"cache_uso3_{span}_{grid}",
        omega_grid=angle[1:].float().numpy(),
        cdf_igso3=_distribution(uniform[None], angle),
    )
    angle = _angles(count, exponent)
    density = _density(angle, degree, weight, tol)
    terms = degree[:, None] * ((degree[:, None] + 1) * angle).sin()
    terms -= (degree[:, None] + 1) * (degree[:, None] * angle).sin()
    slope = (weight @ terms) / (1 - angle.cos() + tol)
    slope = torch.where(angle <= tol, 0.0, slope) / (density + tol)
    p = (density * (1 - angle.cos()) / math.pi).abs()
    scaling = ((slope.square() * p).sum(dim=1) / (3 * p.sum(dim=1) + tol)).sqrt()
    np.savez(folder / f"cache_score-scaling_{span}_l{s['l_max'] + 1:d}_{grid}", score_scaling=scaling.float().numpy())


def _angles(count: int, exponent: int) -> Tensor:
    """From 0 to π, denser near 0; of single precision first, as there."""
    return torch.linspace(0.0, 1.0, count).double() ** exponent * math.pi


def _density(angle: Tensor, degree: Tensor, weight: Tensor, tol: float) -> Tensor:
    """f, (S, A)."""
    f = (weight @ ((degree[:, None] + 0.5) * angle).sin()) / ((0.5 * angle).sin() + tol)
    return torch.where(angle <= tol, (weight * (2 * degree + 1)).sum(dim=1, keepdim=True), f)


def _distribution(density: Tensor, angle: Tensor) -> np.ndarray:
    """The cumulative distribution at all angles but the first, float32."""
    cumulative = torch.cumulative_trapezoid(density, angle, dim=1)
    return (cumulative / cumulative[:, -1:]).float().numpy()
