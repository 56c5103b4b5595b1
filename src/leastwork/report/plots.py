"""Figures for a notebook, drawn on axes of matplotlib that the caller may go on with."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwork.report.figures import BINS, BLACK, BLUE, GREEN, GREY, ORANGE

__all__ = ["Curve", "histograms", "run_figure", "work_bar"]

Array = NDArray[np.float64]
Curve = tuple[str, Array]
"""A name, and weights (n,) that sum to one."""

_COLOURS = {"guided": BLUE, "model": ORANGE, "target": GREEN}


def new_axes(n: int) -> list[Any]:
    """Axes of a new figure in one row; pyplot is imported here, since it chooses a window system."""
    from matplotlib import pyplot as plt

    _, axes = plt.subplots(1, n, figsize=(3.6 * n, 2.8), layout="constrained", squeeze=False)
    return list(axes[0])


def work_bar(axes: Any, bound: tuple[float, float], dissipation: float) -> Any:
    """Unavoidable and wasted work as one bar, k_B T.

    Args:
        axes: where to draw; None for a new figure.
        bound: unavoidable work and its standard error.
        dissipation: wasted work.
    """
    axes = new_axes(1)[0] if axes is None else axes
    first = max(bound[0], 0.0)
    axes.barh(0, first, color=BLUE, label="unavoidable (bound)")
    axes.barh(0, dissipation, left=first, color=ORANGE, hatch="////", edgecolor="white", label="wasted (dissipation)")
    axes.errorbar(bound[0], 0, xerr=bound[1], color=BLACK, capsize=4, fmt="none")
    axes.set_yticks([])
    axes.set_ylim(-0.6, 1.6)
    axes.set_xlabel("work W  ($k_\\mathrm{B}T$)")
    axes.legend(loc="upper left", frameon=False)
    return axes


def histograms(axes: Any, labels: Sequence[str], values: Array, curves: Sequence[Curve]) -> list[Any]:
    """A histogram of each column under each distribution.

    Args:
        axes: axes for each column; None for a new figure.
        labels: label of each column.
        values: (n, K).
        curves: the distributions.
    """
    own = new_axes(len(labels)) if axes is None else list(np.atleast_1d(axes))
    for one, label, column in zip(own, labels, values.T, strict=True):
        edges = np.histogram_bin_edges(column, BINS // 2)
        for name, weights in curves:
            height = np.histogram(column, edges, weights=weights)[0] / np.diff(edges)
            one.stairs(height, edges, color=_COLOURS[name], label=name)
        one.set_xlabel(label, parse_math=False)
        one.set_ylabel("probability density")
        one.legend(frameon=False)
    return own


def run_figure(certificate: Any, times: Any, step_work: Any, names: Sequence[str]) -> list[Any]:
    """The certificate, the work along the path, and the misses of the data.

    Args:
        certificate: a :class:`leastwork.Certificate`.
        times: (S+1,), decreasing.
        step_work: mean work of each step, (S,), with standard errors; or None.
        names: names of the data, (K,); empty for none.
    """
    missed = certificate.miss if names else None
    own = new_axes(3 if missed is not None else 2)
    work_bar(own[0], (certificate.bound.value, certificate.bound.stderr), certificate.dissipation.value)
    if step_work is not None:
        length = -np.diff(np.asarray(times))
        own[1].stairs((np.asarray(step_work.value) / length)[::-1], np.asarray(times)[::-1], baseline=None, color=BLUE)
        own[1].invert_xaxis()
    own[1].set_xlabel("time t  (noise → data)")
    own[1].set_ylabel("work per unit of t  ($k_\\mathrm{B}T$)")
    if missed is not None:
        rows = np.arange(len(names))
        own[2].axvspan(-0.05, 0.05, color=GREY, alpha=0.3)
        own[2].errorbar(np.asarray(missed.value), rows, xerr=np.asarray(missed.stderr), fmt="s", color=BLUE, capsize=3)
        own[2].set_yticks(rows, names, parse_math=False)
        own[2].set_xlabel("(average − target) / σ of the observable")
    return own
