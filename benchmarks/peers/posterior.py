"""Posterior sampling, where the posterior is exact: `python -m benchmarks.peers.posterior`.

A mixture of four Gaussians in 8 dimensions (standard deviation 0.5, means drawn from N(0, 4)) is the prior, and two
random directions are measured with noise 0.3, y = A x + 0.3 ε, for an x drawn from the prior. The posterior is a
mixture of four correlated Gaussians. All methods have the same network evaluations, learning included. `SW / floor` is
the sliced Wasserstein distance of their samples from 4096 draws of the posterior, over that between two sets of 4096
draws. Coverage is the probability under the exact posterior of the method's central intervals of 50, 80 and 95 %, in
the mean over coordinates. `loss` is diffusion posterior sampling (Chung et al., ICLR 2023) with strength 1. Means and
standard errors are those over the measurements; weighted samples count with their weights.

Takes twenty minutes on one core.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import leastwork as lw
from benchmarks.command import options
from benchmarks.peers.drawn import METHODS, drawn_by
from benchmarks.peers.given import quiet, sliced_wasserstein
from benchmarks.table import DOCS, markdown, merge
from leastwork.systems.mixtures import GaussianMixture

DIM, NOISE, DRAWN = 8, 0.3, 4096
LEVELS = (0.5, 0.8, 0.95)
HEAD = ("method, evaluations", "measurements", "SW / floor", *(f"of {100 * level:g} %" for level in LEVELS),
        "evaluations, 10⁶", "CPU s")  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """A prior, a linear measurement A (M, d) of one of its draws, and its value y (M,), all float64."""

    prior: GaussianMixture
    along: Tensor
    value: Tensor

    def log_likelihood(self, x: Any) -> Tensor:
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
    parser.add_argument("--measurements", type=int, default=5)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--totals", type=int, nargs="+", default=[1_250_000])
    given = parser.parse_args()
    torch.set_num_threads(1)
    quiet()
    found: dict[str, list[list[float]]] = {}
    failed: dict[str, str] = {}
    for seed in range(given.measurements):
        problem = measured(seed)
        model, random = problem.prior.model(lw.VPSchedule()), torch.Generator().manual_seed(100 + seed)
        exact, again = problem.posterior(DRAWN, random), problem.posterior(DRAWN, random)
        floor = sliced_wasserstein(again, exact)
        for total in given.totals:
            for method in given.methods:
                for one in drawn_by(method, model, problem.log_likelihood, total, steps=given.steps, probes=2,
                                    least=DRAWN):  # fmt: skip
                    name = f"{one.method}, {total / 1e6:g}·10⁶"
                    print(seed, name, one.reason, f"{one.seconds:.0f} s", flush=True)
                    if one.reason:
                        failed[name] = one.reason.split(":")[0]
                        continue
                    row = [sliced_wasserstein(one.x, exact, one.log_weight) / floor,
                           *coverage(one.x, one.log_weight, exact)]  # fmt: skip
                    found.setdefault(name, []).append([*row, one.evaluations / 1e6, one.seconds])
                    print(*(f"{v:.3f}" for v in found[name][-1]), flush=True)
    rows = [_row(name, torch.tensor(parts)) for name, parts in found.items()]
    rows += [(name, "0", reason, *["–"] * 5) for name, reason in failed.items() if name not in found]
    table = markdown(HEAD, rows)
    print(table)
    merge(DOCS / "peers.md", "posterior", table)


def _row(name: str, parts: Tensor) -> tuple[str, ...]:
    """Means of parts (measurements, 6), with standard errors where there are several."""
    mean = parts.mean(dim=0).tolist()
    errors = (parts.std(dim=0) / len(parts) ** 0.5).tolist() if len(parts) > 1 else [float("nan")] * len(mean)
    cover = (f"{100 * c:.1f} ± {100 * e:.1f} %" for c, e in zip(mean[1:4], errors[1:4], strict=True))
    return (name, str(len(parts)), f"{mean[0]:.2f} ± {errors[0]:.2f}", *cover, f"{mean[4]:.2f}", f"{mean[5]:.0f}")


if __name__ == "__main__":
    main()
