"""ln Z of Many Well and of a mixture of ten Gaussians: `python -m benchmarks.peers.trust_region`.

The targets of Trust Region Constrained Measure Transport (arXiv:2508.12511, appendix I), with its base process, a
stationary Ornstein–Uhlenbeck process at N(0, η²), as the model. Many Well: ρ(x) = exp(−Σ_{i≤m} (x_i² − 4)² − ½ Σ_{i>m}
x_i²) with m = 5 and 32 modes, η = 1. At d = 2 we take m = 2: the published error of the methods that find one mode
only, 1.364, is near ln 4. The mixture has weights within a factor of 3 and η = 2.5 as published; that paper's text does
not say where its modes are, and ours are drawn from N(0, 4 I), with standard deviation 1. Their |Δ ln Z| are the best
of 100 evaluations of 2000 paths, in means over four seeds; ours is one estimate of fresh paths, with its standard
error.

`told`: V is the sum of one V for each well, fitted in one dimension. `untold`: one network of all coordinates.

Takes about ten minutes on one core.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from scipy.integrate import quad
from torch import Tensor

import leastwork as lw
from benchmarks.command import options
from benchmarks.peers.given import given_tilt, quiet
from benchmarks.peers.products import Factors, Stationary
from benchmarks.table import DOCS, markdown, merge
from leastwork.guidance.base import Guidance
from leastwork.networks.value import ValueNetwork
from leastwork.systems.mixtures import GaussianMixture

PUBLISHED = {2: "0.000", 50: "0.000", 100: "0.002", 200: "0.002"}
ADJOINT = {2: "1.364", 50: "3.432", 100: "3.457", 200: "3.322"}
LAW: dict[str, Any] = {"solver": Stationary(), "t_grid": "signal"}
SCHEDULE = lw.VPSchedule(t_min=1e-4)
HEAD = ("target", "ln Ẑ − ln Z", "TR-LV", "adjoint matching", "ESS", "modes", "evaluations, 10⁶", "CPU s")
WELL = math.log(quad(lambda x: math.exp(-((x * x - 4) ** 2)), -6, 6)[0])


def base(dim: int, std: float = 1.0) -> lw.DiffusionModel:
    """N(0, std² I), whose denoised state is α x."""
    return lw.DiffusionModel(
        lambda x, t: SCHEDULE.alpha(t.double()).to(x) * x, SCHEDULE, predicts="data", event_shape=(dim,), scale=std
    )


def wells(count: int) -> Callable[[Tensor], Tensor]:
    """ln ρ − ln N(0, 1) of the first ``count`` coordinates; of the others it is constant, ½ ln 2π each."""

    def log_tilt(x: Tensor) -> Tensor:
        w = x[:, :count].double()
        return (0.5 * w.square() - (w.square() - 4).square()).sum(dim=1) + 0.5 * count * math.log(2 * math.pi)

    return log_tilt


def row(name: str, dim: int, model: lw.DiffusionModel, guidance: Guidance, log_tilt: Callable[[Tensor], Tensor],
        exact: float, modes: Callable[[Tensor], Tensor], n: int, steps: int, evaluations: int, begin: float,
        ) -> tuple[str, ...]:  # fmt: skip
    """Fresh paths, judged by the exact ln Z; modes: (n, d) -> the number of each sample's mode."""
    ens = lw.sample(model, n, guidance, seed=5, steps=steps, **LAW)
    assert isinstance(ens.x, Tensor)
    ens = replace(ens, log_tilt=log_tilt(ens.x))
    assert ens.log_tilt is not None
    w = torch.softmax(ens.log_weight + ens.log_tilt, dim=0)
    off = lw.Estimate(ens.log_z.value - exact, ens.log_z.stderr)
    many = "Many Well" in name
    found = (name, str(off), PUBLISHED[dim] if many else "–", ADJOINT[dim] if many else "–",
             f"{1 / (n * float(w.square().sum())):.2f}", str(len(torch.unique(modes(ens.x)))),
             f"{evaluations / 1e6:.1f}", f"{time.process_time() - begin:.0f}")  # fmt: skip
    print(found, flush=True)
    return found


def told_rows(dims: list[int], steps: int, budget: int, drawn: int) -> list[tuple[str, ...]]:
    begin = time.process_time()
    run = lw.guide_observables(base(1), given_tilt(wells(1)), network=ValueNetwork(1, width=32), budget=budget,
                               certificate_samples=1000, steps=steps, **LAW)  # fmt: skip
    assert run.guidance is not None
    spent, rows = time.process_time() - begin, []
    for d in dims:
        m = min(d, 5)
        modes = lambda x, m=m: (x[:, :m] > 0).long() @ 2 ** torch.arange(m)  # noqa: E731
        rows.append(row(f"Many Well, d = {d}, told", d, base(d), Factors(run.guidance, m), wells(m), m * WELL, modes,
                        drawn, steps, run.network_evaluations, time.process_time() - spent))  # fmt: skip
    return rows


def untold_row(name: str, dim: int, model: lw.DiffusionModel, log_tilt: Callable[[Tensor], Tensor], exact: float,
               modes: Callable[[Tensor], Tensor], steps: int, budget: int) -> tuple[str, ...]:  # fmt: skip
    begin = time.process_time()
    try:
        run = lw.guide_observables(model, given_tilt(log_tilt), budget=budget, certificate_samples=1000, steps=steps,
                                   **LAW)  # fmt: skip
    except lw.LeastworkError as error:
        found = (name, str(error).split(":")[0], PUBLISHED.get(dim, "–"), ADJOINT.get(dim, "–"), *["–"] * 4)
        print(found, flush=True)
        return found
    assert run.guidance is not None
    return row(name, dim, model, run.guidance, log_tilt, exact, modes, 20_000, steps, run.network_evaluations, begin)


def mixture(dim: int) -> GaussianMixture:
    """Ten modes of standard deviation 1, with weights from 1 to 3."""
    random = torch.Generator().manual_seed(dim)
    u = torch.rand(10, generator=random, dtype=torch.float64)
    u = (u - u.min()) / (u.max() - u.min())
    return GaussianMixture(1 + 2 * u, 2 * torch.randn(10, dim, generator=random, dtype=torch.float64), 1.0)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--dims", type=int, nargs="*", default=[2, 50, 100, 200])
    parser.add_argument("--untold", type=int, nargs="*", default=[2, 50])
    parser.add_argument("--mixtures", type=int, nargs="*", default=[2, 10])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--budget", type=int, default=4_000_000)
    parser.add_argument("--drawn", type=int, default=40_000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    quiet()
    rows = told_rows(given.dims, given.steps, given.budget, given.drawn) if given.dims else []
    for d in given.untold:
        m = min(d, 5)
        modes = lambda x, m=m: (x[:, :m] > 0).long() @ 2 ** torch.arange(m)  # noqa: E731
        rows.append(untold_row(f"Many Well, d = {d}, untold", d, base(d), wells(m), m * WELL, modes, given.steps,
                               2 * given.budget))  # fmt: skip
    for d in given.mixtures:
        target, prior = mixture(d), GaussianMixture([1.0], [[0.0] * d], 2.5)
        rows.append(untold_row(f"ten modes, d = {d}, untold", -d, base(d, 2.5),
                               lambda x, p=prior, q=target: p.log_ratio(q, x), 0.0,
                               lambda x, q=target: q.populations(x).argmax(dim=1), given.steps,
                               given.budget))  # fmt: skip
    table = markdown(HEAD, rows)
    print(table)
    merge(DOCS / "peers.md", "trust-region", table)


if __name__ == "__main__":
    main()
