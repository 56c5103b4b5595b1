"""How many network evaluations each solver needs: `python -m benchmarks.solvers`.

Wasserstein-1 distance (mean difference of sorted samples) on the bundled Prinz model, averaged over seeds 0 to 3,
between 20,000 samples of every solver, process and grid at 10 to 100 evaluations, and 200,000 samples of the same
process at many: 1,000 Euler steps of the SDE, 200 of Heun's for the ODE. The last denoising, one evaluation that all
share, is not counted. Sampling alone gives ten subsets of 20,000 of the reference a distance from the other 180,000;
their mean is the sampling error, dashed. The seeds are shared by all settings, so that these fluctuate together. Saves
docs/images/solvers.png.

Takes about six minutes on one core.
"""

import math

import torch
from matplotlib.figure import Figure
from torch import Tensor

import leastwork as lw
from benchmarks.command import options
from benchmarks.picture import open_frame, save
from benchmarks.problems import points, sampling_errors
from leastwork.statistics.discrepancy import wasserstein

SAMPLES = 20_000
REFERENCE = 200_000
EVALUATIONS = (10, 15, 20, 25, 30, 50, 100)
SEEDS = range(4)
SOLVERS = {
    "euler": ("#8a8a8a", "o"),
    "heun": ("#D55E00", "s"),
    "exponential": ("#009E73", "D"),
    "multistep": ("#0072B2", "^"),
}


def distance(x: Tensor, law: Tensor) -> float:
    """W₁; NaN for samples that exploded."""
    return float(wasserstein(x, law)) if bool(x.isfinite().all()) else math.nan


def draw_samples(n: int, solver: str, process: str, grid: str, steps: int, seed: int) -> Tensor:
    """Samples of the bundled model, (n, 1); NaN if they explode."""
    try:
        model = lw.load_model("prinz")
        drawn = lw.sample(model, n, solver=solver, process=process, t_grid=grid, steps=steps, seed=seed)  # type: ignore
    except lw.NonFiniteError:
        return torch.full((n, 1), math.nan)
    return points(drawn)


def reference(process: str) -> Tensor:
    """The process's own law, drawn afresh, since the bundled model may have been trained again."""
    choices = ("euler", "sde", "uniform", 1000) if process == "sde" else ("heun", "ode", "log-snr", 200)
    return draw_samples(REFERENCE, *choices, seed=1)


def draw(table: dict[tuple[str, str, str], list[float]], level: dict[str, float]) -> None:
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    for axes, process in zip(figure.subplots(1, 2, sharey=True), ("sde", "ode"), strict=True):
        for (solver, kind, grid), row in table.items():
            if kind == process:
                colour, marker = SOLVERS[solver]
                style = {"linestyle": "-" if grid == "log-snr" else ":", "marker": marker, "markersize": 4}
                axes.plot(EVALUATIONS, row, color=colour, label=f"{solver}, {grid}", linewidth=1.2, **style)
        axes.axhline(level[process], color="#222222", linewidth=0.8, linestyle="--")
        axes.set(xscale="log", yscale="log", xlabel="network evaluations", title=process.upper(), ylim=(2e-3, 0.4))
        axes.set_xticks(EVALUATIONS, [str(e) for e in EVALUATIONS])
        axes.minorticks_off()
        open_frame(axes)
    figure.axes[0].set_ylabel("Wasserstein-1 distance")
    figure.axes[0].annotate(
        "sampling error", (10, level["sde"]), textcoords="offset points", xytext=(0, -10), fontsize=8
    )
    figure.axes[1].legend(frameon=False, fontsize=7.5, ncols=2)
    save(figure, "solvers")


def main() -> None:
    options(__doc__).parse_args()
    torch.set_num_threads(1)
    table: dict[tuple[str, str, str], list[float]] = {}
    level: dict[str, float] = {}
    print(f"{'solver':<12}{'process':<8}{'grid':<9}" + "".join(f"{e:>8}" for e in EVALUATIONS))
    for process in ("sde", "ode"):
        law = reference(process)
        errors = sampling_errors(law, SAMPLES)
        level[process] = sum(errors) / len(errors)
        for grid in ("log-snr", "uniform"):
            for solver in SOLVERS:
                per_step = 2 if solver == "heun" else 1
                row = []
                for e in EVALUATIONS:
                    steps = e // per_step
                    found = [distance(draw_samples(SAMPLES, solver, process, grid, steps, s), law) for s in SEEDS]
                    row.append(sum(found) / len(found))
                table[solver, process, grid] = row
                print(f"{solver:<12}{process:<8}{grid:<9}" + "".join(f"{w:>8.4f}" for w in row), flush=True)
        print(f"{process} sampling error: {level[process]:.4f}, at most {max(errors):.4f}", flush=True)
    draw(table, level)


if __name__ == "__main__":
    main()
