"""Figures of chains of atoms: laid over each other, and as points of a map, on which a page's reader chooses one."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from leastwork.report.drawing import Drawing
from leastwork.report.figures import image, legend
from leastwork.report.palette import BLACK, BLUE, GREEN, ORANGE

__all__ = ["point_map", "traces"]

Array = NDArray[np.float64]

_STYLE = ({"color": BLUE, "marker": "s"}, {"color": ORANGE, "marker": "o"})


def traces(panels: Sequence[tuple[str, Array]], reference: Array) -> Drawing:
    """Chains drawn over each other, projected on the reference's own principal plane.

    Args:
        panels: title and structures, (n, N, 3), superposed onto the reference.
        reference: (N, 3), drawn in black.
    """
    centre = reference.mean(axis=0)
    _, _, axes_of = np.linalg.svd(reference - centre)
    flat = [((x - centre) @ axes_of.T)[..., :2] for _, x in panels]
    native = ((reference - centre) @ axes_of.T)[:, :2]
    reach = 1.05 * max(float(np.quantile(np.abs(x), 0.999)) for x in flat)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (title, _), x in zip(grid, panels, flat, strict=True):
            for chain in x:
                axes.plot(*chain.T, color=BLUE, linewidth=0.6, alpha=0.35)
            ends = x[:, [0, -1]]
            axes.plot(*ends[:, 0].T, "o", color=ORANGE, markersize=2.2, markeredgewidth=0)
            axes.plot(*ends[:, 1].T, "s", color=GREEN, markersize=2.2, markeredgewidth=0)
            axes.plot(*native.T, color=BLACK, linewidth=1.5)
            axes.set(title=title, xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[], yticks=[])
            axes.plot([-0.95 * reach, -0.95 * reach + 0.5], [-0.93 * reach] * 2, color=BLACK, linewidth=2)
            axes.text(-0.95 * reach + 0.25, -0.9 * reach, "0.5 nm", ha="center", va="bottom", fontsize=7.5)

    return image(draw, 7.2, 0.35 + 6.6 / len(panels))


def point_map(sets: Sequence[tuple[str, Array, Array]], labels: tuple[str, str]) -> Drawing:
    """A point for each structure.

    Args:
        sets: one or two: label, x (n,) and y (n,).
        labels: labels of the axes.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for (label, x, y), style in zip(sets, _STYLE, strict=False):
            axes.plot(x, y, linestyle="", markersize=3.2, markeredgewidth=0, alpha=0.75, label=label, **style)
        axes.set_xlabel(labels[0], parse_math=False)
        axes.set_ylabel(labels[1], parse_math=False)
        legend(figure, *axes.get_legend_handles_labels())

    return image(draw, 7.2, 3.2)
