"""Figures of a report, each a function from arrays to a drawing that stands in the page.

Curves differ in colour, and in line or marker besides.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from numpy.typing import NDArray

from leastwork.report.drawing import Drawing, draw_figure
from leastwork.report.palette import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SHADES, WHITE

__all__ = [
    "BINS", "BLACK", "BLUE", "GREEN", "GREY", "LEAST_COUNT", "ORANGE", "PURPLE", "RC", "SHADES", "WHITE",
    "Samples", "densities",
    "histograms", "image", "ledger", "legend", "observables",
]  # fmt: skip

Array = NDArray[np.float64]

_STYLE: Mapping[str, dict[str, Any]] = {
    "model": {"color": ORANGE, "linestyle": (0, (4, 1.5)), "linewidth": 1.3},
    "reweighted": {"color": GREEN, "linestyle": (0, (1, 1)), "linewidth": 1.7},
    "guided": {"color": BLUE, "linestyle": "-", "linewidth": 1.5},
}
_POINTS = ((ORANGE, "o"), (GREEN, "D"), (BLUE, "s"), (PURPLE, "^"))
BINS = 80
LEAST_COUNT = 5  # smallest count of a bin for which a free energy is shown
RC: dict[Any, Any] = {
    "font.size": 8.5,
    "axes.linewidth": 0.7,
    "axes.edgecolor": BLACK,
    "axes.labelcolor": BLACK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "xtick.color": BLACK,
    "ytick.color": BLACK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}


@dataclass(frozen=True)
class Samples:
    """Numbers with weights: one curve of a figure. values: (n,); weights: (n,) that sum to one, or None."""

    label: str
    values: Array
    weights: Array | None = None

    def histogram(self, edges: Array) -> Array:
        """Density per bin, (len(edges) − 1,); what lies outside counts in the normalisation."""
        weights = np.full(len(self.values), 1 / len(self.values)) if self.weights is None else self.weights
        return np.histogram(self.values, edges, weights=weights)[0] / np.diff(edges)


def densities(curves: Sequence[Samples], truth: Callable[[Array], Array] | None, label: str) -> Drawing:
    """Densities of samples on a line, and −ln of them.

    Args:
        curves: the samples.
        truth: the exact density, if known.
        label: label of the axis.
    """
    edges = _edges(curves, BINS)
    centres = (edges[1:] + edges[:-1]) / 2
    heights = [curve.histogram(edges) for curve in curves]

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        fine = np.linspace(edges[0], edges[-1], 600)
        zero = max(float(height.max()) for height in heights)
        if truth is not None:
            exact = truth(fine)
            zero = float(exact.max())
            left.fill_between(fine, exact, color=SHADES[2], linewidth=0, label="truth")
            left.plot(fine, exact, color=SHADES[2], linewidth=0.5, label="_truth")
            right.plot(fine, -np.log(np.maximum(exact, 1e-300) / zero), color=SHADES[3], linewidth=4.5,
                       zorder=0, label="_truth")  # fmt: skip
        for curve, height in zip(curves, heights, strict=True):
            left.plot(centres, height, label=curve.label, **_STYLE[curve.label])
            energy = np.full_like(height, np.nan)
            enough = np.histogram(curve.values, edges)[0] >= LEAST_COUNT
            np.log(height / zero, out=energy, where=enough & (height > 0))
            right.plot(centres, -energy, label=curve.label, **_STYLE[curve.label])
        left.set_ylim(bottom=0)
        right.set_ylim(-0.3, 7)
        left.set_ylabel("probability density")
        right.set_ylabel("free energy  −ln p  (k_BT)")
        for axes in (left, right):
            axes.set_xlim(edges[0], edges[-1])
            axes.set_xlabel(label, parse_math=False)
        legend(figure, *left.get_legend_handles_labels())

    return image(draw, 7.2, 2.9)


def histograms(panels: Sequence[tuple[str, Sequence[Samples], float]]) -> Drawing:
    """A histogram of each observable: its label, the samples, and where a line marks the datum."""
    columns = 2 if len(panels) in (2, 4) else min(3, len(panels))
    rows = -(-len(panels) // columns)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(rows, columns, squeeze=False).flat
        for axes, (label, curves, datum) in zip(grid, panels, strict=False):
            edges = _edges(curves, BINS // 2)
            for curve in curves:
                axes.stairs(curve.histogram(edges), edges, label=curve.label, **_STYLE[curve.label])
            axes.axvline(datum, color=BLACK, linewidth=0.8, label="datum")
            axes.set_xlabel(label, parse_math=False)
            axes.set_ylim(bottom=0)
            axes.set_yticks([])
        for axes in figure.axes[len(panels) :]:
            axes.set_visible(False)
        legend(figure, *figure.axes[0].get_legend_handles_labels())

    return image(draw, 7.2, 0.5 + 1.9 * rows)


def observables(
    rows: Sequence[Mapping[str, Any]], tolerance: float, kinds: Sequence[str] = ("model", "reweighted", "guided")
) -> Drawing:
    """Averages before and after, as distances from the datum in standard deviations of the observable.

    Args:
        rows: per datum its ``label`` and ``error``, the ``optimum`` that it is judged by or None, and for each kind of
            samples ``kind: (distance, stderr)``.
        tolerance: half-width of the band around the optimum that counts as on target.
        kinds: up to four kinds of samples, from top to bottom.
    """
    offset = dict(zip(kinds, np.linspace(-0.2, 0.2, len(kinds)), strict=True))
    styles = dict(zip(kinds, _POINTS, strict=False))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axvline(0, color=BLACK, linewidth=0.8, zorder=1)
        for y, row in enumerate(rows):
            if row["optimum"] is not None:
                axes.barh(y, 2 * tolerance, 0.84, left=row["optimum"] - tolerance, color=SHADES[1], zorder=0)
        errors = [row["error"] for row in rows]
        axes.barh(range(len(rows)), [2 * error for error in errors], 0.3, left=[-error for error in errors],
                  color=SHADES[4], zorder=1)  # fmt: skip
        for kind, shift in offset.items():
            shown = [(y + shift, *row[kind]) for y, row in enumerate(rows) if row.get(kind) is not None]
            if shown:
                height, distance, stderr = zip(*shown, strict=True)
                axes.errorbar(
                    distance, height, xerr=stderr, label=kind, color=styles[kind][0], fmt=styles[kind][1],
                    markersize=4.5, elinewidth=1.1, capsize=2,
                    markerfacecolor=WHITE if styles[kind][1] == "o" else None,
                )  # fmt: skip
        axes.set_yticks(range(len(rows)), [row["label"] for row in rows], parse_math=False)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("distance from the datum  (standard deviations of the observable under the model)")
        legend(figure, *axes.get_legend_handles_labels())

    return image(draw, 7.2, 1.15 + 0.42 * len(rows))


def ledger(
    bound: tuple[float, float], dissipation: float, caption: str, times: Array, work: Array, stderr: Array
) -> Drawing:
    """Work against its bound, and where along the path it was spent.

    Args:
        bound: unavoidable work and its standard error, k_B T.
        dissipation: wasted work, k_B T.
        caption: written above the bar.
        times: (S+1,), decreasing.
        work, stderr: mean work of each step and its error, (S,), k_B T.
    """

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        first = max(bound[0], 0.0)
        left.barh(0, first, color=BLUE, height=0.5, label="unavoidable (bound)")
        left.barh(0, dissipation, left=first, color=ORANGE, height=0.5, hatch="////", edgecolor=WHITE, linewidth=0,
                  label="dissipated")  # fmt: skip
        left.errorbar(bound[0], 0, xerr=bound[1], color=BLACK, capsize=4, elinewidth=1, fmt="none")
        left.set_ylim(-0.6, 0.75)
        left.text(0, 0.36, caption)
        left.set_yticks([])
        left.spines["left"].set_visible(False)
        left.set_xlabel("work W  (k_BT)")
        left.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.28), ncols=2, columnspacing=1.2, handlelength=1.4)
        length = -np.diff(times)
        right.stairs((work / length)[::-1], times[::-1], baseline=None, color=BLUE, linewidth=1.4)
        low, high = (np.maximum(work + sign * 1.96 * stderr, 0) / length for sign in (-1, 1))
        right.fill_between(times, *(np.append(edge, edge[-1]) for edge in (low, high)), step="post", color=BLUE,
                           alpha=0.2, linewidth=0)  # fmt: skip
        right.set_xlim(times[0], times[-1])
        right.set_ylim(bottom=0)
        right.set_xlabel("time t  (noise → data)")
        right.set_ylabel("work per unit of t  (k_BT)")

    return image(draw, 7.2, 2.5)


def _edges(curves: Sequence[Samples], bins: int) -> Array:
    """Common bins of all curves, without the outermost thousandth at each end."""
    ends = np.array([np.quantile(curve.values, (0.001, 0.999)) for curve in curves])
    low, high = ends[:, 0].min(), ends[:, 1].max()
    margin = 0.05 * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, bins + 1)


def legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """A legend above a figure, such as of ``axes.get_legend_handles_labels()``."""
    shown = figure.legend(
        handles, labels, loc="outside upper left", ncols=len(labels), columnspacing=1.6, handlelength=2.2
    )
    for text in shown.get_texts():
        text.set_parse_math(False)


def image(draw: Callable[[Figure], None], width: float, height: float) -> Drawing:
    """A figure for a page; the same figure gives the same bytes.

    Args:
        draw: draws into an empty figure.
        width, height: inches.
    """
    return draw_figure(draw, width, height, RC)
