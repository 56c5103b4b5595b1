"""Tilts of a mixture in 30 dimensions whose score is exact: `python -m benchmarks.peers.driftlite`.

The reward-tilting problem of DriftLite (arXiv:2509.21655, section 4.1). Its main text does not give modes and reward,
so these are ours: six Gaussians of standard deviation 1, means drawn from N(0, 4 I), weights from 1 to 2, and the
reward r = −|x − c|²/20 around half of the first mean, which leaves a mixture whose parameters are exact. No number in
its main text belongs to the mixture.

All methods have the same network evaluations, learning included, at two sizes of the budget. Their samples are compared
with 4096 exact ones: MMD with a Gaussian kernel as wide as their median distance, `SW` sliced Wasserstein; `exact` is a
second exact set of 4096. `driftlite` is its variance-controlling guidance with SMC, two random signs for each trace.

Takes ten minutes on one core.
"""

from typing import Any

import torch
from torch import Tensor

import leastwork as lw
from benchmarks.command import options
from benchmarks.peers.drawn import METHODS, Drawn, drawn_by, judged
from benchmarks.peers.given import quiet
from benchmarks.table import DOCS, markdown, merge
from leastwork.systems.mixtures import GaussianMixture

DIM, DRAWN, WIDTH = 30, 4096, 10.0
HEAD = ("method, evaluations", "MMD", "SW", "total variation of the weights", "evaluations, 10⁶", "CPU s")


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
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--totals", type=int, nargs="+", default=[1_250_000, 5_000_000])
    parser.add_argument("--steps", type=int, default=100)
    given = parser.parse_args()
    torch.set_num_threads(1)
    quiet()
    p, q, c = problem()
    random = torch.Generator().manual_seed(1)
    exact = q.sample(DRAWN, random)
    bandwidth = float(torch.pdist(exact[:1000]).median())
    model = p.model(lw.VPSchedule())

    def reward(x: Any) -> Tensor:
        return -0.5 * (x - c.to(x)).square().sum(dim=1) / WIDTH

    def row(name: str, drawn: Drawn) -> tuple[str, ...]:
        if drawn.reason:
            return (name, drawn.reason.split(":")[0], *["–"] * 3, f"{drawn.seconds:.0f}")
        mmd, sw = judged(drawn, exact, bandwidth)
        off = 0.5 * float((torch.softmax(drawn.log_weight, dim=0) @ q.populations(drawn.x) - q.weights).abs().sum())
        return (name, f"{mmd:.4f}", f"{sw:.4f}", f"{off:.3f}", f"{drawn.evaluations / 1e6:.2f}", f"{drawn.seconds:.0f}")

    rows = [row("exact", Drawn("exact", q.sample(DRAWN, random), torch.zeros(DRAWN, dtype=torch.float64), 0, 0.0))]
    for total in given.totals:
        for method in given.methods:
            for drawn in drawn_by(method, model, reward, total, steps=given.steps, probes=2, least=DRAWN):
                rows.append(row(f"{drawn.method}, {total / 1e6:g}·10⁶", drawn))
                print(rows[-1], flush=True)
    table = markdown(HEAD, rows)
    print(table)
    merge(DOCS / "peers.md", "driftlite", table)


if __name__ == "__main__":
    main()
