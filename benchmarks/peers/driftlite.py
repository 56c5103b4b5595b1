"""Tilts of a mixture in 30 dimensions whose score is exact: `python -m benchmarks.peers.driftlite`.

The reward-tilting problem of DriftLite (arXiv:2509.21655, section 4.1). Its main text does not give modes and reward,
so these are ours: six Gaussians of standard deviation 1, means drawn from N(0, 4 I), weights from 1 to 2, and the
reward r = −|x − c|²/20 around half of the first mean, which leaves a mixture whose parameters are exact. Its published
MMD 0.021 and sliced Wasserstein distance 0.048 are those of four particles in a double well (DW-4, its table 1), on
another scale: no number in its main text belongs to the mixture. 4096 samples of each method are compared with as many
exact ones: MMD with a Gaussian kernel as wide as their median distance, `SW` sliced Wasserstein; `exact` is a second
exact set. `driftlite` is its variance-controlling guidance with SMC, two random signs for each trace.

Takes about ten minutes on one core.
"""

import time

import torch
from torch import Tensor

import leastwork as lw
from benchmarks.command import options
from benchmarks.peers.given import given_tilt, quiet, sliced_wasserstein
from benchmarks.table import DOCS, insert, markdown
from leastwork.sampling.drift_control import drift_control
from leastwork.statistics.discrepancy import maximum_mean_discrepancy
from leastwork.systems.mixtures import GaussianMixture

DIM, DRAWN, WIDTH = 30, 4096, 10.0
METHODS = ("exact", "smc", "driftlite", "loss", "ram", "least-work")
LAW = {"solver": "exponential", "t_grid": "balanced"}


def problem() -> tuple[GaussianMixture, GaussianMixture, Tensor]:
    """Model, target and the centre c of the reward."""
    random = torch.Generator().manual_seed(0)
    means = 2 * torch.randn(6, DIM, generator=random, dtype=torch.float64)
    p = GaussianMixture(1 + torch.rand(6, generator=random, dtype=torch.float64), means, 1.0)
    c = 0.5 * means[0]
    # N(x; m, 1) e^{−|x − c|²/2v} ∝ N(m; c, 1 + v) N(x; (v m + c)/(1 + v), v/(1 + v))
    log_w = p.weights.log() - 0.5 * (means - c).square().sum(dim=1) / (1 + WIDTH)
    q = GaussianMixture(torch.softmax(log_w, dim=0), (WIDTH * means + c) / (1 + WIDTH), (WIDTH / (1 + WIDTH)) ** 0.5)
    return p, q, c


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--budget", type=int, default=5_000_000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    quiet()
    p, q, c = problem()
    random = torch.Generator().manual_seed(1)
    exact = q.sample(DRAWN, random)
    bandwidth = float(torch.pdist(exact[:1000]).median())
    model = p.model(lw.VPSchedule())

    def reward(x: Tensor) -> Tensor:
        return -0.5 * (x - c.to(x)).square().sum(dim=1) / WIDTH

    rows, law = [], {**LAW, "steps": given.steps}
    for method in given.methods:
        begin, evaluations, log_weight = time.process_time(), 0, None
        if method == "exact":
            x = q.sample(DRAWN, random)
        elif method in ("smc", "driftlite"):
            ens = (
                lw.steer(model, DRAWN, reward, **law)
                if method == "smc"
                else drift_control(model, DRAWN, reward, probes=2, steps=given.steps, t_grid="balanced")
            )
            assert isinstance(ens.x, Tensor)
            assert ens.log_tilt is not None
            x, log_weight, evaluations = ens.x, ens.log_weight + ens.log_tilt, ens.network_evaluations
        else:
            own = None if method == "least-work" else DRAWN
            budget = given.budget if method == "least-work" else None
            run = lw.guide_observables(model, given_tilt(reward), method, budget=budget, samples=own,
                                       certificate_samples=1000, **law)  # fmt: skip
            ens = run.sample(DRAWN, seed=1)
            assert isinstance(ens.x, Tensor)
            x, evaluations = ens.x, run.network_evaluations + ens.network_evaluations
        squared = maximum_mean_discrepancy(x.double(), exact, bandwidth, log_weight_x=log_weight).value
        share = torch.full((len(x),), 1 / len(x)).double() if log_weight is None else torch.softmax(log_weight, dim=0)
        off = 0.5 * float((share @ q.populations(x.double()) - q.weights).abs().sum())
        rows.append((method, f"{max(squared, 0) ** 0.5:.4f}", f"{sliced_wasserstein(x, exact, log_weight):.4f}",
                     f"{off:.3f}", f"{evaluations / 1e6:.2f}", f"{time.process_time() - begin:.0f}"))  # fmt: skip
        print(rows[-1], flush=True)
    head = ("method", "MMD", "SW", "total variation of the weights", "evaluations, 10⁶", "CPU s")
    table = markdown(head, rows)
    print(table)
    insert(DOCS / "peers.md", "driftlite", table)


if __name__ == "__main__":
    main()
