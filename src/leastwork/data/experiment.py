"""Measured data: for each observable a value o ± σ, or bounds l ≤ E[O] ≤ u, with the covariance Σ of the errors.

Values and bounds are both intervals in which the average must lie: [o, o], [l, ∞), (−∞, u] or [l, u]. Data that are
held out are not used in a fit; they serve to judge it.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from leastwork.data.bme import bme_as_csv
from leastwork.errors import ConfigError
from leastwork.models.latents import of_data
from leastwork.observables.function import Observable
from leastwork.statistics.estimate import Estimate
from leastwork.support.arguments import path_of, refused
from leastwork.support.csv_rows import as_number, cells, check_unit, columns, flag, numbered, remedy_of
from leastwork.support.data_text import data_text
from leastwork.support.html import html_table
from leastwork.support.numerals import plain, plus_minus
from leastwork.support.text import as_known, nearest, plural, quoted

__all__ = ["WITHOUT_DATUM", "Experiment", "as_experiment", "data_of_table"]

WITHOUT_DATUM = "or give it a bound that all samples meet (lower = -1 for a cosine or sine) and held_out = true"
"""What helps where one column of an observable was not measured and the others were."""


_COLUMNS = ("name", "value", "error", "lower", "upper", "held_out")


@dataclass(frozen=True, eq=False)
class Experiment:
    """K data, one for each column of an observable, in the observable's units.

    Args:
        observable: the observables that were measured, K columns.
        values: measured averages, (K,); NaN or None for a datum with bounds instead.
        errors: standard errors of the values or bounds, a number or (K,), or their covariance (K, K); 0 is exact.
        lower: lower bounds of the averages, (K,); NaN or None for no bound.
        upper: upper bounds of the averages, (K,); NaN or None for no bound.
        held_out: bool (K,), True for data that are reported but not fitted.

    After construction all but the observable are tensors, float64 and bool; absent numbers are NaN.

    >>> distance = Observable(lambda x: x, names=("d1", "d2"), unit="nm")
    >>> data = Experiment(distance, values=[0.3, None], errors=[0.01, 0.0], upper=[None, 0.5])
    >>> data.interval
    (tensor([0.3000,   -inf], dtype=torch.float64), tensor([0.3000, 0.5000], dtype=torch.float64))
    """

    observable: Observable
    values: Any = None
    errors: Any = 0.0
    lower: Any = None
    upper: Any = None
    held_out: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.observable, Observable):
            raise refused("observable", self.observable, "wrap a function as lw.Observable(function, names=('x',))")
        names = self.observable.names
        columns = {key: _column(getattr(self, key), key, names) for key in ("values", "lower", "upper")}
        errors = _errors(self.errors, names)
        held_out = _flags(self.held_out, names)
        for key, tensor in {**columns, "errors": errors, "held_out": held_out}.items():
            object.__setattr__(self, key, tensor)
        for name, value, low, high in zip(names, *(c.tolist() for c in columns.values()), strict=True):
            _check_datum(name, value, low, high)
        if held_out.all():
            raise ConfigError(f"all of the data {names} are held out: leave at least one to fit")

    def _repr_html_(self) -> str:
        lower, upper = self.interval
        columns = (self.values, self.covariance.diagonal().sqrt(), lower, upper, self.held_out)
        rows = [
            (name, _in_words(*datum[:4]), unit, "held out" if datum[4] else "fitted")
            for name, unit, *datum in zip(self.names, self.units, *(one.tolist() for one in columns), strict=True)
        ]
        return html_table("Experiment", rows, ("observable", "measured", "unit", "use"))

    @property
    def names(self) -> tuple[str, ...]:
        """The name of every datum."""
        return self.observable.names

    @property
    def units(self) -> tuple[str, ...]:
        """The unit of every datum."""
        return self.observable.units

    @property
    def fitted(self) -> Tensor:
        """Indices of the data that a fit uses."""
        return (~self.held_out).nonzero()[:, 0]

    @property
    def covariance(self) -> Tensor:
        """Σ of the errors, (K, K)."""
        return self.errors if self.errors.ndim == 2 else torch.diag(self.errors.square())

    @property
    def interval(self) -> tuple[Tensor, Tensor]:
        """Intervals of the averages: lower and upper ends (K,), equal for a value, infinite for no bound."""
        valued = ~self.values.isnan()
        lower = torch.where(valued, self.values, self.lower.nan_to_num(nan=-math.inf))
        upper = torch.where(valued, self.values, self.upper.nan_to_num(nan=math.inf))
        return lower, upper

    def sampled_by(self, model: Any) -> "Experiment":
        """The same data, with an observable of the model's samples: it decodes them if they are latents."""
        seen = of_data(self.observable, model)
        return self if seen is self.observable else replace(self, observable=seen)

    def outside(self, average: Tensor) -> Tensor:
        """Distances of averages (K,) from their intervals, (K,): positive above, negative below, zero inside."""
        lower, upper = self.interval
        return average - torch.minimum(torch.maximum(average, lower), upper)

    def z_scores(self, average: Estimate) -> Tensor:
        """Distances of averages (K,) from their intervals, in combined standard errors of datum and average, (K,).

        >>> data = Experiment(Observable(lambda x: x), values=[1.0], errors=[0.3])
        >>> data.z_scores(Estimate(2.0, 0.4)).tolist()
        [2.0]
        """
        mean, stderr = (torch.as_tensor(v, dtype=torch.float64) for v in (average.value, average.stderr))
        outside = self.outside(mean)
        scale = (self.covariance.diagonal() + stderr**2).sqrt()
        return torch.where(outside == 0, 0.0, outside / scale)

    @classmethod
    def from_csv(cls, path: str | Path, observable: Observable) -> "Experiment":
        """Read the data from a file with the columns name, value, error, lower, upper, held_out.

        A file in the text format of BME (``# DATA=NOE BOUND=LOWER``, then label, average and error, separated by
        blanks) is read as well (:mod:`leastwork.data.bme`).

        The first line that is not a comment (#) names the columns; of these, name and value or a bound are
        required. Rows may come in any order. A value needs its error (0 for exact); a bound without error is exact.

        Args:
            path: the file, comma separated, in the observable's units.
            observable: the observables that were measured; their names are those of the rows.
        """
        return _read_csv(cls, path_of("path", path), observable)


def _in_words(value: float, error: float, lower: float, upper: float) -> str:
    if not math.isnan(value):
        return plus_minus(value, error)
    bounds = [f"≥ {plain(lower)}"] * math.isfinite(lower) + [f"≤ {plain(upper)}"] * math.isfinite(upper)
    return " and ".join(bounds) + (f" (± {plain(error)})" if error else "")


def _floats(data: Any, key: str) -> Tensor:
    """Numbers, with NaN in place of None, as a new float64 tensor."""
    try:
        if isinstance(data, Sequence) and not isinstance(data, str):
            data = [math.nan if item is None else item for item in data]
        return torch.as_tensor(data, dtype=torch.float64, device="cpu").detach().clone()
    except (TypeError, ValueError, RuntimeError):
        raise ConfigError(f"{key} = {quoted(data)} are not numbers: give a list, one per observable") from None


def _column(data: Any, key: str, names: tuple[str, ...]) -> Tensor:
    """One number per observable, (K,); NaN if absent."""
    if data is None:
        return torch.full((len(names),), math.nan, dtype=torch.float64)
    column = _floats(data, key)
    column = column[None] if column.ndim == 0 else column
    noun = "value" if key == "values" else f"{key} bound"
    if column.shape != (len(names),):
        got = plural(len(column), noun) if column.ndim == 1 else f"{noun}s of shape {tuple(column.shape)}"
        raise ConfigError(f"{got} for {plural(len(names), 'observable')} {names}: give one {noun} per observable")
    for name, number in zip(names, column.tolist(), strict=True):
        if math.isinf(number):
            raise ConfigError(f"the {noun} of {quoted(name)} is infinite: give a finite number, or None for no {noun}")
    return column


def _errors(data: Any, names: tuple[str, ...]) -> Tensor:
    """Standard errors (K,) or covariance (K, K), checked."""
    count = len(names)
    errors = _floats(data, "errors")
    errors = errors.repeat(count) if errors.ndim == 0 else errors
    if errors.shape not in ((count,), (count, count)):
        got = plural(len(errors), "error") if errors.ndim == 1 else f"errors of shape {tuple(errors.shape)}"
        raise ConfigError(
            f"{got} for {plural(count, 'observable')} {names}: give one number, one per observable, or a covariance "
            f"({count}, {count})"
        )
    diagonal = errors if errors.ndim == 1 else errors.diagonal()
    for name, number in zip(names, diagonal.tolist(), strict=True):
        if not (math.isfinite(number) and number >= 0):
            raise ConfigError(
                f"the error of {quoted(name)} is {number}: give 0 for exact, or a positive standard error"
            )
    if errors.ndim == 2:
        scale = float(errors.abs().max())
        if not errors.isfinite().all() or not torch.allclose(errors, errors.T, rtol=0, atol=1e-12 * scale):
            raise ConfigError(
                f"the covariance of the errors of {names} is not symmetric: errors[i, j] must be errors[j, i]"
            )
        smallest = float(torch.linalg.eigvalsh(errors)[0])
        if smallest < -1e-12 * scale:
            raise ConfigError(
                f"the covariance of the errors of {names} has the negative eigenvalue {smallest:.3g}: no errors "
                "correlate so strongly, reduce the off-diagonal entries"
            )
    return errors


def _flags(data: Any, names: tuple[str, ...]) -> Tensor:
    if data is None:
        return torch.zeros(len(names), dtype=torch.bool)
    try:
        flags = torch.as_tensor(data).cpu()
    except (TypeError, ValueError, RuntimeError):
        raise refused("held_out", data, "give one True or False per observable") from None
    flags = flags[None] if flags.ndim == 0 else flags
    if flags.dtype != torch.bool or flags.shape != (len(names),):
        raise ConfigError(
            f"held_out is {flags.dtype} of shape {tuple(flags.shape)} for {plural(len(names), 'observable')} {names}: "
            "give one True or False per observable"
        )
    return flags.clone()


def _check_datum(name: str, value: float, lower: float, upper: float) -> None:
    valued, bounded = not math.isnan(value), not (math.isnan(lower) and math.isnan(upper))
    if valued and bounded:
        raise ConfigError(f"{quoted(name)} has both a value and a bound: give one or the other")
    if not (valued or bounded):
        raise ConfigError(
            f"{quoted(name)} has neither a value nor a bound: give one, or leave it out of the observable, "
            + WITHOUT_DATUM
        )
    if lower > upper:
        raise ConfigError(
            f"the bounds of {quoted(name)} exclude each other: lower = {lower:g} is above upper = {upper:g}"
        )


def as_experiment(value: object) -> Experiment:
    """The experiment that an argument is.

    Raises:
        LeastworkError: it is none.
    """
    if not isinstance(value, Experiment):
        raise refused("experiment", value, "give an lw.Experiment(observable, values, errors)")
    return value


def data_of_table(path: Path, observable: Observable) -> dict[str, dict[str, Any]]:
    """The rows of a table, by the names of the observables: each a datum as arguments of :class:`Experiment`.

    Args:
        path: the file, as for :meth:`Experiment.from_csv`; it need not have a row for each observable.
        observable: the observables that its rows may name.

    Raises:
        ConfigError: something cannot be used; the message names file and line.
    """
    if not os.path.isfile(path):
        raise ConfigError(f"{path}: there is no such file of data")
    text = data_text(path)
    units = set(observable.units)
    check_unit(text, units.pop() if len(units) == 1 else "", path)
    lines = numbered(bme_as_csv(path, text))
    if not lines:
        raise ConfigError(f"{path}: the file holds no data: begin with the line {','.join(_COLUMNS)}")
    header = _header(lines[0][1], f"{path}, line {lines[0][0]}", sorted(set(observable.units) - {""}))
    found: dict[str, tuple[int, dict[str, Any]]] = {}
    for number, line in lines[1:]:
        where = f"{path}, line {number}"
        name, datum = _row(line, header, where)
        name = as_known(name, observable.names)
        if name not in observable.names:
            raise ConfigError(f"{where}: there is no observable {quoted(name)}{nearest(name, observable.names)}")
        first, known = found.setdefault(name, (number, datum))
        if known != datum:
            raise ConfigError(
                f"{path}, lines {first} and {number}: two different data for {quoted(name)}: keep one of them"
            )
    return {name: datum for name, (_, datum) in found.items()}


def _read_csv(cls: type[Experiment], path: Path, observable: Observable) -> Experiment:
    found = data_of_table(path, observable)
    for name in observable.names:
        if name not in found:
            raise ConfigError(
                f"{path}: there is no row for {quoted(name)}: add one, or leave it out of the observable, "
                + WITHOUT_DATUM
            )
    data = [found[name] for name in observable.names]
    return cls(observable, **{key: [datum[key] for datum in data] for key in data[0]})


def _header(line: str, where: str, units: list[str]) -> list[str]:
    header = columns(line, _COLUMNS, where, units)
    if "name" not in header or not {"value", "lower", "upper"} & set(header):
        raise ConfigError(f"{where}: the first line must name the columns, at least name and value, lower or upper")
    return header


def _row(line: str, header: list[str], where: str) -> tuple[str, dict[str, Any]]:
    """The name of a row, and its datum as arguments of Experiment."""
    found = cells(line)
    if len(found) > len(header):
        raise ConfigError(
            f"{where}: {plural(len(found), 'cell')} for {plural(len(header), 'column')}: quote commas, and "
            "write decimals with points"
        )
    row = dict(zip(header, found, strict=False))
    name = row.get("name", "")
    if not name:
        raise ConfigError(f"{where}: the row has no name: write the observable's")
    value, error, lower, upper = (_number(row.get(key, ""), key, name, where) for key in _COLUMNS[1:5])
    if value is not None and error is None:
        raise ConfigError(
            f"{where}: the value of {quoted(name)} has no error: write 0 if it is exact, or its standard error"
        )
    if error is not None and error < 0:
        raise ConfigError(
            f"{where}: the error of {quoted(name)} is {error:g}: write 0 for exact, or a positive standard error"
        )
    if value is None and lower is None and upper is None:
        raise ConfigError(
            f"{where}: {quoted(name)} has neither a value nor a bound: give one, or leave the row out, or begin it "
            "with # if it is a note"
        )
    try:
        _check_datum(name, *(math.nan if number is None else number for number in (value, lower, upper)))
    except ConfigError as problem:
        raise ConfigError(f"{where}: {problem}") from None
    held_out = flag(row.get("held_out", ""))
    if held_out is None:
        raise ConfigError(f"{where}: held_out of {quoted(name)} is {quoted(row['held_out'])}: write true or false")
    return name, {"values": value, "errors": error or 0.0, "lower": lower, "upper": upper, "held_out": held_out}


def _number(cell: str, column: str, name: str, where: str) -> float | None:
    if not cell:
        return None
    value = as_number(cell)
    if value is None or not math.isfinite(value):
        raise ConfigError(
            f"{where}: the {column} of {quoted(name)} is {quoted(cell)}: "
            f"{remedy_of(cell, 'write a finite number, or leave the cell empty')}"
        )
    return value
