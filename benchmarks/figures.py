"""The README's figure, docs/images/prinz.png, from a run of the bundled model: densities, and work against its bound.

python benchmarks/figures.py
"""

from pathlib import Path

import torch
from matplotlib.figure import Figure

import leastwork as lw
from leastwork.systems.prinz import prinz

IMAGE = Path(__file__).parents[1] / "docs/images/prinz.png"
TRUTH, MODEL, REWEIGHTED, GUIDED = "0.8", "#d55e00", "#009e73", "#0072b2"


def main() -> None:
    torch.set_num_threads(1)
    truth = prinz()
    aim = float(truth.mean(lambda x: x[:, 0]))
    data = lw.Experiment(lw.Observable(lambda x: x[:, 0], names=("x",)), values=[aim], errors=[0.0])
    run = lw.guide_observables(lw.load_model("prinz"), data, certificate_samples=40_000)
    certificate, own = run.certificate, run.model_samples
    figure = Figure(figsize=(9, 3), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    grid = torch.linspace(-1.2, 1.2, 481, dtype=torch.float64)[:, None]
    left.fill_between(grid[:, 0], truth.log_prob(grid).exp(), color=TRUTH, label="truth")
    weights = torch.softmax(own.log_weight + own.log_tilt, dim=0)
    bins = {"bins": 80, "range": (-1.2, 1.2), "density": True, "histtype": "step"}
    left.hist(own.x[:, 0], color=MODEL, label="model", **bins)
    left.hist(own.x[:, 0], weights=weights, color=REWEIGHTED, label="reweighted", **bins)
    left.hist(run.certificate_ensemble.x[:, 0], color=GUIDED, label="guided", **bins)
    left.set(xlabel="x", ylabel="probability density")
    left.legend(frameon=False, fontsize=8)
    bound, lost = certificate.bound, certificate.dissipation
    right.barh([0], [bound.value], color=GUIDED, label="unavoidable")
    right.barh([0], [lost.value], left=[bound.value], color=MODEL, label="dissipated", xerr=[bound.stderr])
    right.set(yticks=[], ylim=(-1, 1.4), xlabel="work, $k_BT$")
    right.set_title(f"efficiency {certificate.efficiency.value:.3f} ± {certificate.efficiency.stderr:.3f}", fontsize=10)
    right.legend(frameon=False, fontsize=8, ncols=2, loc="upper left")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(IMAGE, dpi=130)
    print(f"E[x] = {run.certificate_ensemble.mean(lambda x: x[:, 0])} (target {aim:.4f})")
    print(f"work {certificate.work}, bound {bound}, efficiency {certificate.efficiency}, ESS {certificate.ess}")
    print(f"written to {IMAGE}")


if __name__ == "__main__":
    main()
