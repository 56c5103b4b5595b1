"""The figures of Path Guidance: where its samples lie, how new they are, and how that depends on a choice.

Each is a function from arrays to an SVG image, like those of a report. What is drawn differs in colour, and in line or
marker besides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray

from leastwork.errors import LeastworkError
from leastwork.report.drawing import Drawing
from leastwork.report.figures import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SHADES, WHITE, image, legend
from leastwork.support.numerals import plain

__all__ = ["Curve", "Panel", "curves", "nearest", "outlines", "plane"]

Array = NDArray[np.float64]
_Box = tuple[tuple[float, float], tuple[float, float]]

_CELLS = 90  # of the model's histogram, along each side
_DENSITY = LinearSegmentedColormap.from_list("density", [to_rgba(GREY, 0.0), to_rgba(GREY, 1.0)])
_SHAPE = 0.8  # height of a plane's panel over its width
_OUTLINE = 300  # points of a region's grid, along each side
_DOTS = 1000  # guided samples that are drawn
_BINS = (6, 40)  # fewest and most of a histogram
_TICKS = 9  # values of x that still have a tick each
_CURVES: Sequence[dict[str, Any]] = (
    {"color": BLUE, "linestyle": "-", "marker": "s"},
    {"color": ORANGE, "linestyle": (0, (4, 1.5)), "marker": "o"},
    {"color": GREEN, "linestyle": (0, (1, 1)), "marker": "D"},
    {"color": PURPLE, "linestyle": (0, (5, 1, 1, 1)), "marker": "^"},
)


def plane(
    model: Array,
    guided: Array,
    guides: Array,
    membership: NDArray[np.bool_] | None = None,
    labels: tuple[str, str] = ("x₁", "x₂"),
) -> Drawing:
    """States in a plane: all that the model makes, and a closer look at where the guides are.

    Args:
        model: its samples, (n, 2), drawn as a density whose grey is logarithmic.
        guided: guided samples, (m, 2), of which some are drawn, evenly spaced.
        guides: (M, 2).
        membership: membership of the grids' points by :func:`outlines`, for the outline of the region.
        labels: labels of the axes.

    Raises:
        LeastworkError: states that have not two coordinates.
    """
    whole, close = _boxes(model, guided, guides)
    shown = guided[np.linspace(0, len(guided) - 1, min(len(guided), _DOTS)).astype(int)]

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        for i, (axes, ((x0, x1), (y0, y1)), size) in enumerate(((left, whole, 1.0), (right, close, 2.2))):
            _grey(axes, model, ((x0, x1), (y0, y1)))
            axes.plot(*shown.T, ".", color=BLUE, markersize=1.5 * size, alpha=0.7, markeredgewidth=0)
            if membership is not None:
                _outline(axes, membership[i], ((x0, x1), (y0, y1)))
            axes.plot(*guides.T, "D", color=ORANGE, markersize=2.0 + 1.3 * size, markeredgecolor=WHITE,
                      markeredgewidth=0.6)  # fmt: skip
            axes.set_xlim(x0, x1)
            axes.set_ylim(y0, y1)
            axes.set_box_aspect(_SHAPE)
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.yaxis.set_major_locator(MaxNLocator(5))
            axes.set_xlabel(labels[0], parse_math=False)
            axes.set_ylabel(labels[1], parse_math=False)
        (x0, x1), (y0, y1) = close
        left.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color=BLACK, linewidth=0.6, linestyle=(0, (1, 2)))
        entries = [
            (Patch(color=SHADES[4]), "model's density"),
            (Line2D([], [], color=BLUE, marker=".", linestyle="", markersize=6), "guided"),
            (Line2D([], [], color=ORANGE, marker="D", linestyle="", markersize=4.5), "guides"),
            *([] if membership is None else [(Line2D([], [], color=BLACK, linewidth=1.0), "region A")]),
        ]
        legend(figure, *zip(*entries, strict=True))

    return image(draw, 7.2, 3.15)


def outlines(
    model: Array, guided: Array, guides: Array, region: Callable[[Array], NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    """Membership of the points of two grids, one for each panel of :func:`plane`, (2, N, N).

    It is kept with the figures' arrays, so that a report draws the outline without the region, which may be code.

    Args:
        model, guided, guides: as in :func:`plane`.
        region: membership, (B, 2) -> bool (B,).
    """
    grids = [np.stack(np.meshgrid(*(np.linspace(*side, _OUTLINE) for side in box)), axis=-1)
             for box in _boxes(model, guided, guides)]  # fmt: skip
    return np.stack([region(grid.reshape(-1, 2)).reshape(_OUTLINE, _OUTLINE) for grid in grids])


def nearest(guided: Array, guides: Array, model: Array | None = None, unit: str = "") -> Drawing:
    """Distances to the nearest guide: those of copies are much smaller than those of new samples. Markers show medians.

    Args:
        guided: distances of guided samples, (n,).
        guides: distance of each guide to the nearest other, (M,), drawn one by one below, since they are few.
        model: distances of the model's own samples in the region, (k,), if there are any.
        unit: unit of the distance.

    Raises:
        LeastworkError: no guided samples or no guides.
    """
    if not len(guided) or not len(guides):
        raise LeastworkError(f"{len(guided)} samples and {len(guides)} guides: pass the distances of at least one each")
    several = [("guided", guided, _CURVES[0])]
    if model is not None and len(model):
        several.append(("model in A", model, _CURVES[1]))
    ends = [float(np.quantile(values, 0.999)) for _, values, _ in several]  # one far sample is not to squeeze the rest
    top = 1.05 * max(*ends, float(guides.max())) or 1.0

    def draw(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(7, 1))
        entries: list[tuple[Artist, str]] = []
        for label, values, style in several:
            line = {"color": style["color"], "linestyle": style["linestyle"]}
            edges = np.linspace(0, top, 1 + int(np.clip(2 * len(values) ** (1 / 3), *_BINS)))
            height = np.histogram(values, edges)[0] / len(values) / np.diff(edges)
            upper.stairs(height, edges, linewidth=1.5, **line)
            _median(upper, values, style)
            entries.append((Line2D([], [], linewidth=1.5, marker=style["marker"], markersize=5, **line),
                            _with_median(label, values)))  # fmt: skip
        lower.plot(guides, np.zeros_like(guides), "|", color=GREEN, markersize=9, markeredgewidth=1.1)
        _median(upper, guides, _CURVES[2])
        entries.append((Line2D([], [], color=GREEN, linestyle="", marker=_CURVES[2]["marker"], markersize=5),
                        _with_median("guide to guide", guides)))  # fmt: skip
        upper.set_ylim(bottom=0)
        upper.set_xlim(0, top)
        upper.set_ylabel("probability density")
        upper.tick_params(axis="x", length=0)
        lower.set_ylim(-1, 1)
        lower.set_yticks([0], ["guides"])
        lower.tick_params(axis="y", length=0)
        lower.spines["left"].set_visible(False)
        lower.set_xlabel("distance to the nearest guide" + (f"  ({unit})" if unit else ""), parse_math=False)
        legend(figure, *zip(*entries, strict=True))

    return image(draw, 7.2, 3.1)


@dataclass(frozen=True)
class Curve:
    """Values and their standard errors, one for each x, NaN where there is none: (n,)."""

    label: str
    values: Array
    stderr: Array


@dataclass(frozen=True)
class Panel:
    """A quantity with its label, curves, limits of the axis (by default those of the data) and the place of a line."""

    label: str
    curves: Sequence[Curve]
    limits: tuple[float | None, float | None] = (None, None)
    reference: float | None = None


def curves(
    x: Array, panels: Sequence[Panel], label: str, logarithmic: bool = False, chosen: float | None = None
) -> Drawing:
    """Several quantities against one; curves of one label look alike in all panels.

    Args:
        x: increasing, (n,).
        panels: up to four curves of different label.
        label: label of the x axis.
        logarithmic: scale of x.
        chosen: an x to be marked, such as the default.

    Raises:
        LeastworkError: no panels, more than four labels, or values that are not one for each x.
    """
    names = list(dict.fromkeys(curve.label for panel in panels for curve in panel.curves))
    if not panels or len(names) > len(_CURVES):
        raise LeastworkError(f"{len(panels)} panels of {len(names)} different curves: pass 1 to {len(_CURVES)} curves")
    for curve in (curve for panel in panels for curve in panel.curves):
        if curve.values.shape != x.shape or curve.stderr.shape != x.shape:
            raise LeastworkError(
                f"curve {curve.label!r} has {len(curve.values)} values for {len(x)} x: pass one for each"
            )
    styles = dict(zip(names, cycle(_CURVES), strict=False))
    columns = len(panels) if len(panels) < 4 else 2
    rows = -(-len(panels) // columns)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(rows, columns, squeeze=False).flat
        for axes, panel in zip(grid, panels, strict=False):
            _panel(axes, panel, x, styles)
            if chosen is not None:
                axes.axvline(chosen, color=SHADES[4], linewidth=3, alpha=0.5, zorder=0)
            _scale(axes, x, logarithmic)
            axes.set_xlabel(label, parse_math=False)
        for axes in figure.axes[len(panels) :]:
            axes.set_visible(False)
        if len(names) > 1:
            legend(figure, [Line2D([], [], markersize=4.5, **styles[name]) for name in names], names)

    return image(draw, min(7.2, 0.6 + 3.3 * columns), 0.3 * (len(names) > 1) + 2.3 * rows)


def _panel(axes: Axes, panel: Panel, x: Array, styles: dict[str, dict[str, Any]]) -> None:
    if panel.reference is not None:
        axes.axhline(panel.reference, color=BLACK, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
    for curve in panel.curves:
        axes.errorbar(x, curve.values, yerr=curve.stderr, markersize=4.5, linewidth=1.3, elinewidth=1.1, capsize=2,
                      label=curve.label, **styles[curve.label])  # fmt: skip
    axes.set_ylabel(panel.label, parse_math=False)
    axes.set_ylim(*panel.limits)
    axes.margins(x=0.08)


def _scale(axes: Axes, x: Array, logarithmic: bool) -> None:
    if logarithmic:
        axes.set_xscale("log")
    if len(x) <= _TICKS and logarithmic:  # decades alone would leave most of the values without a tick
        axes.set_xticks(x, [plain(float(value), 3) for value in x])
        axes.xaxis.set_minor_locator(NullLocator())


def _grey(axes: Axes, model: Array, box: tuple[tuple[float, float], tuple[float, float]]) -> None:
    """The model's density, on a scale of its own."""
    counts, x, y = np.histogram2d(*model.T, bins=_CELLS, range=box)
    if counts.max() > 0:
        shown = np.ma.masked_equal(counts.T, 0)
        scale = LogNorm(vmin=0.3, vmax=4 * counts.max())  # never quite paper, nor full grey
        extent = (x[0], x[-1], y[0], y[-1])
        axes.imshow(shown, _DENSITY, scale, aspect="auto", interpolation="nearest", origin="lower", extent=extent)


def _outline(axes: Axes, inside: NDArray[np.bool_], box: _Box) -> None:
    x, y = (np.linspace(*side, len(inside)) for side in box)
    if inside.any() and not inside.all():
        axes.contour(x, y, inside.astype(float), levels=[0.5], colors=[BLACK], linewidths=1.0)


def _boxes(model: Array, guided: Array, guides: Array) -> tuple[_Box, _Box]:
    """Limits of the two panels of a plane."""
    for states, name in ((model, "model"), (guided, "guided"), (guides, "guides")):
        if states.ndim != 2 or states.shape[1] != 2 or not len(states):
            raise LeastworkError(f"{name} of shape {states.shape} cannot be drawn in a plane: pass states (n, 2)")
    whole = _box(np.concatenate([np.quantile(model, (0.0005, 0.9995), axis=0), guides]), 0.06)
    close = _box(np.concatenate([np.quantile(guided, (0.02, 0.98), axis=0), guides]), 0.25)
    return whole, close


def _box(points: Array, margin: float) -> _Box:
    """Limits about points, with so much of each side as margin at its ends.

    Both axes have one scale, unless the sides are so different that they can hardly be the same quantity.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    half = np.maximum((high - low) / 2, 1e-9 + 1e-6 * np.abs(high)) * (1 + 2 * margin)
    if half.max() < 4 * half.min():
        half = max(half[0], half[1] / _SHAPE) * np.array([1.0, _SHAPE])
    (x0, y0), (x1, y1) = (low + high) / 2 - half, (low + high) / 2 + half
    return (float(x0), float(x1)), (float(y0), float(y1))


def _with_median(label: str, values: Array) -> str:
    return f"{label}: median {plain(float(np.median(values)), 3)}"


def _median(axes: Axes, values: Array, style: dict[str, Any]) -> None:
    axes.plot(float(np.median(values)), 1.0, style["marker"], color=style["color"], markersize=6, clip_on=False,
              transform=axes.get_xaxis_transform(), zorder=5)  # fmt: skip
