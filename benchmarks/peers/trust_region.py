"""ln Z of Many Well and of a mixture of ten Gaussians: `python -m benchmarks.peers.trust_region`.

The targets of Trust Region Constrained Measure Transport (arXiv:2508.12511, appendix I), with its base process, a
stationary Ornstein–Uhlenbeck process at N(0, η²), as the model. Many Well: ρ(x) = exp(−Σ_{i≤m} (x_i² − 4)² − ½ Σ_{i>m}
x_i²) with m = 5 and 32 modes, η = 1. At d = 2 we take m = 2: the published error of the methods that find one mode
only, 1.364, is near ln 4. The mixture has weights within a factor of 3 and η = 2.5 as published; that paper's text does
not say where its modes are, and ours are drawn from N(0, 4 I), with standard deviation 1. Their |Δ ln Z| are the best
of 100 evaluations of 2000 paths, in means over four seeds; ours is one estimate of fresh paths, with its standard
error.

`told`: V is the sum of one V for each well, fitted in one dimension and tabulated; the paths take twice the steps of
the fit, and the mean of their weights has a control variate (:func:`told_paths`). `untold`: one network of all
coordinates. Rows with `trust-region` are by our own program of that paper's loss.

Takes about fifteen minutes on one core.
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
from benchmarks.peers.products import Stationary, Tabled, tabled
from benchmarks.table import DOCS, markdown, merge
from leastwork.guidance.base import Guidance
from leastwork.networks.value import ValueNetwork
from leastwork.observable_guidance.run import Method
from leastwork.sampling.choices import Choices
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.stepping import Carry, move
from leastwork.support.numerals import plus_minus
from leastwork.systems.mixtures import GaussianMixture

PUBLISHED = {2: "0.000", 50: "0.000", 100: "0.002", 200: "0.002"}
ADJOINT = {2: "1.364", 50: "3.432", 100: "3.457", 200: "3.322"}
LAW: dict[str, Any] = {"solver": Stationary(), "t_grid": "signal"}
SCHEDULE = lw.VPSchedule(t_min=1e-4)
HEAD = ("target", "ln Ẑ − ln Z", "TR-LV", "adjoint matching", "ESS", "modes", "evaluations, 10⁶", "CPU s")
REACH = 2.8  # ρ is below 10⁻⁶ of its maximum beyond, so that V knows nothing there, and h stays as at the edge
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
    found = (name, plus_minus(off.value, off.stderr), PUBLISHED[dim] if many else "–", ADJOINT[dim] if many else "–",
             f"{1 / (n * float(w.square().sum())):.2f}", str(len(torch.unique(modes(ens.x)))),
             f"{evaluations / 1e6:.1f}", f"{time.process_time() - begin:.0f}")  # fmt: skip
    print(found, flush=True)
    return found


def told_paths(dim: int, table: Tabled, n: int, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """ln w, ln M and the modes of n paths whose first m = min(d, 5) coordinates the table guides, (n,) each.

    The best step of width c bends with V, by the factor M = Π e^{b z²} √(1 − 2b) with b = ½ c² ∂h/∂x, up to the next
    order in c². b is known before z is drawn, so that the mean of M is exactly one, and M is a control variate for w.
    """
    m, choices = min(dim, 5), Choices.of({**LAW, "steps": steps})
    sampler = choices.sampler(base(dim))
    table_of_steps, found = sampler.steps.table(), []
    noise = BlockNoise(5, 0, n, (dim,))
    for block in range(noise.blocks):
        one = noise.block(block)
        carry = Carry(sampler.process.prior(one.draw()))
        assert isinstance(carry.x, Tensor)
        log_w = log_m = torch.zeros(len(carry.x), dtype=torch.float64)
        for step in table_of_steps:
            x, z = carry.x, one.draw()
            assert isinstance(x, Tensor)
            assert isinstance(z, Tensor)
            h, slope = table.look(x[:, :m], step.t)
            carry, cost = move(sampler, step, carry, x, torch.cat([h, torch.zeros_like(x[:, m:])], dim=1), z)
            b = (0.5 * step.c**2 / step.a**2 * slope).clamp(max=0.25).double()
            log_m = log_m + (b * z[:, :m].square() + 0.5 * torch.log1p(-2 * b)).sum(dim=1)
            assert cost.log_weight is not None
            log_w = log_w + cost.log_weight
        end = sampler.process.model.finish(carry.x, float(sampler.steps.times[-1]))
        assert isinstance(end, Tensor)
        found.append((log_w + wells(m)(end), log_m, (end[:, :m] > 0).long() @ 2 ** torch.arange(m)))
    log_w, log_m, modes = (torch.cat(part) for part in zip(*found, strict=True))
    return log_w, log_m, modes


def controlled(log_w: Tensor, log_m: Tensor) -> lw.Estimate:
    """ln of the mean of w, with M, whose mean is one, as control variate by least squares."""
    top = log_w.max()
    w, m = (log_w - top).exp(), log_m.exp()
    about = m - m.mean()
    w = w - (w @ about) / (about @ about) * (m - 1)
    return lw.Estimate(float(w.mean().log() + top), float(w.std() / w.mean() / len(w) ** 0.5))


def told_rows(dims: list[int], steps: int, fine: int, budget: int, drawn: int) -> list[tuple[str, ...]]:
    begin = time.process_time()
    run = lw.guide_observables(base(1), given_tilt(wells(1)), network=ValueNetwork(1, width=32), budget=budget,
                               certificate_samples=1000, steps=steps, **LAW)  # fmt: skip
    assert run.guidance is not None
    table = tabled(run.guidance, Choices.of({**LAW, "steps": fine}).sampler(base(1)).steps.times[:-1], REACH)
    spent, rows = time.process_time() - begin, []
    for d in dims:
        begin = time.process_time()
        log_w, log_m, modes = told_paths(d, table, drawn, fine)
        found = controlled(log_w, log_m)
        w = torch.softmax(log_w, dim=0)
        rows.append((f"Many Well, d = {d}, told", plus_minus(found.value - min(d, 5) * WELL, found.stderr),
                     PUBLISHED[d], ADJOINT[d], f"{1 / (drawn * float(w.square().sum())):.2f}",
                     str(len(torch.unique(modes))), f"{run.network_evaluations / 1e6:.1f}",
                     f"{spent + time.process_time() - begin:.0f}"))  # fmt: skip
        print(rows[-1], f"mean of M {lw.Estimate.from_samples(log_m.exp())}", flush=True)
    return rows


def untold_row(name: str, dim: int, model: lw.DiffusionModel, log_tilt: Callable[[Tensor], Tensor], exact: float,
               modes: Callable[[Tensor], Tensor], steps: int, budget: int, method: Method = "least-work",
               ) -> tuple[str, ...]:  # fmt: skip
    begin = time.process_time()
    name = name if method == "least-work" else f"{name}, `{method}`"
    try:
        run = lw.guide_observables(model, given_tilt(log_tilt), method, budget=budget, certificate_samples=1000,
                                   steps=steps, **LAW)  # fmt: skip
    except lw.LeastworkError as error:
        found = (name, str(error).split(":")[0], PUBLISHED.get(dim, "–"), ADJOINT.get(dim, "–"), *["–"] * 4)
        print(found, flush=True)
        return found
    assert run.guidance is not None
    return row(name, dim, model, run.guidance, log_tilt, exact, modes, 20_000, steps, run.network_evaluations, begin)


def well_row(dim: int, method: Method, steps: int, budget: int) -> tuple[str, ...]:
    m = min(dim, 5)
    modes = lambda x: (x[:, :m] > 0).long() @ 2 ** torch.arange(m)  # noqa: E731
    return untold_row(f"Many Well, d = {dim}, untold", dim, base(dim), wells(m), m * WELL, modes, steps, budget, method)


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
    parser.add_argument("--lv", type=int, nargs="*", default=[2, 50], help="Many Well by our own trust-region")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--fine", type=int, default=200, help="steps of told paths")
    parser.add_argument("--budget", type=int, default=4_000_000)
    parser.add_argument("--drawn", type=int, default=400_000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    quiet()
    rows = told_rows(given.dims, given.steps, given.fine, given.budget, given.drawn) if given.dims else []
    rows += [well_row(d, "least-work", given.steps, 2 * given.budget) for d in given.untold]
    rows += [well_row(d, "trust-region", given.steps, 2 * given.budget) for d in given.lv]
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
