"""A figure of a page: an SVG in the page's colours, and the numbers that it shows, read off what was drawn.

The page's script tells the numbers under the pointer and offers them as CSV; without scripts the picture is all.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle, StepPatch
from numpy.typing import NDArray

from leastwork.report.palette import in_page_colours

__all__ = ["Drawing", "Panel", "Series", "draw_figure"]

RC: dict[Any, Any] = {
    "svg.hashsalt": "leastwork",
    "svg.fonttype": "none",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}

_DIGITS = 5  # significant digits of a number, which no eye tells from the number itself
_TAG = re.compile(r"<[^>]*>")
_LONG = re.compile(r"(\d\.\d\d)\d+")
_EMPTY_GROUP = re.compile(r"<g>\n?((?:(?!</?g[ >])[\s\S])*)</g>\n?")
_ID = re.compile(r' id="([^"]*)"')
_REFERENCE = re.compile(r'(?<=["(])#([^")]+)')
_THERMAL = (
    '<tspan font-style="italic">k</tspan><tspan dy="2" font-size="75%">B</tspan>'
    '<tspan dy="-2" font-style="italic">T</tspan>'
)


@dataclass(frozen=True)
class Series:
    """One curve, set of points, or map.

    Args:
        label: its name in the legend, empty where it has none.
        kind: ``line``, ``points``, ``steps`` (a height between x and the next) or ``map`` (rows of heights from the
            lowest y on, between the ends of x and of y).
        x, y: its numbers; None where there is none.
        error: standard errors of the numbers, of y or for horizontal bars of x.
        heights: the numbers of a map, a row for each y.
    """

    label: str
    kind: str
    x: list[float | None]
    y: list[float | None]
    error: list[float | None] | None = None
    heights: list[list[float | None]] | None = None


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Args:
        box: left, top, right and bottom of the axes in the picture, whose width and height are one.
        x, y: limits of the axes.
        log_x, log_y: whether an axis is logarithmic.
        labels: of the axes, as plain text.
        title: above the axes.
        series: what it shows.
    """

    box: tuple[float, float, float, float]
    x: tuple[float, float]
    y: tuple[float, float]
    log_x: bool
    log_y: bool
    labels: tuple[str, str]
    title: str
    series: list[Series]


@dataclass(frozen=True)
class Drawing:
    """A figure: its SVG in the page's colours, and what its panels show."""

    svg: str
    panels: list[Panel]

    def numbered(self, number: int) -> str:
        """The SVG with names of its parts that no other figure of the page has."""
        return _TAG.sub(lambda tag: _prefixed(tag[0], f"f{number}-"), self.svg)

    def numbers(self) -> list[dict[str, Any]]:
        """The panels as plain values, which become JSON."""
        return [asdict(panel) for panel in self.panels]


def draw_figure(draw: Callable[[Figure], None], width: float, height: float, style: dict[Any, Any]) -> Drawing:
    """Draw a figure; the same figure gives the same bytes.

    Args:
        draw: draws into an empty figure.
        width, height: inches.
        style: settings of matplotlib.
    """
    with matplotlib.rc_context({**style, **RC}), warnings.catch_warnings():
        # The reader's browser has the letters of a text, whatever matplotlib's own font lacks.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        panels = [_panel(axes) for axes in figure.axes if axes.get_visible() and axes.get_label() != "<colorbar>"]
    return Drawing(_for_a_page(buffer.getvalue()), [panel for panel in panels if panel.series])


def _for_a_page(svg: str) -> str:
    """The element alone: no prologue, no style that would reach the rest of the page, short numbers, named colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"| version="[^"]*"| width="[^"]*pt"| height="[^"]*pt"', "", svg)
    svg = svg.replace("xlink:href", "href")
    named = {name for tag in _TAG.findall(svg) for name in _REFERENCE.findall(tag)}
    svg = _TAG.sub(lambda tag: in_page_colours(_LONG.sub(r"\1", _only(tag[0], named))), svg)
    svg, many = re.sub(r"\s*\n\s*", "\n", svg), 1
    while many:  # groups that say nothing, from the innermost on
        svg, many = _EMPTY_GROUP.subn(r"\1", svg)
    return svg.strip().replace("k_BT", _THERMAL)


def _only(tag: str, named: set[str]) -> str:
    """A tag without a name that nothing refers to."""
    return _ID.sub(lambda found: found[0] if found[1] in named else "", tag)


def _prefixed(tag: str, prefix: str) -> str:
    tag = _ID.sub(lambda found: f' id="{prefix}{found[1]}"', tag)
    return _REFERENCE.sub(lambda found: f"#{prefix}{found[1]}", tag)


def _panel(axes: Axes) -> Panel:
    box = axes.get_position()
    return Panel(
        (_short(box.x0), _short(1 - box.y1), _short(box.x1), _short(1 - box.y0)),
        (float(axes.get_xlim()[0]), float(axes.get_xlim()[1])),
        (float(axes.get_ylim()[0]), float(axes.get_ylim()[1])),
        axes.get_xscale() == "log",
        axes.get_yscale() == "log",
        (_plain(axes.get_xlabel()), _plain(axes.get_ylabel())),
        _plain(axes.get_title()),
        [*_maps(axes), *_bars(axes), *_steps(axes), *_lines(axes)],
    )


def _maps(axes: Axes) -> Iterator[Series]:
    for each in axes.images:
        if isinstance(each, AxesImage):
            left, right, bottom, top = each.get_extent()
            heights = np.ma.filled(np.ma.asarray(each.get_array(), dtype=float), np.nan)
            rows = [_list(row) for row in heights]
            yield Series("", "map", [_short(left), _short(right)], [_short(bottom), _short(top)], heights=rows)


def _bars(axes: Axes) -> Iterator[Series]:
    """Bars that have a label, by their middle and their height."""
    names = [tick.get_text() for tick in axes.get_xticklabels()]
    for container in axes.containers:
        bars = [one for one in container if isinstance(one, Rectangle)]
        if bars and not str(container.get_label()).startswith("_") and names:
            middle = np.array([one.get_x() + one.get_width() / 2 for one in bars])
            yield Series(
                str(container.get_label()), "points", _list(middle), _list(np.array([one.get_height() for one in bars]))
            )


def _steps(axes: Axes) -> Iterator[Series]:
    for each in axes.patches:
        if isinstance(each, StepPatch):
            values, bounds, _ = each.get_data()
            heights = np.append(np.asarray(values, dtype=float), np.nan)
            yield Series(_label(each), "steps", _list(np.asarray(bounds)), _list(heights))


def _lines(axes: Axes) -> Iterator[Series]:
    """Lines in the coordinates of the axes, with the errors of those that have bars."""
    errors: dict[Line2D, tuple[str, list[float | None]]] = {}
    for container in axes.containers:
        if isinstance(container, ErrorbarContainer) and container.lines[0] is not None and container.lines[2]:
            ends = [np.asarray(segment) for segment in container.lines[2][0].get_segments()]
            sizes = np.array([np.abs(end[-1] - end[0]).max() / 2 if len(end) else np.nan for end in ends])
            errors[container.lines[0]] = (_label(container) or _label(container.lines[0]), _list(sizes))
    for line in axes.lines:
        if line.get_transform() != axes.transData:
            continue
        x, y = (np.asarray(part, dtype=float) for part in line.get_data(orig=False))
        label, error = errors.get(line, (_label(line), None))
        if label is None or len(x) == 0:
            continue
        is_line = line.get_linestyle() not in ("None", "none", "", " ")
        yield Series(label, "line" if is_line else "points", _list(x), _list(y), error)


def _label(artist: Any) -> str:
    """The label of a curve; a name after one underscore stands in no legend and is a label all the same."""
    label = str(artist.get_label())
    return "" if re.fullmatch(r"_child\d+|_container\d+|_nolegend_", label) else label.removeprefix("_")


def _plain(label: str) -> str:
    """A label without the marks of formulas, but k_BT for the thermal energy, as the text of a page has it."""
    return "k_BT".join(re.sub(r"[$_{}\\]", "", part) for part in label.split("k_BT")).strip()


def _list(values: NDArray[Any]) -> list[float | None]:
    return [_short(value) if np.isfinite(value) else None for value in values.tolist()]


def _short(value: float) -> float:
    number = float(f"{value:.{_DIGITS}g}")
    return int(number) if number.is_integer() and abs(number) < 1e9 else number
