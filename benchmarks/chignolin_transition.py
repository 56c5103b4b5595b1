"""Path Guidance to chignolin's transition states, three ways: `python -m benchmarks.chignolin_transition`.

The region is 0.4 ≤ committor ≤ 0.6 and has twenty guides; samples are judged by the rest of it in the biased
simulation, thousands of frames. `count` is the share of all simulated frames in the region. Parts: `best`, least-work
guidance with the whole `--budget`; `guides`, with four million evaluations from 5, 10 and 20 guides; `published`, the
published forms, at several penalties γ, in 40 steps. `--shoot` also starts trajectories from 50 generated members, from
50 of the model's own and from 50 simulated ones, 100 from each, and compares their committors by Kolmogorov–Smirnov
tests. The figure is docs/images/chignolin-gamma.png.

Takes about an hour, of which `best` takes seven minutes; --shoot simulates for hours on one core.
"""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.stats import ks_2samp

import leastwork as lw
from benchmarks.command import options
from benchmarks.picture import open_frame, save
from benchmarks.problems import points
from leastwork.cases import chignolin
from leastwork.kernels.aligned import AlignedKernel
from leastwork.observables import distances
from leastwork.path_guidance.least_work import RegionFit
from leastwork.path_guidance.run import PathMethod, PathRun
from leastwork.statistics.discrepancy import wasserstein
from leastwork.statistics.diversity import novelty, relative_diversity

GAMMAS = (0.0, 0.03, 0.3)
BONDS = distances([(i, i + 1) for i in range(9)])
SHOTS, STARTS = 100, 50
PARTS = ("best", "guides", "stages", "published")
QUICK = {"solver": "euler", "steps": 100, "samples": 8000, "members": 10_000, "iterations": 3000}
SHORT = {"solver": "euler", "steps": 40, "samples": 4000}  # the published forms look at hundreds of ensembles


def guides(n: int = 20) -> torch.Tensor:
    """The first ones of those that come with the bundled run, evenly."""
    file = Path(lw.__file__).parent / "cases/chignolin/runs/chignolin-guides.csv"
    every = torch.from_numpy(np.loadtxt(file, delimiter=",", skiprows=1)).float().reshape(-1, 10, 3)
    return every[torch.arange(n) * len(every) // n]


def judge(name: str, run: PathRun) -> None:
    known = chignolin.ensembles()
    counted = known.record["biased"]["transition_region"]
    count = lw.Estimate(-np.log(counted["mean"]), counted["stderr"] / counted["mean"])
    own = run.region(run.model_samples.x).double()
    line = f"{name:<28} success {run.success}  W {run.certificate.work}  efficiency {run.certificate.efficiency}"
    if run.success.value > 0.01:
        x = points(run.inside(run.certificate_ensemble))
        bonds = wasserstein(BONDS(x).double(), BONDS(known.transition).double()).mean()
        diversity = relative_diversity(x, known.transition, AlignedKernel(), max_samples=1000)
        plain = -np.log(max(float(own.mean()), 1e-9))
        line += f"  F {run.free_energy} (count {count}, model's own {plain:.2f})  bonds W1 {float(bonds):.5f} nm"
        line += f"  diversity {diversity}  nearest {novelty(x, run.guides).ratio}"
    print(f"{line}  {run.network_evaluations / 1e6:.0f}e6 evaluations, {run.seconds:.0f} s", flush=True)


def shoot(job: tuple[np.ndarray, int]) -> tuple[float, int]:
    """Of trajectories from one structure, the share of those decided that fold first, and how many did not in 2 ns."""
    from leastwork.cases.chignolin.simulation import Simulation

    torch.set_num_threads(1)
    start, seed = job
    simulation = Simulation(chignolin.BIASED, seed)
    pairs, lengths = (part.numpy() for part in chignolin.native_contacts())
    field = chignolin.BIASED

    def decided(x: np.ndarray) -> int | None:
        apart = np.linalg.norm(x[pairs[:, 0]] - x[pairs[:, 1]], axis=1)
        q = float(np.mean(1 / (1 + np.exp(field.steepness * (apart - field.reach * lengths)))))
        return 1 if q > 0.88 else 0 if q < 0.2 else None

    folded = undecided = 0
    for shot in range(SHOTS):
        simulation.place(torch.from_numpy(start), seed=seed * SHOTS + shot + 1)
        answer = simulation.until(decided, every=50, most=4_000)
        undecided += answer is None
        folded += answer or 0
    return folded / max(SHOTS - undecided, 1), undecided


def shooting(run: PathRun) -> None:
    x, own = (points(run.inside(drawn)) for drawn in (run.certificate_ensemble, run.model_samples))
    truth = chignolin.ensembles().transition
    chosen = [each[torch.arange(STARTS) * len(each) // STARTS].double().numpy() for each in (x, own, truth)]
    with ProcessPoolExecutor(2) as pool:
        jobs = [(start, 1 + k) for k, start in enumerate(np.concatenate(chosen))]
        found, undecided = (np.array(part) for part in zip(*pool.map(shoot, jobs, chunksize=5), strict=True))
    groups = dict(zip(("generated", "the model's own", "simulated"), found.reshape(3, STARTS), strict=True))
    for (name, q), lost in zip(groups.items(), undecided.reshape(3, STARTS).sum(axis=1), strict=True):
        print(f"shooting from {name}: committor {q.mean():.3f} ± {q.std() / STARTS**0.5:.3f}, spread {q.std():.3f}, "
              f"{lost} of {STARTS * SHOTS} trajectories undecided")  # fmt: skip
    for other in ("the model's own", "simulated"):
        test: Any = ks_2samp(groups["generated"], groups[other])
        print(f"  generated and {other}: Kolmogorov–Smirnov {test.statistic:.3f}, p = {test.pvalue:.4f}", flush=True)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--model", default="chignolin")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--budget", type=int, default=20_000_000, help="network evaluations, in the first part")
    parser.add_argument("--steps", type=int, default=200, help="likewise")
    parser.add_argument("--shoot", action="store_true", help="start trajectories, in the first part")
    arguments = parser.parse_args()
    model, region = lw.load_model(arguments.model), chignolin.transition_region()

    def guided(method: PathMethod = "least-work", n: int = 20, **choices: Any) -> PathRun:
        return lw.guide_path(model, guides(n), method, region=region, certificate_samples=5000, **choices)

    if "best" in arguments.parts:
        best = guided(budget=arguments.budget, steps=arguments.steps)
        judge("least-work", best)
        assert isinstance(best.fit, RegionFit)
        print(f"  {best.fit.members} members, {best.fit.acceptance:.1%} of the moves; {best.fit.history}", flush=True)
        if arguments.shoot:
            shooting(best)
    if "guides" in arguments.parts:
        for n in (5, 10, 20):
            judge(f"least-work, {n} guides", guided(n=n, **QUICK))
    if "published" in arguments.parts:
        judge("loss", guided("loss", **SHORT))
        curve = []
        for gamma in GAMMAS:
            run = guided("transported", gamma=gamma, **SHORT)
            judge(f"transported, γ = {gamma:g}", run)
            curve.append((run.success, run.certificate.work))
        draw(curve)


def draw(curve: list[tuple[lw.Estimate, lw.Estimate]]) -> None:
    figure = Figure(figsize=(6.4, 3.0), layout="constrained")
    axes = figure.subplots()
    places = range(len(GAMMAS))
    axes.errorbar(places, [s.value for s, _ in curve], [s.stderr for s, _ in curve], fmt="o-", color="#D55E00")
    axes.set(xlabel="price γ of a nat of work", ylabel="success of transported guidance", ylim=(0, 1.02))
    axes.set_xticks(places, [f"{g:g}\nW = {w.value:.3g}" for g, (_, w) in zip(GAMMAS, curve, strict=True)])
    open_frame(axes)
    save(figure, "chignolin-gamma")


if __name__ == "__main__":
    main()
