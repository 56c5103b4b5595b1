"""Exact guidance against the closed form of the discretised chain: `python -m benchmarks.gaussian_ladder`.

Data N(0.5, 0.5²), guided by Doob's transform to the mean −0.2, one nat away. Efficiency and ESS of 20,000 guided
samples at 25 to 1,600 steps, by Euler on uniform and log-SNR grids and by the exponential solver on the log-SNR grid,
beside the values that recursions of moments give without sampling. z is the difference in standard errors, which
should stay within 5. Saves docs/images/gaussian_ladder.png.

Takes about three minutes on one core.
"""

from typing import Any

import torch
from matplotlib.figure import Figure

import leastwork as lw
from benchmarks.command import options
from benchmarks.picture import open_frame, save
from benchmarks.problems import points
from leastwork.sampling.grids import time_grid
from leastwork.sampling.process import Process
from leastwork.sampling.solvers import as_solver
from leastwork.schedules.gaussian import VPSchedule
from leastwork.statistics.estimate import Estimate
from leastwork.systems.gaussian import Gaussian, exact_chain

SAMPLES = 20_000
STEPS = (25, 50, 100, 200, 400, 800, 1600)
SETTINGS = {
    ("euler", "uniform"): ("#0072B2", "o", "-"),
    ("euler", "log-snr"): ("#D55E00", "s", "--"),
    ("exponential", "log-snr"): ("#009E73", "D", ":"),
}

Row = tuple[int, float, Estimate, float, Estimate]
"""Steps, efficiency exact and sampled, ESS exact and sampled."""


def ladder(solver: str, grid: str) -> list[Row]:
    """One row a number of steps."""
    data, schedule = Gaussian(0.5, 0.5), VPSchedule()
    tilt = data.for_mean(-0.2)
    doob: Any = data.doob(tilt, schedule)
    model = data.model(schedule)
    process = Process(model)
    rows = []
    for steps in STEPS:
        exact = exact_chain(data, schedule, as_solver(solver).steps(process, time_grid(process, steps, grid)), tilt)
        guided = lw.sample(
            model,
            SAMPLES,
            doob,
            solver=solver,
            t_grid=grid,
            steps=steps,
            seed=steps,
            dtype=torch.float64,
        )
        found = lw.certify(guided.work, guided.log_weight, tilt(points(guided)))
        rows.append((steps, exact.efficiency, found.efficiency, exact.ess, found.ess))
    return rows


def deviation(exact: float, found: Estimate) -> float:
    """(found − exact) in standard errors."""
    return (float(found.value) - exact) / float(found.stderr)


def draw(ladders: dict[tuple[str, str], list[Row]]) -> None:
    """Losses, on logarithmic axes: exact lines, samples with bars of five standard errors."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    for axes, name, at in zip(figure.subplots(1, 2), ("efficiency", "ESS"), (0, 1), strict=True):
        for (solver, grid), rows in ladders.items():
            colour, marker, line = SETTINGS[solver, grid]
            steps = [row[0] for row in rows]
            axes.plot(
                steps,
                [1 - (row[1], row[3])[at] for row in rows],
                color=colour,
                linestyle=line,
                label=f"{solver}, {grid}",
            )
            found = [(row[2], row[4])[at] for row in rows]
            loss, bars = [1 - one.value for one in found], [5 * one.stderr for one in found]
            axes.errorbar(steps, loss, bars, color=colour, marker=marker, markersize=4, linestyle="none", capsize=2)
        axes.set(xscale="log", yscale="log", xlabel="steps", ylabel=f"1 − {name}")
        axes.set_xticks(STEPS, [str(s) for s in STEPS])
        axes.minorticks_off()
        open_frame(axes)
    figure.axes[0].legend(frameon=False)
    figure.suptitle(
        "Exact guidance of a Gaussian: lines closed form, points 20,000 samples ± 5 standard errors", fontsize=10
    )
    save(figure, "gaussian_ladder")


def main() -> None:
    options(__doc__).parse_args()
    ladders = {setting: ladder(*setting) for setting in SETTINGS}
    print(
        f"{'solver':<12}{'grid':<9}{'steps':>6}{'efficiency':>12} {'sampled':>16} {'z':>5} {'ESS':>8} {'sampled':>17} z"
    )
    worst = 0.0
    for (solver, grid), rows in ladders.items():
        for steps, efficiency, found_efficiency, ess, found_ess in rows:
            z_efficiency, z_ess = deviation(efficiency, found_efficiency), deviation(ess, found_ess)
            worst = max(worst, abs(z_efficiency), abs(z_ess))
            print(
                f"{solver:<12}{grid:<9}{steps:>6} {efficiency:>11.5f}"
                f" {float(found_efficiency.value):>8.5f}±{float(found_efficiency.stderr):.5f}{z_efficiency:>7.1f}"
                f" {ess:>8.5f} {float(found_ess.value):>8.5f}±{float(found_ess.stderr):.5f}{z_ess:>6.1f}"
            )
    print(f"largest |z| {worst:.1f} of {2 * sum(map(len, ladders.values()))}")
    draw(ladders)


if __name__ == "__main__":
    main()
