"""The figure of trust: χ² per datum against θ, and against how far each θ takes the model."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leastwork.report.drawing import Drawing
from leastwork.report.figures import BLACK, BLUE, GREEN, GREY, ORANGE, WHITE, image, legend
from leastwork.runs.observables.couplings.numbers import TrustNumbers

__all__ = ["populations", "trust"]


def trust(curve: TrustNumbers) -> Drawing:
    """Held-out and fitted χ² against θ (left) and against KL (right), the chosen θ marked.

    Args:
        curve: how θ was chosen, by cross-validation.
    """
    thetas, held_out, stderr, fitted, kl = (
        np.asarray(values, dtype=np.float64)
        for values in (curve.thetas, curve.held_out, curve.held_out_stderr, curve.fitted, curve.kl)
    )
    chosen, model = curve.chosen, float(curve.model or 0.0)

    def lines(axes: Axes, x: np.ndarray) -> None:
        axes.fill_between(x, held_out - stderr, held_out + stderr, color=BLUE, alpha=0.15, linewidth=0)
        axes.plot(x, held_out, color=BLUE, linewidth=1.5, marker="s", markersize=3.5, label="left out")
        axes.plot(
            x, fitted, color=GREEN, linewidth=1.5, linestyle=(0, (1, 1)), marker="D", markersize=3, label="fitted"
        )
        axes.axhline(model, color=ORANGE, linewidth=1.3, linestyle=(0, (4, 1.5)), label="model")
        axes.axvline(x[chosen], color=GREY, linewidth=0.9, zorder=0, label="chosen")

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        lines(left, thetas)
        lines(right, kl)
        left.set_xscale("log")
        left.set_xlabel("θ  (data trusted → not trusted)")
        left.set_ylabel("χ² per datum")
        right.set_xlabel("KL(reweighted ‖ model)  (k_BT)")
        top = max(float((held_out + stderr).max()), model)
        left.set_ylim(0, 1.08 * top)
        right.set_xlim(left=0)
        legend(figure, *left.get_legend_handles_labels())

    return image(draw, 7.2, 2.9)


def populations(basins: Sequence[str], kinds: Mapping[str, Sequence[tuple[float, float]]]) -> Drawing:
    """Populations of basins, with standard errors, side by side for each kind of samples.

    Args:
        basins: their names.
        kinds: of "model", "reweighted" and "guided" those there are: (population, stderr) of each basin.
    """
    colours = {"model": ORANGE, "reweighted": GREEN, "guided": BLUE}
    width = 0.8 / len(kinds)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for i, (kind, values) in enumerate(kinds.items()):
            at = np.arange(len(basins)) + (i - (len(kinds) - 1) / 2) * width
            heights, errors = zip(*values, strict=True)
            axes.bar(
                at, heights, 0.9 * width, yerr=errors, label=kind, color=colours[kind],
                hatch={"model": "////", "reweighted": "....", "guided": ""}[kind], edgecolor=WHITE, linewidth=0,
                error_kw={"elinewidth": 1, "capsize": 2, "ecolor": BLACK},
            )  # fmt: skip
        axes.set_xticks(range(len(basins)), basins, parse_math=False)
        axes.tick_params(axis="x", length=0)
        axes.set_ylabel("population")
        legend(figure, *axes.get_legend_handles_labels())

    return image(draw, 7.2, 2.6)
