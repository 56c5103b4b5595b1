"""The README's figure, docs/images/prinz.png, from two runs of the bundled model: densities, and work with its bound.

python -m benchmarks.figures

Takes about a minute and a half on one core.
"""

from typing import Any

import torch
from matplotlib.figure import Figure

import leastwork as lw
from benchmarks.command import options
from benchmarks.picture import open_frame, save
from benchmarks.problems import points
from leastwork.systems.prinz import position, prinz

TRUTH, MODEL, REWEIGHTED, GUIDED = "0.8", "#d55e00", "#009e73", "#0072b2"


def main() -> None:
    options(__doc__).parse_args()
    torch.set_num_threads(1)
    truth = prinz()
    aim = float(truth.mean(position))
    data = lw.Experiment(lw.Observable(position, names=("x",)), values=[aim], errors=[0.0])
    model = lw.load_model("prinz")
    runs = {
        name: lw.guide_observables(model, data, method, solver="euler", steps=200, certificate_samples=40_000)
        for name, method in (("least work", "least-work"), ("published form", "scheduled"))
    }
    run = runs["least work"]
    own = run.model_samples
    figure = Figure(figsize=(9, 3), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    grid = torch.linspace(-1.2, 1.2, 481, dtype=torch.float64)[:, None]
    left.fill_between(grid[:, 0], truth.log_prob(grid).exp(), color=TRUTH, label="truth")
    assert own.log_tilt is not None
    weights = torch.softmax(own.log_weight + own.log_tilt, dim=0)
    bins: dict[str, Any] = {"bins": 80, "range": (-1.2, 1.2), "density": True, "histtype": "step"}
    left.hist(points(own)[:, 0], color=MODEL, label="model", **bins)
    left.hist(points(own)[:, 0], weights=weights, color=REWEIGHTED, label="reweighted", **bins)
    left.hist(points(run.certificate_ensemble)[:, 0], color=GUIDED, label="guided", **bins)
    left.set(xlabel="x", ylabel="probability density")
    left.legend(frameon=False, fontsize=8)
    for y, (name, one) in enumerate(runs.items()):
        bound, lost, efficiency = one.certificate.bound, one.certificate.dissipation, one.certificate.efficiency
        kinds = ("unavoidable", "dissipated") if y == 0 else ("", "")
        right.barh([y], [bound.value], height=0.45, color=GUIDED, label=kinds[0])
        right.barh([y], [lost.value], 0.45, left=[bound.value], color=MODEL, label=kinds[1], xerr=[bound.stderr])
        right.text(0, y - 0.3, f"{name}, efficiency {efficiency.value:.4f} ± {efficiency.stderr:.4f}", fontsize=8.5)
    right.set(yticks=[], ylim=(1.5, -1.1), xlabel="work, $k_BT$")
    right.legend(frameon=False, fontsize=8, ncols=2, loc="upper left")
    for axes in (left, right):
        open_frame(axes)
    for name, one in runs.items():
        c = one.certificate
        print(f"{name}: E[x] = {one.certificate_ensemble.mean(data.observable.fn)} (target {aim:.4f})")
        print(f"  work {c.work}, bound {c.bound}, efficiency {c.efficiency}, ESS {c.ess}")
    save(figure, "prinz")


if __name__ == "__main__":
    main()
