"""The error of −ln p(A) against its cost, at p(A) = 10⁻², 10⁻³, 10⁻⁴: `python -m benchmarks.free_energy_cost`.

The pass between two wells in 10 dimensions, 12 guides. A least-work guidance is fitted once; its samples then know
−ln p(A) from their path weights. Beside it plain samples of the same discretised model, as many as the same evaluations
pay for, of which those in A are counted. `off` is the deviation from a long count (in one dimension, which has the same
law), in combined standard errors. The figure is docs/images/free-energy-cost.png.

Takes about half an hour on one core.
"""

import math

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

import leastwork as lw
from benchmarks.command import options
from benchmarks.picture import open_frame, save
from benchmarks.problems import LAW, count, pass_between_wells, points

LONG = {1e-2: 400_000, 1e-3: 2_000_000, 1e-4: 12_000_000}
SIZES = (1000, 3000, 10_000, 30_000)
COLOURS = {1e-2: "#0072B2", 1e-3: "#D55E00", 1e-4: "#009E73"}


def main() -> None:
    options(__doc__).parse_args()
    torch.set_num_threads(1)
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    head = f"{'p(A)':>6} {'evaluations':>12} {'guided':>16} {'off':>6} {'count of equal cost':>22}"
    print(head, flush=True)
    for p, long in LONG.items():
        problem = pass_between_wells(p)
        truth = count(problem, long, line=True)
        run = lw.guide_path(problem.model, problem.guides(), region=problem.region, **LAW)
        drawn = run.sample(max(SIZES), seed=1)
        plain = count(problem, 100_000 * math.ceil((run.network_evaluations / 201 + max(SIZES)) / 100_000), seed=500)
        cost, errors, counted = [], [], []
        for n in SIZES:
            weight = (drawn.log_weight[:n].exp() * problem.region(points(drawn)[:n])).double()
            found = lw.Estimate.from_influence(-math.log(float(weight.mean())), weight / weight.mean())
            evaluations = run.network_evaluations + 201 * n
            hits = len(plain.hits) / plain.samples * evaluations / 201
            off = (found.value - truth.free_energy.value) / math.hypot(found.stderr, truth.free_energy.stderr)
            cost.append(evaluations)
            errors.append(found.stderr)
            counted.append(1 / math.sqrt(hits) if hits else math.nan)
            print(
                f"{p:>6g} {evaluations / 1e6:>10.1f}e6 {found!s:>16} {off:>6.1f} {hits:>9.0f} hits ± {counted[-1]:.3f}"
            )
        print(
            f"       count {truth.free_energy} ({len(truth.hits)} hits), quadrature {problem.exact:.4f}; success "
            f"{run.success}, efficiency {run.certificate.efficiency}, fit {run.seconds:.0f} s",
            flush=True,
        )
        label = f"$p(A) = 10^{{{round(math.log10(p))}}}$"
        axes.plot(cost, errors, "o-", color=COLOURS[p], markersize=4, label=f"{label}, least-work")
        grid = [1e6, 1e8]
        axes.plot(grid, [math.sqrt(201 / p / e) for e in grid], "--", color=COLOURS[p], label=f"{label}, count")
    axes.set(xscale="log", yscale="log", xlim=(1e6, 1e8), xlabel="network evaluations, the fit's included",
             ylabel="standard error of $-\\ln p(A)$,  $k_BT$")  # fmt: skip
    axes.xaxis.set_minor_formatter(NullFormatter())  # the decades alone: minor labels run into each other
    figure.legend(frameon=False, fontsize=8, loc="outside right upper")
    open_frame(axes)
    save(figure, "free-energy-cost")


if __name__ == "__main__":
    main()
