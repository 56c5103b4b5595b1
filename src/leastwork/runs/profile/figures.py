"""Figures of a profile: F with its errors along one column, or as a map of two."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from leastwork.report.drawing import Drawing
from leastwork.report.figures import BLUE, image

__all__ = ["overlaps", "profile"]

Array = NDArray[np.float64]
_INTERVAL = 1.96  # standard errors of a 95 % interval


def profile(edges: Sequence[Array], values: Array, errors: Array, labels: Sequence[str]) -> Drawing:
    """F of each bin; ``values`` and ``errors`` have an axis for each column, NaN where F is not known."""
    lowest = np.nanmin(values)

    def line(figure: Figure) -> None:
        axes = figure.subplots()
        centres = 0.5 * (edges[0][1:] + edges[0][:-1])
        known = np.isfinite(values)
        axes.errorbar(
            centres[known], (values - lowest)[known], _INTERVAL * errors[known], color=BLUE, marker="o", markersize=2.5,
            linewidth=1.2, elinewidth=0.8,
        )  # fmt: skip
        axes.set_xlabel(labels[0])
        axes.set_ylabel("F − min F  (k$_\\mathrm{B}$T)")

    def plane(figure: Figure) -> None:
        axes = figure.subplots()
        shown = axes.pcolormesh(edges[0], edges[1], (values - lowest).T, cmap="viridis", rasterized=True)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        figure.colorbar(shown, ax=axes, label="F − min F  (k$_\\mathrm{B}$T)")

    return image(line if values.ndim == 1 else plane, 4.6, 3.0)


def overlaps(overlap: Array) -> Drawing:
    """The overlap matrix of the model's own samples and the windows."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        shown = axes.imshow(overlap, vmin=0, vmax=float(max(overlap.max(), 1e-6)), cmap="Blues")
        axes.set_xlabel("window, 0 for the model itself")
        axes.set_ylabel("window")
        figure.colorbar(shown, ax=axes)

    return image(draw, 3.4, 2.9)
