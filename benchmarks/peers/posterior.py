"""Posterior sampling, where the posterior is exact: `python -m benchmarks.peers.posterior`.

A mixture of four Gaussians in 8 dimensions (standard deviation 0.5, means drawn from N(0, 4)) is the prior, and two
random directions are measured with noise 0.3, y = A x + 0.3 ε, for an x drawn from the prior. The posterior is a
mixture of four correlated Gaussians. Each method draws 4096 samples. `SW / floor` is their sliced Wasserstein distance
from draws of the posterior, over that between two sets of draws. Coverage is the probability under the exact posterior
of the method's central intervals of 50, 80 and 95 %, in the mean over coordinates. `loss` is diffusion posterior
sampling (Chung et al., ICLR 2023) with strength 1. All means are over the measurements, and the weighted samples of
`smc` and `driftlite` count with their weights.

Takes about ten minutes on one core.
"""

import time
from dataclasses import dataclass

import torch
from torch import Tensor

import leastwork as lw
from benchmarks.command import options
from benchmarks.peers.given import given_tilt, quiet, sliced_wasserstein
from benchmarks.table import DOCS, insert, markdown
from leastwork.sampling.drift_control import drift_control
from leastwork.systems.mixtures import GaussianMixture

DIM, NOISE, DRAWN = 8, 0.3, 4096
LEVELS = (0.5, 0.8, 0.95)
METHODS = ("smc", "driftlite", "loss", "adjoint-matching", "ram", "least-work")
LAW = {"solver": "exponential", "t_grid": "balanced"}


@dataclass(frozen=True)
class Measured:
    """A prior, a linear measurement A (M, d) of one of its draws, and its value y (M,), all float64."""

    prior: GaussianMixture
    along: Tensor
    value: Tensor

    def log_likelihood(self, x: Tensor) -> Tensor:
        """ln p(y|x) up to a constant, (B, d) -> (B,)."""
        return -0.5 * ((self.value.to(x) - x @ self.along.to(x).T) / NOISE).square().sum(dim=1)

    def posterior(self, n: int, random: torch.Generator) -> Tensor:
        """n draws of p(x|y), (n, d): each component has its own mean, weight and covariance."""
        w, m, s2 = self.prior.weights, self.prior.means, self.prior.stds.square()
        eye = torch.eye(m.shape[1], dtype=torch.float64)
        square = self.along.T @ self.along / NOISE**2
        covariance = torch.stack([torch.linalg.inv(eye / v + square) for v in s2])
        pull = m / s2[:, None] + self.along.T @ self.value / NOISE**2
        means = torch.einsum("kij,kj->ki", covariance, pull)
        seen = torch.stack([v * self.along @ self.along.T + NOISE**2 * torch.eye(len(self.value)).double() for v in s2])
        evidence = torch.distributions.MultivariateNormal(m @ self.along.T, seen).log_prob(self.value)
        k = torch.multinomial(torch.softmax(w.log() + evidence, dim=0), n, replacement=True, generator=random)
        z = torch.randn(n, m.shape[1], generator=random, dtype=torch.float64)
        return means[k] + torch.einsum("nij,nj->ni", torch.linalg.cholesky(covariance)[k], z)


def measured(seed: int) -> Measured:
    random = torch.Generator().manual_seed(seed)
    draw = {"generator": random, "dtype": torch.float64}
    prior = GaussianMixture([0.4, 0.3, 0.2, 0.1], 2 * torch.randn(4, DIM, **draw), 0.5)  # pyright: ignore
    along = torch.randn(2, DIM, **draw) / DIM**0.5  # pyright: ignore
    value = prior.sample(1, random)[0] @ along.T + NOISE * torch.randn(2, **draw)  # pyright: ignore
    return Measured(prior, along, value)


def coverage(x: Tensor, log_weight: Tensor, exact: Tensor) -> list[float]:
    """Share of exact draws within the central intervals of weighted samples, in the mean over coordinates."""
    order = x.argsort(dim=0)
    below = torch.softmax(log_weight, dim=0)[order].cumsum(dim=0)
    found = []
    for level in LEVELS:
        ends = []
        for q in (0.5 - level / 2, 0.5 + level / 2):
            at = (below < q).sum(dim=0).clamp(max=len(x) - 1)
            ends.append(x.gather(0, order.gather(0, at[None]))[0])
        found.append(float(((exact > ends[0]) & (exact < ends[1])).double().mean()))
    return found


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--measurements", type=int, default=2)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--budget", type=int, default=8_000_000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    quiet()
    found: dict[str, list[list[float]]] = {method: [] for method in given.methods}
    for seed in range(given.measurements):
        problem = measured(seed)
        model, random = problem.prior.model(lw.VPSchedule()), torch.Generator().manual_seed(100 + seed)
        exact, again = problem.posterior(DRAWN, random), problem.posterior(DRAWN, random)
        floor = sliced_wasserstein(again, exact)
        for method in given.methods:
            begin = time.process_time()
            x, log_weight, evaluations = draw(method, model, problem, given.steps, given.budget)
            row = [sliced_wasserstein(x, exact, log_weight) / floor, *coverage(x, log_weight, exact)]
            found[method].append([*row, evaluations / 1e6, time.process_time() - begin])
            print(seed, method, *(f"{v:.3f}" for v in found[method][-1]), flush=True)
    rows = []
    for method, parts in found.items():
        sw, *cover, evaluations, seconds = torch.tensor(parts).mean(dim=0).tolist()
        rows.append((method, f"{sw:.2f}", *(f"{100 * c:.1f} %" for c in cover), f"{evaluations:.2f}", f"{seconds:.0f}"))
    head = ("method", "SW / floor", *(f"of {100 * level:g} %" for level in LEVELS), "evaluations, 10⁶", "CPU s")
    table = markdown(head, rows)
    print(table)
    insert(DOCS / "peers.md", "posterior", table)


def draw(
    method: str, model: lw.DiffusionModel, problem: Measured, steps: int, budget: int
) -> tuple[Tensor, Tensor, int]:
    """Samples (n, d), float64, their log-weights and the network evaluations of everything."""
    law = {**LAW, "steps": steps}
    if method == "smc":
        ens = lw.steer(model, DRAWN, problem.log_likelihood, **law)
    elif method == "driftlite":
        ens = drift_control(model, DRAWN, problem.log_likelihood, steps=steps, t_grid="balanced")
    else:
        run = lw.guide_observables(
            model, given_tilt(problem.log_likelihood), method, budget=budget if method == "least-work" else None,
            samples=None if method == "least-work" else 4096, **law,
        )  # fmt: skip
        drawn = run.sample(DRAWN, seed=1)
        assert isinstance(drawn.x, Tensor)
        evaluations = run.network_evaluations + drawn.network_evaluations
        return drawn.x.double(), torch.zeros(DRAWN, dtype=torch.float64), evaluations
    assert isinstance(ens.x, Tensor)
    assert ens.log_tilt is not None
    return ens.x.double(), ens.log_weight + ens.log_tilt, ens.network_evaluations


if __name__ == "__main__":
    main()
