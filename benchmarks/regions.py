"""Two rare regions whose probability can be counted, shared by the benchmarks of Path Guidance.

muller-brown: the bundled model and the disc of radius 0.1 about the saddle between its two upper wells. two-well: the
pass |x_1| < 0.1 between two wells in 10 dimensions, the model's score exact. Twelve guides each, drawn in the region.
`count` is brute force: plain samples of the same discretised model.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import leastwork as lw
from leastwork.systems.muller_brown import SADDLE, Disc, muller_brown
from leastwork.systems.thin_region import two_well

LAW: dict[str, Any] = {"solver": "euler", "steps": 200, "t_grid": "log-snr"}
_CHUNK = 100_000


@dataclass(frozen=True)
class Problem:
    """A model, its region and draws within it; ``exact`` is −ln p(A) of the density that the model stands for."""

    name: str
    model: lw.DiffusionModel
    region: Callable[[Tensor], Tensor]
    draw: Callable[[int, int], Tensor]
    exact: float
    line: lw.DiffusionModel | None = None

    def guides(self, count: int = 12, seed: int = 5) -> Tensor:
        return self.draw(count, seed)


def saddle() -> Problem:
    model, density, disc = lw.load_model("muller-brown"), muller_brown(1500), Disc(SADDLE, 0.1)
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
