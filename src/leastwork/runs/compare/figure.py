"""The figure of a comparison: one row a method, one panel a quantity, a dot with its standard error for each."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from leastwork.report.figures import BLUE, GREY, RC
from leastwork.support.files import write_bytes

__all__ = ["draw_comparison"]

_PANELS: tuple[tuple[str, str, bool], ...] = (  # key, label, logarithmic
    ("target_error", "target error  (σ)", True),
    ("held_out_error", "held-out error  (σ)", True),
    ("divergence", "KL to the truth", True),
    ("work", "work  ($k_\\mathrm{B}T$)", True),
    ("waste", "wasted share of $W$", True),
    ("ess", "ESS", False),
    ("fit_evaluations", "evaluations to fit", True),
)


def draw_comparison(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write the figure as PNG; quantities that no method has are left out.

    Args:
        rows: as in comparison.json.
        path: the file of the picture.
    """
    shown = [{**row, "waste": _waste(row["efficiency"])} for row in rows if not row["reason"]]
    panels = [panel for panel in _PANELS if any(row[panel[0]] is not None for row in shown)]
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(1.1 + 1.5 * len(panels), 0.9 + 0.33 * len(shown)), layout="constrained")
        grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (key, label, logarithmic) in zip(grid, panels, strict=True):
            _panel(axes, shown, key, logarithmic)
            axes.set_xlabel(label)
        grid[0].set_yticks(range(len(shown)), [row["method"] for row in shown])
        grid[0].set_ylim(len(shown) - 0.5, -0.5)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=160)
    write_bytes(path, buffer.getvalue())


def _panel(axes: Axes, rows: Sequence[dict[str, Any]], key: str, logarithmic: bool) -> None:
    for y, row in enumerate(rows):
        value, stderr = _number(row[key])
        colour = BLUE if row["method"] == "least-work" else GREY
        if value is None:
            axes.text(0.5, y, "–", transform=axes.get_yaxis_transform(), color=GREY, ha="center", va="center")
            continue
        if logarithmic:  # an error bar that reaches zero has no left end
            value = max(abs(value), 1e-12)
            low = min(stderr, 0.999 * value)
            axes.errorbar(value, y, xerr=[[low], [stderr]], fmt="o", color=colour, markersize=5, elinewidth=1.2)
        else:
            axes.errorbar(value, y, xerr=stderr, fmt="o", color=colour, markersize=5, elinewidth=1.2)
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(-0.08, 1.08)
        axes.set_xticks([0, 0.5, 1])
    axes.grid(axis="y", color="#ececec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    if logarithmic:
        axes.set_xlim(*_decades(axes))


def _waste(efficiency: dict[str, Any] | None) -> dict[str, Any] | None:
    if efficiency is None or efficiency["value"] is None:
        return None
    return {"value": 1 - efficiency["value"], "stderr": efficiency["stderr"]}


def _number(entry: Any) -> tuple[float | None, float]:
    if isinstance(entry, dict):
        return entry["value"], entry["stderr"] or 0.0
    return entry, 0.0


def _decades(axes: Axes) -> tuple[float, float]:
    """Limits at whole decades, at least one."""
    values = [float(line.get_xdata()[0]) for line in axes.get_lines() if len(line.get_xdata()) == 1]  # type: ignore[arg-type,index]
    low, high = np.floor(np.log10(0.8 * min(values, default=0.2))), np.ceil(np.log10(1.2 * max(values, default=0.5)))
    return 10.0 ** float(low), 10.0 ** float(max(high, low + 1))
