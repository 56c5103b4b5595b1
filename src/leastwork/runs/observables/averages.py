"""Sections on averages: how the observables are distributed, and how far their averages are from the data."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch

from leastwork.observable_guidance.files import FitNumbers
from leastwork.report import figures
from leastwork.report.blocks import Image, Mark, Section, Table, Words
from leastwork.report.drawing import Drawing
from leastwork.report.figures import Samples
from leastwork.runs.base.finished import Finished
from leastwork.runs.base.sentences import pm
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.numbers import ObservableNumbers, ObservableRow
from leastwork.runs.observables.truth import truth
from leastwork.sampling.work import ON_TARGET
from leastwork.support.numerals import count, plain, plus_minus

__all__ = ["averages_section", "distances_of", "distributions_section", "grey_rows", "has_units", "named"]

_MOST_PANELS = 12
_ROWS_OF_A_FIGURE = 40
_MOST_LETTERS = 32  # characters


def distributions_section(run: Finished[RunConfig], metrics: ObservableNumbers, fitted: FitNumbers) -> Section:
    """Densities of a system on a line, histograms of the observables of any other."""
    guided = run.config.chosen.guides
    on_a_line = fitted.x is not None and "x" in run.plots
    image = Image(
        _densities(run, fitted, guided) if on_a_line else _histograms(run, metrics.observables, fitted, guided),
        _of_densities(run.config, metrics, guided) if on_a_line else _of_histograms(len(metrics.observables), guided),
        "Distributions of the model's, the reweighted and the guided samples",
    )
    return Section("Distributions" if on_a_line else "Distributions of the observables", [], [image])


def _of_densities(config: RunConfig, metrics: ObservableNumbers, guided: bool) -> str:
    whose = ", and of the guided samples" if guided else ""
    exact = ", with the exact density in grey" if config.system else ""
    drawn = f" and {count(config.sampling.n)} guided" if guided else ""
    return (
        f"Probability density (left) and free energy (right) of the model, of the model reweighted to the data{whose}"
        f"{exact}. Histograms of {count(metrics.quality.model_samples)} model{drawn} samples in "
        f"{figures.BINS} bins; free energies are shown for bins with at least {figures.LEAST_COUNT} samples."
    )


def _of_histograms(number: int, guided: bool) -> str:
    whose = ", and under guidance" if guided else ""
    some = f"; the first {_MOST_PANELS} of {number} observables are shown" if number > _MOST_PANELS else ""
    return (
        f"Histograms of the observables under the model, under the model reweighted to the data{whose}. The vertical "
        f"line is the datum{some}."
    )


def _densities(run: Finished[RunConfig], fitted: FitNumbers, guided: bool) -> Drawing:
    density = truth(run.config.system)

    def exact(x: np.ndarray) -> np.ndarray:
        assert density is not None
        return density.log_prob(torch.from_numpy(x)[:, None]).exp().numpy()

    assert fitted.x is not None
    curves = _curves(fitted, guided, fitted.x, run.plots["x"])
    return figures.densities(curves, None if density is None else exact, "x")


def _histograms(run: Finished[RunConfig], rows: Sequence[ObservableRow], fitted: FitNumbers, guided: bool) -> Drawing:
    return figures.histograms(
        [
            (_label(row), _curves(fitted, guided, fitted.observed[:, k], run.plots["observed"][:, k]), _datum(row))
            for k, row in enumerate(rows[:_MOST_PANELS])
        ]
    )


def _curves(fitted: FitNumbers, guided: bool, model: torch.Tensor, after: torch.Tensor) -> list[Samples]:
    weights = torch.softmax(fitted.maxent.log_tilt_of(fitted.observed), dim=0)
    before, last = (values.to(torch.float64).numpy() for values in (model, after))
    curves = [Samples("model", before), Samples("reweighted", before, weights.numpy())]
    return [*curves, Samples("guided", last)] if guided else curves


def averages_section(config: RunConfig, rows: Sequence[ObservableRow]) -> Section:
    """Averages before and after, as distances from the data and as numbers."""
    ordered = sorted(rows, key=lambda row: row.held_out)
    pages = [ordered[i : i + _ROWS_OF_A_FIGURE] for i in range(0, len(ordered), _ROWS_OF_A_FIGURE)]
    images = [
        Image(
            _distances(page),
            f"{_whose(i, page, len(rows))} with one standard error, as distances from the datum in units of the "
            f"observable's standard deviation under the model. Light bands mark ±{plain(ON_TARGET)} around the average "
            "of the target distribution, by which a run is judged; dark grey bars are the errors of the data. Data "
            "marked held out took no part in the fit.",
            "Averages of the observables before and after, as distances from the data",
        )
        for i, page in enumerate(pages)
    ]
    units, guided = has_units(rows), config.chosen.guides
    table = Table(
        "Averages before and after, ± one standard error.",
        ["observable", *(["unit"] if units else []), "datum", "model", "reweighted", *(["guided"] if guided else [])],
        [_cells(row, units, guided) for row in rows],
        text_columns=2 if units else 1,
        grey_rows=grey_rows(rows),
    )
    return Section("Observables", [], images, [table])


def _whose(i: int, page: Sequence[ObservableRow], number: int) -> str:
    """The averages of a figure, which says which ones where there are several."""
    if len(page) == number:
        return "Ensemble averages"
    first = i * _ROWS_OF_A_FIGURE
    return f"Ensemble averages {count(first + 1)} to {count(first + len(page))} of {count(number)}"


def _cells(row: ObservableRow, units: bool, guided: bool) -> list[Words]:
    return [
        named(row),
        *([[Mark(row.unit, "name")] if row.unit else "–"] if units else []),
        _measured(row),
        pm(row.before),
        pm(row.after(guides=False)),
        *([pm(row.after(guides=True))] if guided else []),
    ]


def _measured(row: ObservableRow) -> Words:
    """A value with its error, or bounds."""
    if row.target is None:
        bounds = (("≥", row.lower), ("≤", row.upper))
        return " ".join(f"{sign} {plain(bound)}" for sign, bound in bounds if bound is not None)
    value = plus_minus(row.target, row.error)
    return value if row.error else (value, " ", Mark("(exact)", "quiet"))


def named(row: ObservableRow) -> Words:
    """The cell of an observable's name, which says whether its datum was held out."""
    name = Mark(row.name, "name")
    return (name, " ", Mark("held out", "tag")) if row.held_out else (name,)


def grey_rows(rows: Sequence[ObservableRow]) -> Collection[int]:
    """Rows of data that were held out."""
    return [k for k, row in enumerate(rows) if row.held_out]


def has_units(rows: Sequence[ObservableRow]) -> bool:
    """Whether any of the observables has a unit."""
    return any(row.unit for row in rows)


def _distances(rows: Sequence[ObservableRow]) -> Drawing:
    return figures.observables([distances_of(row) for row in rows], ON_TARGET)


def distances_of(row: ObservableRow) -> dict[str, Any]:
    """A row of the figure of distances: each average from its datum, in standard deviations of the observable."""
    sigma, datum = row.sigma or 1.0, _datum(row)
    averages = {"model": row.before, "reweighted": row.after(guides=False), "guided": row.after(guides=True)}
    distances = {
        kind: ((one.value - datum) / sigma, (one.stderr or 0.0) / sigma)
        for kind, one in averages.items()
        if one.value is not None
    }
    label = f"{_short(row.name)} (held out)" if row.held_out else _short(row.name)
    optimum = None if row.held_out or row.optimum is None else (row.optimum - datum) / sigma
    return {"label": label, "error": (row.error or 0.0) / sigma, "optimum": optimum, **distances}


def _label(row: ObservableRow) -> str:
    return f"{_short(row.name)} ({_short(row.unit)})" if row.unit else _short(row.name)


def _short(name: str) -> str:
    """A name that fits into a figure."""
    return name if len(name) <= _MOST_LETTERS else name[: _MOST_LETTERS - 1] + "…"


def _datum(row: ObservableRow) -> float:
    """The measured value, or the bound that is nearest to the model."""
    if row.target is not None:
        return row.target
    low = -np.inf if row.lower is None else row.lower
    high = np.inf if row.upper is None else row.upper
    if np.isfinite(low) and np.isfinite(high):
        model = row.model or 0.0
        return low if abs(model - low) < abs(model - high) else high
    return low if np.isfinite(low) else high
