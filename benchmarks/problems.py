"""Problems that several benchmarks share.

Rare regions, whose probability can be counted. muller-brown: the bundled model and the disc of radius 0.1 about the
saddle between its two upper wells. two-well: the pass |x_1| < 0.1 between two wells in 10 dimensions, the model's score
exact. Twelve guides each, drawn in the region. `count` is brute force: plain samples of the same discretised model.

Data: the population of one of two states, and the measured stability of chignolin.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import leastwork as lw
from leastwork.cases import chignolin
from leastwork.kernels.region import Ball
from leastwork.statistics.discrepancy import wasserstein
from leastwork.systems.mixtures import GaussianMixture, two_states
from leastwork.systems.muller_brown import SADDLE, muller_brown
from leastwork.systems.thin_region import two_well

__all__ = [
    "LAW",
    "Count",
    "Problem",
    "averages_of_a_mixture",
    "chignolin_stability",
    "count",
    "pass_between_wells",
    "points",
    "saddle",
    "sampling_errors",
    "two_state_problem",
]

LAW: dict[str, Any] = {"solver": "euler", "steps": 200, "t_grid": "log-snr"}
_CHUNK = 100_000


@dataclass(frozen=True)
class Problem:
    """A model, its region and draws within it; ``exact`` is −ln p(A) of the density that the model stands for."""

    name: str
    model: lw.DiffusionModel
    region: Callable[..., Tensor]
    draw: Callable[[int, int], Tensor]
    exact: float
    line: lw.DiffusionModel | None = None

    def guides(self, count: int = 12, seed: int = 5) -> Tensor:
        return self.draw(count, seed)


def saddle() -> Problem:
    model, density, disc = lw.load_model("muller-brown"), muller_brown(1500), Ball(SADDLE, 0.1)
    assert isinstance(model, lw.DiffusionModel)
    weights = density.weights * disc(density.grid)

    def draw(count: int, seed: int) -> Tensor:
        index = torch.multinomial(weights, count, generator=torch.Generator().manual_seed(seed))
        return density.grid[index].float()

    return Problem("muller-brown", model, disc, draw, -math.log(density.probability(disc)))


def pass_between_wells(probability: float = 1e-3) -> Problem:
    well = two_well(probability)

    def draw(count: int, seed: int) -> Tensor:
        return well.conditional_sample(count, torch.Generator().manual_seed(seed)).float()

    schedule = lw.VPSchedule()
    line = two_well(probability, dim=1).mixture.model(schedule)
    return Problem(
        f"two-well {probability:g}", well.mixture.model(schedule), well.region, draw, -math.log(probability), line
    )


@dataclass(frozen=True)
class Count:
    """−ln p(A) of the discretised model by count, the samples that hit, and what that took."""

    free_energy: lw.Estimate
    hits: Tensor
    samples: int
    seconds: float


def count(problem: Problem, samples: int, seed: int = 77, line: bool = False) -> Count:
    """Plain samples, so many of them.

    ``line`` counts in one dimension, which of the two wells is enough: the first coordinate's chain does not see the
    others.
    """
    begin = time.perf_counter()
    model = problem.line if line else problem.model
    assert model is not None
    found = []
    for k in range(samples // _CHUNK):
        x = lw.sample(model, _CHUNK, seed=seed + k, **LAW).x
        assert isinstance(x, Tensor)
        found.append(x[problem.region(x)])
    hits = torch.cat(found)
    p = len(hits) / samples
    free_energy = lw.Estimate(-math.log(p), math.sqrt((1 - p) / (p * samples)))
    return Count(free_energy, hits, samples, time.perf_counter() - begin)


def two_state_problem(
    dim: int, before: float, after: float
) -> tuple[GaussianMixture, lw.DiffusionModel, lw.Experiment]:
    """Two states, the population of the right one ``before`` and wanted to be ``after``; the model's score is exact."""
    mixture = two_states(dim, (1 - before, before), separation=2.0, std=0.3)
    right = lw.Observable(lambda x: mixture.populations(x)[:, 1], names=("right state",))
    return mixture, mixture.model(lw.VPSchedule()), lw.Experiment(right, values=[after])


def averages_of_a_mixture(count: int) -> tuple[lw.DiffusionModel, lw.Experiment]:
    """Six states in thirty dimensions, and up to 100 averages of x_i, x_i² and x_i x_j of a mixture a little different.

    The means and weights of the other mixture differ, and its averages are exact.
    """
    d, states, std = 30, 6, 0.6
    random = torch.Generator().manual_seed(3)
    means = 0.9 * torch.randn(states, d, generator=random, dtype=torch.float64)
    shift = 0.12 * torch.randn(states, d, generator=random, dtype=torch.float64)
    p = GaussianMixture([0.25, 0.2, 0.2, 0.15, 0.1, 0.1], means, std)
    q = GaussianMixture([0.15, 0.2, 0.15, 0.2, 0.15, 0.15], means + shift, std)
    pairs = [(i, (i + step) % d) for step, most in ((0, d), (7, d), (3, 10)) for i in range(most)]
    left, right = torch.tensor(pairs).T
    names = [f"x{i}" for i in range(d)] + [f"x{i} x{j}" for i, j in pairs]
    order = torch.arange(len(names)).reshape(10, 10).T.reshape(-1)[:count]  # so that the first ten are of all kinds

    def fn(x: Tensor) -> Tensor:
        return torch.cat([x, x[:, left] * x[:, right]], dim=1)[:, order]

    second = torch.einsum("k,ki,kj->ij", q.weights, q.means, q.means) + std**2 * torch.eye(d, dtype=torch.float64)
    wanted = torch.cat([q.mean, second[left, right]])[order]
    observable = lw.Observable(fn, names=tuple(names[i] for i in order.tolist()))
    return p.model(lw.VPSchedule()), lw.Experiment(observable, values=wanted)


def chignolin_stability() -> lw.Experiment:
    """The folded fraction that the measured stability gives at the temperature of the simulation, 0.533 ± 0.03."""
    return lw.Experiment(chignolin.folded(), [round(chignolin.folded_fraction(chignolin.TEMPERATURE), 4)], [0.03])


def sampling_errors(law: Tensor, size: int) -> list[float]:
    """W₁ of each part of ``size`` samples, (size, 1), to all others: what sampling alone gives."""
    parts = law.split(size)
    rest = (torch.cat([*parts[:i], *parts[i + 1 :]]) for i in range(len(parts)))
    return [float(wasserstein(part, others)) for part, others in zip(parts, rest, strict=True)]


def points(ensemble: lw.Ensemble) -> Tensor:
    """The samples of an ensemble whose states are single tensors."""
    assert isinstance(ensemble.x, Tensor)
    return ensemble.x
