"""Data of several techniques side by side: the columns of all observables, and a covariance in blocks

    o = (o_1, …, o_P)        Σ = diag(Σ_1, …, Σ_P)

Errors that two techniques share are not known to either, so the blocks between them are zero. Unknowns of the same name
are one unknown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.data.functions import Identity
from leastwork.data.indirect import Function, Indirect
from leastwork.errors import ConfigError
from leastwork.observables.function import stack

__all__ = ["Data", "join"]

Data = Experiment | Indirect
"""Data on averages, or on functions of averages."""


def join(parts: Sequence[Data]) -> Data:
    """One set of data of several, whose names must differ.

    Args:
        parts: experiments, or data on functions of averages, on states of the same model.

    Returns:
        An experiment if all of them are, else data on functions of averages.

    Raises:
        ConfigError: there are none, or a name occurs in two of them.

    >>> from leastwork.observables import component
    >>> size = Experiment(component(0, "size"), values=[1.2], errors=[0.1])
    >>> contact = Experiment(component(1, "contact"), upper=[0.5])
    >>> join([size, contact]).names
    ('size', 'contact')
    """
    if not parts:
        raise ConfigError("there are no data to join: give at least one experiment")
    if len(parts) == 1:
        return parts[0]
    correlated = any(part.errors.ndim == 2 for part in parts)
    errors = torch.block_diag(*(p.covariance for p in parts)) if correlated else torch.cat([p.errors for p in parts])
    columns = {key: torch.cat([getattr(p, key) for p in parts]) for key in ("values", "lower", "upper", "held_out")}
    observables = stack(*(part.observable for part in parts))
    indirect = [part for part in parts if isinstance(part, Indirect)]
    if not indirect:
        return Experiment(observables, errors=errors, **columns)
    unknowns = {name: start for part in reversed(indirect) for name, start in part.parameters.items()}
    order = list(unknowns)
    pieces, begin = [], 0
    for part in parts:
        end = begin + part.observable.count
        of = (part.function, part.parameters) if isinstance(part, Indirect) else (Identity(end - begin), {})
        pieces.append(_Piece(of[0], slice(begin, end), tuple(order.index(name) for name in of[1])))
        begin = end
    units = tuple(unit for part in parts for unit in part.units)
    return Indirect(
        observables,
        _Pieces(tuple(pieces)),
        tuple(name for part in parts for name in part.names),
        errors=errors,
        unit=units,
        parameters=unknowns,
        positive=tuple(dict.fromkeys(name for part in indirect for name in part.positive)),
        check=_Checks(
            tuple((piece.averages, part) for piece, part in zip(pieces, parts, strict=True) if part in indirect)
        ),
        **columns,
    )


@dataclass(frozen=True, eq=False)
class _Piece:
    function: Function
    averages: slice
    parameters: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Functions of averages side by side."""

    pieces: tuple[_Piece, ...]

    def __call__(self, m: Tensor, eta: Tensor) -> Tensor:
        return torch.cat([piece.function(m[piece.averages], eta[list(piece.parameters)]) for piece in self.pieces])


@dataclass(frozen=True, eq=False)
class _Checks:
    """The checks of all parts, each on its own columns."""

    parts: tuple[tuple[slice, Any], ...]

    def __call__(self, observed: Tensor) -> None:
        for columns, part in self.parts:
            if part.check is not None:
                part.check(observed[:, columns])
