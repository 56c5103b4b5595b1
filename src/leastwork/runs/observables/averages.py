"""Sections on averages: how the observables are distributed, and how far their averages are from the data."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from leastwork.observable_guidance.files import FitNumbers
from leastwork.report import figures
from leastwork.report.blocks import Image, Mark, Section, Table, Words
from leastwork.report.figures import Samples
from leastwork.runs.base.finished import Finished
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.truth import truth
from leastwork.sampling.work import ON_TARGET
from leastwork.support.numerals import count, plain, plus_minus

__all__ = ["averages_section", "distributions_section", "grey_rows", "has_units", "named"]

_PANELS = 12
_NAME = 32  # characters

Row = Mapping[str, Any]


def distributions_section(run: Finished[RunConfig], fitted: FitNumbers) -> Section:
    """Densities of a system on a line, histograms of the observables of any other."""
    guided = run.config.chosen.guides
    on_a_line = fitted.x is not None and "x" in run.plots
    image = Image(
        _densities(run, fitted, guided) if on_a_line else _histograms(run, fitted, guided),
        _of_densities(run, guided) if on_a_line else _of_histograms(run, guided),
        "Distributions of the model's, the reweighted and the guided samples",
    )
    return Section("Distributions" if on_a_line else "Distributions of the observables", [], [image])


def _of_densities(run: Finished[RunConfig], guided: bool) -> str:
    whose = ", and of the guided samples" if guided else ""
    exact = ", with the exact density in grey" if run.config.system else ""
    drawn = f" and {count(run.config.sampling.n)} guided" if guided else ""
    return (
        f"Probability density (left) and free energy (right) of the model, of the model reweighted to the data{whose}"
        f"{exact}. Histograms of {count(run.metrics['quality']['model_samples'])} model{drawn} samples in "
        f"{figures.BINS} bins; free energies where a bin holds at least {figures.LEAST_COUNT}."
    )


def _of_histograms(run: Finished[RunConfig], guided: bool) -> str:
    whose, number = ", and under guidance" if guided else "", len(run.metrics["observables"])
    some = f"; the first {_PANELS} of {number} observables are shown" if number > _PANELS else ""
    return (
        f"Histograms of the observables under the model, under the model reweighted to the data{whose}. The vertical "
        f"line is the datum{some}."
    )


def _densities(run: Finished[RunConfig], fitted: FitNumbers, guided: bool) -> str:
    density = truth(run.config.system)

    def exact(x: np.ndarray) -> np.ndarray:
        assert density is not None
        return density.log_prob(torch.from_numpy(x)[:, None]).exp().numpy()

    assert fitted.x is not None
    curves = _curves(fitted, guided, fitted.x, run.plots["x"])
    return figures.densities(curves, None if density is None else exact, "x")


def _histograms(run: Finished[RunConfig], fitted: FitNumbers, guided: bool) -> str:
    return figures.histograms(
        [
            (_label(row), _curves(fitted, guided, fitted.observed[:, k], run.plots["observed"][:, k]), _datum(row))
            for k, row in enumerate(run.metrics["observables"][:_PANELS])
        ]
    )


def _curves(fitted: FitNumbers, guided: bool, model: torch.Tensor, after: torch.Tensor) -> list[Samples]:
    weights = torch.softmax(fitted.maxent.log_tilt_of(fitted.observed), dim=0)
    before, last = (values.to(torch.float64).numpy() for values in (model, after))
    curves = [Samples("model", before), Samples("reweighted", before, weights.numpy())]
    return [*curves, Samples("guided", last)] if guided else curves


def averages_section(run: Finished[RunConfig]) -> Section:
    """Averages before and after, as distances from the data and as numbers."""
    rows = run.metrics["observables"]
    image = Image(
        _distances(rows),
        "Ensemble averages with one standard error, as distances from the datum in units of the observable's standard "
        f"deviation under the model. Light bands mark ±{plain(ON_TARGET)} around the average of the target "
        "distribution, by which a run is judged; dark grey bars are the errors of the data. Data marked held out took "
        "no part in the fit.",
        "Averages of the observables before and after, as distances from the data",
    )
    units, guided = has_units(rows), run.config.chosen.guides
    table = Table(
        "Averages before and after, ± one standard error.",
        ["observable", *(["unit"] if units else []), "datum", "model", "reweighted", *(["guided"] if guided else [])],
        [_cells(row, units, guided) for row in rows],
        text_columns=2 if units else 1,
        grey_rows=grey_rows(rows),
    )
    return Section("Observables", [], [image], [table])


def _cells(row: Row, units: bool, guided: bool) -> list[Words]:
    return [
        named(row),
        *([[Mark(row["unit"], "name")] if row["unit"] else "–"] if units else []),
        _measured(row),
        plus_minus(row["model"], row["model_stderr"]),
        plus_minus(row["reweighted"], row["reweighted_stderr"]),
        *([plus_minus(row["guided"], row["stderr"])] if guided else []),
    ]


def _measured(row: Row) -> Words:
    """A value with its error, or bounds."""
    if row["target"] is None:
        bounds = (("≥", row["lower"]), ("≤", row["upper"]))
        return " ".join(f"{sign} {plain(bound)}" for sign, bound in bounds if bound is not None)
    value = plus_minus(row["target"], row["error"])
    return value if row["error"] else (value, " ", Mark("(exact)", "quiet"))


def named(row: Row) -> Words:
    """The cell of an observable's name, which says whether its datum was held out."""
    name = Mark(row["name"], "name")
    return (name, " ", Mark("held out", "tag")) if row["held_out"] else (name,)


def grey_rows(rows: Sequence[Row]) -> Collection[int]:
    """Rows of data that were held out."""
    return [k for k, row in enumerate(rows) if row["held_out"]]


def has_units(rows: Sequence[Row]) -> bool:
    """Whether any of the observables has a unit."""
    return any(row["unit"] for row in rows)


def _distances(rows: Sequence[Row]) -> str:
    kinds = {"model": "model_stderr", "reweighted": "reweighted_stderr", "guided": "stderr"}
    shown = []
    for row in sorted(rows, key=lambda row: row["held_out"]):
        sigma, datum = row["sigma"] or 1.0, _datum(row)
        distances = {
            kind: ((row[kind] - datum) / sigma, (row[stderr] or 0.0) / sigma)
            for kind, stderr in kinds.items()
            if row[kind] is not None
        }
        label = f"{_short(row['name'])} (held out)" if row["held_out"] else _short(row["name"])
        optimum = None if row["held_out"] else (row["optimum"] - datum) / sigma
        shown.append({"label": label, "error": (row["error"] or 0.0) / sigma, "optimum": optimum, **distances})
    return figures.observables(shown, ON_TARGET)


def _label(row: Row) -> str:
    return f"{_short(row['name'])} ({_short(row['unit'])})" if row["unit"] else _short(row["name"])


def _short(name: str) -> str:
    """A name that fits into a figure."""
    return name if len(name) <= _NAME else name[: _NAME - 1] + "…"


def _datum(row: Row) -> float:
    """The measured value, or the bound that is nearest to the model."""
    if row["target"] is not None:
        return row["target"]
    low = -np.inf if row["lower"] is None else row["lower"]
    high = np.inf if row["upper"] is None else row["upper"]
    if np.isfinite(low) and np.isfinite(high):
        return low if abs(row["model"] - low) < abs(row["model"] - high) else high
    return low if np.isfinite(low) else high
