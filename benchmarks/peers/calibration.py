"""As many constraints as coordinates, and a rare mode: `python -m benchmarks.peers.calibration`.

The problems of Calibrating Generative Models (arXiv:2510.10020), as in its published code: each of d coordinates is a
mixture of N(±1, 0.25²). First the modes have equal weights, and P(x_i ≥ 0) shall be 0.805 for every i, for which the
least KL is 0.2 d nats, d = 1 … 1000. Then d = 1, and the right half has probability 6·10⁻⁵ and shall have 0.8. `W` is
the KL of whole paths, which is what that paper estimates, and includes what the guidance wastes; the KL of the averages
that were reached is Σ_i KL(Bernoulli). The factors are told: one fit in one dimension guides them all (`told`). A fit
that does not know them has to see the weights of all constraints in one sample, and `untold` shows how far that goes.
That paper's fit takes 2000 updates of 10,000 paths of 100 steps (of 100 paths for the rare mode), for each of ten trial
strengths of its penalty.

Takes about ten minutes on one core.
"""

import math
import time
from argparse import BooleanOptionalAction
from typing import Any

import torch
from scipy.optimize import brentq
from scipy.stats import norm
from torch import Tensor

import leastwork as lw
from benchmarks.command import options
from benchmarks.peers.given import quiet
from benchmarks.peers.products import Factors, product_model
from benchmarks.table import DOCS, markdown, merge
from leastwork.kernels.region import Slab
from leastwork.networks.value import ValueNetwork
from leastwork.path_guidance.methods import LeastWork
from leastwork.sampling.work import kish_ess
from leastwork.systems.mixtures import two_states

STD, KL = 0.25, 0.2
RARE, WANTED = 2 * float(norm.sf(1 / STD)), 0.8
SCHEDULE = lw.VPSchedule()
LAW: dict[str, Any] = {"solver": "exponential", "t_grid": "balanced"}
HEAD = ("problem", "KL of paths / exact", "KL of averages / exact", "average", "wanted", "ESS", "evaluations, 10⁶",
        "theirs, 10⁶", "CPU s")  # fmt: skip


def bernoulli_kl(p: float, q: float) -> float:
    """KL of two coins, nats."""
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


def right(x: Tensor) -> Tensor:
    return (x >= 0).to(x.dtype)


def product_rows(dims: list[int], steps: int, budget: int) -> list[tuple[str, ...]]:
    """One fit in one dimension, which guides all coordinates of each of the products."""
    factor = two_states(1, (0.5, 0.5), separation=2.0, std=STD)
    wanted = brentq(lambda p: bernoulli_kl(p, 0.5) - KL, 0.6, 0.95)
    assert isinstance(wanted, float)
    begin = time.process_time()
    data = lw.Experiment(lw.Observable(right, names=("right",)), values=[wanted])
    run = lw.guide_observables(factor.model(SCHEDULE), data, network=ValueNetwork(1, width=16), budget=budget,
                               certificate_samples=20_000, steps=steps, **LAW)  # fmt: skip
    assert run.guidance is not None
    fitted, rows = time.process_time() - begin, []
    for d in dims:
        begin = time.process_time()
        model = product_model(factor, d, SCHEDULE)
        n = max(16, 20_000 // d)
        ens = lw.sample(model, n, Factors(run.guidance, d), seed=3, steps=steps, **LAW)
        assert isinstance(ens.x, Tensor)
        work = lw.Estimate.from_samples(ens.work / (KL * d))
        share = right(ens.x).double().mean(dim=0)
        # with n paths the KL of averages is too large by 1/2n for each of them
        reached = sum(bernoulli_kl(float(p), 0.5) for p in share.clamp(1e-9, 1 - 1e-9)) - 0.5 * d / n
        rows.append((f"d = K = {d}, told", str(work), f"{reached / (KL * d):.3f}",
                     str(lw.Estimate.from_samples(right(ens.x).double().mean(dim=1))), f"{wanted:.4f}",
                     f"{float(run.certificate.ess.value) ** d:.2g}", f"{run.network_evaluations / 1e6:.1f}", "2000",
                     f"{fitted + time.process_time() - begin:.0f}"))  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def untold_rows(dims: list[int], steps: int, budget: int) -> list[tuple[str, ...]]:
    """Fits that do not know the factors."""
    factor = two_states(1, (0.5, 0.5), separation=2.0, std=STD)
    wanted = brentq(lambda p: bernoulli_kl(p, 0.5) - KL, 0.6, 0.95)
    rows = []
    for d in dims:
        begin = time.process_time()
        names = tuple(f"right {i}" for i in range(d))
        data = lw.Experiment(lw.Observable(right, names=names), values=[wanted] * d)
        try:
            run = lw.guide_observables(product_model(factor, d, SCHEDULE), data, budget=budget, steps=steps, **LAW)
        except lw.LeastworkError as error:
            rows.append((f"d = K = {d}, untold", str(error).split(":")[0], *["–"] * 7))
            print(rows[-1], flush=True)
            continue
        x = run.sample(4096, seed=1)
        assert isinstance(x.x, Tensor)
        share = right(x.x).double().mean(dim=0)
        reached = sum(bernoulli_kl(float(p), 0.5) for p in share) - 0.5 * d / len(x)
        work = lw.Estimate.from_samples(x.work / (KL * d))
        rows.append((f"d = K = {d}, untold", str(work), f"{reached / (KL * d):.3f}", f"{float(share.mean()):.3f}",
                     f"{wanted:.4f}", str(run.certificate.ess), f"{run.network_evaluations / 1e6:.1f}", "2000",
                     f"{time.process_time() - begin:.0f}"))  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def rare_row(steps: int, budget: int) -> tuple[str, ...]:
    """The right half from 6·10⁻⁵ to 0.8, from twelve draws of it.

    Half of its probability is the tail of the left mode beyond four standard deviations, where a chain whose spread is
    wrong by δ changes the probability by a factor e^{16 δ}. By 100 exponential steps the model itself has 0.6 of it, so
    that the steps are of second order here.
    """
    reach = float(norm.cdf(1 / STD))
    weight = (RARE - 1 + reach) / (2 * reach - 1)
    begin = time.process_time()
    model = two_states(1, (1 - weight, weight), separation=2.0, std=STD).model(SCHEDULE)
    exact = bernoulli_kl(WANTED, RARE)
    random = torch.Generator().manual_seed(5)
    # half of the region's probability is the right mode's, and half is the tail of the left one, an exponential
    tail = STD**2 * torch.empty(6, 1).exponential_(generator=random)
    guides = torch.cat([1 + STD * torch.randn(6, 1, generator=random), tail])
    run = lw.guide_path(model, guides, LeastWork(budget=budget, success=WANTED), region=Slab(0, 0.0, math.inf),
                        certificate_samples=2000, steps=steps)  # fmt: skip
    found = float(run.free_energy.value)
    print(f"-ln p(A) {run.free_energy} (exact {-math.log(RARE):.3f})", flush=True)
    ens = lw.sample(model, 20_000, run.guidance, seed=3, steps=steps)
    assert isinstance(ens.x, Tensor)
    inside = right(ens.x[:, 0]).double()
    share, work = lw.Estimate.from_samples(inside), lw.Estimate.from_samples(ens.work / exact)
    p = math.exp(-found)
    log_tilt = torch.where(inside > 0, math.log(WANTED / p), math.log((1 - WANTED) / (1 - p)))
    ess = kish_ess(ens.log_weight + log_tilt)
    row = (f"rare mode, {RARE:.1e}", str(work), f"{bernoulli_kl(share.value, RARE) / exact:.3f}", str(share),
           f"{WANTED}", str(ess), f"{run.network_evaluations / 1e6:.1f}", "20",
           f"{time.process_time() - begin:.0f}")  # fmt: skip
    print(row, flush=True)
    return row


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--dims", type=int, nargs="*", default=[1, 10, 100, 1000])
    parser.add_argument("--untold", type=int, nargs="*", default=[5, 20])
    parser.add_argument("--rare", action=BooleanOptionalAction, default=True)
    parser.add_argument("--rare-steps", type=int, default=100)
    parser.add_argument("--rare-budget", type=int, default=2_000_000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--budget", type=int, default=4_000_000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    quiet()
    rows = product_rows(given.dims, given.steps, given.budget) if given.dims else []
    rows += [rare_row(given.rare_steps, given.rare_budget)] if given.rare else []
    rows += untold_rows(given.untold, 100, 5_000_000)
    table = markdown(HEAD, rows)
    print(table)
    merge(DOCS / "peers.md", "calibration", table)


if __name__ == "__main__":
    main()
