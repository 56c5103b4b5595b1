"""How least-work Path Guidance depends on the guides' number and bandwidth: `python -m benchmarks.path_sensitivity`.

The bundled Müller–Brown model and the disc about its saddle: 5, 10, 20, 50 guides at the likeliest bandwidth, and 12
guides at a quarter to four times that. The figure is docs/images/path-sensitivity.png; a row that failed says why.

Takes about half an hour on one core.
"""

import numpy as np
import torch
from matplotlib.figure import Figure

import leastwork as lw
from benchmarks.command import options
from benchmarks.picture import open_frame, save
from benchmarks.problems import LAW, Problem, count, saddle
from leastwork.kernels.density import kernel_density
from leastwork.statistics.diversity import relative_diversity

GUIDES = (5, 10, 20, 50)
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
COUNTED = 500_000
LABELS = ("success", "diversity", "efficiency", "$F$ − count,  $k_BT$")


def figures(problem: Problem, points: torch.Tensor, bandwidth: float, hits: torch.Tensor, count_F: float) -> np.ndarray:
    """Values and standard errors, (4, 2); NaN where the guidance was refused."""
    try:
        run = lw.guide_path(problem.model, points, region=problem.region, bandwidth=bandwidth, **LAW)
    except lw.LeastworkError as error:
        print(f"  refused: {error}", flush=True)
        return np.full((4, 2), np.nan)
    found = run.success, relative_diversity(run.inside(run.certificate_ensemble).x, hits), run.certificate.efficiency
    off = lw.Estimate(run.free_energy.value - count_F, run.free_energy.stderr)
    print(f"  {len(points)} guides, b = {bandwidth:.4f}: success, diversity, efficiency {found}, F off by {off}; "
          f"{run.seconds:.0f} s", flush=True)  # fmt: skip
    return np.array([[e.value, e.stderr] for e in (*found, off)])


def main() -> None:
    options(__doc__).parse_args()
    torch.set_num_threads(1)
    problem = saddle()
    counted = count(problem, COUNTED)
    hits, reference = counted.hits, counted.free_energy.value
    print(f"count {counted.free_energy}, {len(hits)} hits", flush=True)
    by_number = [
        figures(problem, points, kernel_density(points).bandwidth, hits, reference)
        for points in (problem.guides(m, seed=20 + m) for m in GUIDES)
    ]
    points = problem.guides()
    likeliest = kernel_density(points).bandwidth
    by_width = [figures(problem, points, factor * likeliest, hits, reference) for factor in FACTORS]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    grid = figure.subplots(2, 4, sharey="col")
    for axes, title in zip(grid[0], LABELS, strict=True):
        axes.set_title(title, fontsize=10)
    for row, x, found, label in (
        (grid[0], GUIDES, by_number, "guides"),
        (grid[1], FACTORS, by_width, "bandwidth over the likeliest"),
    ):
        values = np.stack(found)
        for k, axes in enumerate(row):
            axes.errorbar(x, values[:, k, 0], values[:, k, 1], fmt="o-", color="#0072B2", markersize=4, capsize=2)
            axes.set(xscale="log", xlabel=label)
            axes.set_xticks(x, [f"{v:g}" for v in x])
            axes.minorticks_off()
            open_frame(axes)
    save(figure, "path-sensitivity")


if __name__ == "__main__":
    main()
