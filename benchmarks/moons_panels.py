"""The thin region between two moons, guided five ways: `python -m benchmarks.moons_panels`.

Fifteen guides on the bundled flow-matching model, no membership test: the region is where their kernel density is at
least its fifth percentile over the guides. Transported and loss guidance are fitted to 1 − success + γ·work, without
(γ = 0) and with (γ = 0.01) the penalty. `nearest` is the median distance to the nearest guide over that of the model's
own samples in the region: small for copies. The figure is docs/images/moons-panels.png.

Takes about ten minutes on one core.
"""

import math

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

import leastwork as lw
from benchmarks.command import options
from benchmarks.picture import save
from benchmarks.problems import LAW, points
from leastwork.path_guidance.methods import LeastWork, Loss, PathGuidanceMethod, Transported
from leastwork.path_guidance.run import PathRun
from leastwork.statistics.diversity import nearest_guide, relative_diversity
from leastwork.systems.thin_region import moons_gap

PANELS: tuple[tuple[str, PathGuidanceMethod], ...] = (
    ("transported, no penalty", Transported(gamma=0.0)),
    ("transported, γ = 0.01", Transported(gamma=0.01)),
    ("loss, no penalty", Loss(gamma=0.0)),
    ("loss, γ = 0.01", Loss(gamma=0.01)),
    ("least-work", LeastWork()),
)
OWN = 400_000


def main() -> None:
    options(__doc__).parse_args()
    torch.set_num_threads(1)
    model, guides = lw.load_model("moons"), moons_gap().guides(15, seed=0).float()
    own, inside = None, torch.empty(0, 2)  # drawn once a region is there
    figure = Figure(figsize=(11, 2.2), layout="constrained")
    for axes, (title, method) in zip(figure.subplots(1, 5, sharex=True, sharey=True), PANELS, strict=True):
        run = lw.guide_path(model, guides, method, **LAW)
        if own is None:
            own = points(lw.sample(model, OWN, seed=11, **LAW))
            inside = own[run.region(own)]
            p = len(inside) / OWN
            print(f"count: F = {-math.log(p):.3f} ± {math.sqrt((1 - p) / (p * OWN)):.3f}, {len(inside)} hits")
        found = points(run.inside(run.certificate_ensemble))
        ratio = nearest_guide(found, run.guides).median() / nearest_guide(inside, run.guides).median()
        print(
            f"{title:<24} success {run.success}  W {run.certificate.work}  efficiency {run.certificate.efficiency}  "
            f"F {run.free_energy}  diversity {relative_diversity(found, inside)}  nearest {float(ratio):.2f}  "
            f"evaluations {run.network_evaluations / 1e6:.0f}e6  {run.seconds:.0f} s",
            flush=True,
        )
        panel(axes, title, own, run, guides)
    save(figure, "moons-panels")


def panel(axes: Axes, title: str, own: Tensor, run: PathRun, guides: Tensor) -> None:
    drawn = points(run.certificate_ensemble)
    axes.plot(*own[:6000].T, ".", color="0.8", markersize=1)
    axes.plot(*drawn[:1500].T, ".", color="#0072B2", markersize=1.5)
    axes.plot(*guides.T, "D", color="#D55E00", markersize=3, markeredgecolor="white", markeredgewidth=0.4)
    axes.set_title(f"{title}\nin A {run.success.value:.0%}, $W$ = {run.certificate.work.value:.3g}", fontsize=8.5)
    axes.set(xlim=(-1.7, 1.7), ylim=(-1.3, 1.3), aspect="equal", xticks=[], yticks=[])


if __name__ == "__main__":
    main()
