"""The figures of a protein's run: free energy along its folding, a map of it, and committors.

Each is a function from arrays to an SVG image, like those of a report.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from leastwork.report.drawing import Drawing
from leastwork.report.figures import BLACK, BLUE, ORANGE, SHADES, Samples, image, legend

__all__ = ["committors", "maps", "profiles"]

Array = NDArray[np.float64]

_GREY = SHADES[3]
_STYLE: Mapping[str, dict[str, Any]] = {
    "reference": {"color": _GREY, "linewidth": 5.0, "zorder": 0},
    "model": {"color": ORANGE, "linestyle": (0, (4, 1.5)), "linewidth": 1.4},
    "guided": {"color": BLUE, "linewidth": 1.6},
}
_BINS = 40
_LEAST_COUNT = 5  # in a bin, for a free energy
_CELLS = 44
_DEEP = 7.0  # k_BT above the minimum, where maps and profiles end


def profiles(curves: Sequence[Samples], label: str, marks: Sequence[float] = ()) -> Drawing:
    """−ln p along a fraction, from 0 to 1, each above its own minimum.

    Args:
        curves: labelled "reference", "model" and "guided".
        label: label of the axis.
        marks: values to be marked by a line.
    """
    edges = np.linspace(0, 1, _BINS + 1)
    centres = 0.5 * (edges[1:] + edges[:-1])

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for curve in curves:
            height, counts = curve.histogram(edges), np.histogram(curve.values, edges)[0]
            energy = np.where((counts >= _LEAST_COUNT) & (height > 0), -np.log(np.maximum(height, 1e-300)), np.nan)
            axes.plot(centres, energy - np.nanmin(energy), label=curve.label, **_STYLE[curve.label])
        for mark in marks:
            axes.axvline(mark, color=BLACK, linewidth=0.7, linestyle=(0, (2, 2)))
        axes.set(xlim=(0, 1), ylim=(-0.2, _DEEP), xlabel=label, ylabel="free energy  −ln p  (k_BT)")
        legend(figure, *axes.get_legend_handles_labels())

    return image(draw, 7.2, 3.0)


def maps(panels: Sequence[tuple[str, Array, Array]], labels: tuple[str, str]) -> Drawing:
    """−ln p over a plane, one panel for each kind of samples, on one scale.

    Args:
        panels: title, x (n,) and y (n,).
        labels: labels of the axes.
    """
    top = max(float(np.quantile(y, 0.9995)) for _, _, y in panels)
    x_edges, y_edges = np.linspace(0, 1, _CELLS + 1), np.linspace(0, top, _CELLS + 1)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
        shown: AxesImage | None = None
        for axes, (title, x, y) in zip(grid, panels, strict=True):
            counts = np.histogram2d(x, y, (x_edges, y_edges))[0].T
            energy = np.where(counts > 0, -np.log(np.maximum(counts, 1) / counts.max()), np.nan)
            shown = axes.imshow(
                energy, origin="lower", extent=(0, 1, 0, top), aspect="auto", cmap="viridis",
                norm=Normalize(0, _DEEP), interpolation="nearest",
            )  # fmt: skip
            axes.set(title=title, xlabel=labels[0])
        grid[0].set_ylabel(labels[1])
        assert shown is not None
        figure.colorbar(shown, ax=list(grid), label="−ln p  (k_BT)", pad=0.02)

    return image(draw, 7.2, 2.7)


def committors(guided: Array, truth: Array, region: tuple[float, float]) -> Drawing:
    """Histograms of committors: of guided structures, and of the simulated ones in the region.

    Args:
        guided: committors of guided structures, (n,).
        truth: committors of simulated structures in the region, (m,).
        region: lower and upper end of the region.
    """
    edges = np.linspace(0, 1, 41)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axvspan(*region, color=SHADES[0], zorder=0, label="region")
        for values, style, label in (
            (truth, {"color": _GREY, "fill": True}, "simulated, in the region"),
            (guided, {"color": BLUE, "linewidth": 1.6}, "guided"),
        ):
            axes.stairs(np.histogram(values, edges)[0] / len(values), edges, label=label, **style)
        axes.set(xlim=(0, 1), xlabel="committor  q", ylabel="share of structures")
        axes.set_ylim(bottom=0)
        legend(figure, *axes.get_legend_handles_labels())

    return image(draw, 7.2, 2.4)
