"""Hydrogen exchange: protection factors P of amides.

    ln P = β_c N_c + β_h N_h        β_c = 0.35, β_h = 2.0          (Best & Vendruscolo, Structure 14, 97, 2006)

N_c counts heavy atoms within 6.5 Å of the amide's N, in residues more than two away, N_h the acceptors within 2.4 Å of
its H, likewise; both by logistic steps. The relation is for all atoms of a protein and its average of ln P over the
ensemble. Its own error is by far the largest of such data and belongs in the errors that are given with them. The
uptake of deuterium is a function of these averages, :class:`leastwork.data.functions.Uptake`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.observables.distances import pick
from leastwork.observables.function import Observable

__all__ = ["Amide", "log_protection"]

_PER_CONTACT, _PER_BOND = 0.35, 2.0
_CONTACT, _BOND = 0.65, 0.24  # nm
_STEEPNESS = 50.0  # 1/nm: a step falls from 0.73 to 0.27 over 0.04 nm
_UNITS = {"nm": 1.0, "Å": 0.1}


@dataclass(frozen=True)
class Amide:
    """The atoms that an amide's protection depends on, by their indices.

    Args:
        residue: number of the residue, which names the column.
        n: N.
        h: H.
        heavy: heavy atoms of residues more than two away.
        acceptors: oxygens, and other acceptors, of residues more than two away.
    """

    residue: int
    n: int
    h: int
    heavy: tuple[int, ...]
    acceptors: tuple[int, ...]


def log_protection(amides: Sequence[Amide], unit: str = "nm") -> Observable:
    """ln P of each amide, (B, K).

    Args:
        amides: the amides; prolines and the first residue have none.
        unit: unit of the model's coordinates, "nm" or "Å".

    Raises:
        LeastworkError: there are none, one is given twice, or one has no atoms around it.

    >>> lone = Amide(residue=5, n=0, h=1, heavy=(2,), acceptors=(2,))
    >>> log_protection([lone])(torch.tensor([[[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [0.29, 0.0, 0.0]]]))
    tensor([[2.1983]])
    """
    if unit not in _UNITS:
        raise LeastworkError(f"unit = {unit!r}: protection factors take coordinates in nm or Å")
    if not amides:
        raise LeastworkError("there are no amides: give at least one")
    residues = [amide.residue for amide in amides]
    for amide in amides:
        if residues.count(amide.residue) > 1:
            raise LeastworkError(f"the amide of residue {amide.residue} stands twice: keep one of them")
        if not amide.heavy or not amide.acceptors:
            raise LeastworkError(
                f"the amide of residue {amide.residue} has no heavy atoms or acceptors more than two residues away: "
                "give all atoms of the protein, or leave it out"
            )
    return Observable(_LogProtection(tuple(amides), _UNITS[unit]), tuple(f"ln P {residue}" for residue in residues))


@dataclass(frozen=True)
class _LogProtection:
    amides: tuple[Amide, ...]
    nanometre: float

    def __call__(self, x: Tensor) -> Tensor:
        pick(x, tuple((max(a.n, a.h, *a.heavy, *a.acceptors),) for a in self.amides))
        x = x * self.nanometre
        return torch.stack([self._of(amide, x) for amide in self.amides], dim=1)

    def _of(self, amide: Amide, x: Tensor) -> Tensor:
        contacts = _within(x[:, amide.n], x[:, list(amide.heavy)], _CONTACT)
        bonds = _within(x[:, amide.h], x[:, list(amide.acceptors)], _BOND)
        return _PER_CONTACT * contacts + _PER_BOND * bonds


def _within(centre: Tensor, others: Tensor, radius: float) -> Tensor:
    """Σ 1/(1 + exp(s (r − radius))) over the other atoms, (B,)."""
    apart = torch.linalg.vector_norm(others - centre[:, None], dim=2)
    return torch.sigmoid(_STEEPNESS * (radius - apart)).sum(dim=1)
