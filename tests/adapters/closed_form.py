"""A mixture of two Gaussians whose networks are known in closed form, for every package's own conventions."""

import torch
from torch import Tensor

import leastwork as lw
from leastwork.statistics.discrepancy import maximum_mean_discrepancy
from leastwork.systems.mixtures import GaussianMixture

MIXTURE = GaussianMixture([0.3, 0.7], [[-1.0, 0.5], [1.0, -0.2]], 0.4)
POSITION = lw.Observable(lambda x: x[:, 0], names=("x",))


def states(n: int = 64, seed: int = 0) -> Tensor:
    """Standard normal, float64 (n, 2)."""
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def own_velocity(x: Tensor, alpha: Tensor, sigma: Tensor, alpha_dot: Tensor, sigma_dot: Tensor) -> Tensor:
    """α̇D + σ̇ε of the mixture, in whatever direction the dots are taken."""
    denoised = MIXTURE.denoise(x, float(alpha), float(sigma))
    return alpha_dot * denoised + sigma_dot * (x - alpha * denoised) / sigma


def same_law(x: Tensor, y: Tensor) -> bool:
    """Whether two samples may come from one law: |MMD²| within five standard errors (a false alarm in 10⁶)."""
    squared = maximum_mean_discrepancy(x.double(), y.double(), bandwidth=1.0)
    return abs(squared.value) < 5 * squared.stderr


def reaches_its_target(model: lw.DiffusionModel | lw.VelocityModel, **choices) -> bool:
    """Whether guided samples meet a mean 0.3 off the mixture's within 0.03 σ, four standard errors."""
    wanted = float(MIXTURE.mean[0]) - 0.3
    data = lw.Experiment(POSITION, values=[wanted], errors=[0.0])
    run = lw.guide_observables(model, data, seed=0, budget=1_000_000, steps=50, **choices)
    ens = run.sample(20_000, seed=1)
    return abs(float(ens.x[:, 0].mean()) - wanted) < 0.03 * float(ens.x[:, 0].std())
