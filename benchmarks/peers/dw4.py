"""DW-4 annealed from T = 2 to a lower temperature, with a learned score: `python -m benchmarks.peers.dw4`.

DriftLite (arXiv:2509.21655) anneals a model of this system and gives an MMD of 0.021 and a sliced Wasserstein distance
of 0.048 as its best. Its text that we have names neither the temperatures nor the kernel and the coordinates of these
numbers. Ours: a model of e^{−E/2}, trained by scripts/train_dw4.py, and the reward r = −(1/T − 1/2) E, at T = 1
(γ = 2, the usual DW-4) and T = 0.5 (γ = 4). References come from Markov chains, whose autocorrelation times and drifts
are printed. MMD has a Gaussian kernel as wide as the median distance, `SW` is sliced Wasserstein in the six orthonormal
coordinates, W₁ that of E and of the six distances.

All methods have the same network evaluations, learning included. `exact` is a second set of chains. `limit of the
model` is what 20,000 samples of the model by weights still miss, which no method can make good.

Takes ten minutes on one core.
"""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import leastwork as lw
from benchmarks.command import options
from benchmarks.peers.double_well import chains, distances, energy
from benchmarks.peers.drawn import METHODS, Drawn, drawn_by, judged
from benchmarks.peers.dw4_network import PairNetwork, value_of_pairs
from benchmarks.peers.given import quiet
from benchmarks.table import DOCS, markdown, merge
from leastwork.statistics.discrepancy import wasserstein

MODEL = Path(__file__).parent / "dw4_model"
DRAWN, HOT, MANY = 4096, 2.0, 20_000
HEAD = ("method, T", "MMD", "SW", "W₁ of E", "W₁ of distances", "ESS", "evaluations, 10⁶", "CPU s")


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--temperatures", type=float, nargs="+", default=[1.0, 0.5])
    parser.add_argument("--totals", type=int, nargs="+", default=[1_250_000])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--sweeps", type=int, default=120)
    given = parser.parse_args()
    torch.set_num_threads(1)
    quiet()
    net = PairNetwork()
    model = lw.load_model(MODEL, net=net)
    assert isinstance(model, lw.DiffusionModel)
    rows = []
    for temperature in given.temperatures:
        seen = chains(2 * DRAWN, temperature, given.sweeps, seed=1)
        print(f"T = {temperature:g}: accepted {_short(seen.accepted)}, autocorrelation times in 10 sweeps "
              f"{_short(seen.autocorrelation_times())}, drift in standard errors {_short(seen.drift())}")  # fmt: skip
        exact, again = seen.x[:DRAWN], seen.x[DRAWN:]
        bandwidth = float(torch.pdist(exact[:1000]).median())

        def reward(x: Any, cold: float = temperature) -> Tensor:
            return -(1 / cold - 1 / HOT) * energy(x)

        def row(
            drawn: Drawn, asked: int = 0, exact: Tensor = exact, b: float = bandwidth, t: float = temperature
        ) -> tuple[str, ...]:
            name = f"{drawn.method}, T = {t:g}" + (f", {asked / 1e6:g}·10⁶" if asked else "")
            if drawn.reason:
                return (name, drawn.reason.split(":")[0], *["–"] * 5, f"{drawn.seconds:.0f}")
            w = torch.softmax(drawn.log_weight, dim=0)
            of_energy = wasserstein(energy(drawn.x)[:, None], energy(exact)[:, None], drawn.log_weight, None)
            of_distances = wasserstein(distances(drawn.x), distances(exact), drawn.log_weight, None)
            found = (*judged(drawn, exact, b), float(of_energy[0]), float(of_distances.mean()))
            return (name, *(f"{v:.4f}" for v in found), f"{1 / (len(w) * float(w.square().sum())):.2f}",
                    f"{drawn.evaluations / 1e6:.2f}", f"{drawn.seconds:.0f}")  # fmt: skip

        rows.append(row(Drawn("exact", again, torch.zeros(DRAWN, dtype=torch.float64), 0, 0.0)))
        drawn = drawn_by("reweight", model, reward, MANY * (given.steps + 1), steps=given.steps, seed=9)[0]
        rows.append(row(replace(drawn, method="limit of the model")))
        print(*rows[-2:], sep="\n", flush=True)
        for total, method in product(given.totals, given.methods):
            for found in drawn_by(method, model, reward, total, steps=given.steps, probes=2, least=DRAWN,
                                  network=value_of_pairs(net)):  # fmt: skip
                rows.append(row(found, total))
                print(rows[-1], flush=True)
    table = markdown(HEAD, rows)
    print(table)
    merge(DOCS / "peers.md", "dw4", table)


def _short(values: Any) -> str:
    return ", ".join(f"{v:.2g}" for v in values)


if __name__ == "__main__":
    main()
