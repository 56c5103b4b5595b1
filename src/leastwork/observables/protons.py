"""Protons and Cβ of a backbone as atoms that can be named: "3:H", "3:HA" and "3:CB" of residue 3.

Their places follow from N, Cα and C′, see :mod:`leastwork.observables.built_atoms`. Residues are taken for L residues;
a proline has no "H" and a glycine no "CB", which only the sequence could tell.
"""

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.observables.built_atoms import alpha_hydrogen, amide_hydrogen, beta_carbon
from leastwork.observables.couplings import Backbone
from leastwork.observables.distances import pick

__all__ = ["WithProtons", "is_built"]

_NAME = re.compile(r"(-?\d+):(H|HA|CB)")
_AT_ALPHA = {"HA": alpha_hydrogen, "CB": beta_carbon}


def is_built(name: str) -> bool:
    """Whether a name is one of an atom that is built.

    >>> is_built("3:HA"), is_built("12")
    (True, False)
    """
    return _NAME.fullmatch(name) is not None


@dataclass(frozen=True)
class WithProtons:
    """Structures (B, A, 3) with P built atoms before all others, (B, P + A, 3).

    Args:
        backbone: indices of the atoms N, Cα and C′.
        names: names of the built atoms, (P,).
        nanometre: nanometres in the unit of the coordinates.

    Raises:
        LeastworkError: a name or residue is unknown, or it is the first residue, the place of whose H is not known.

    >>> chain = WithProtons(Backbone.chain(2), ("2:H", "2:HA"))
    >>> chain(torch.randn(5, 6, 3)).shape, chain.index("2:HA"), chain.index(3)
    (torch.Size([5, 8, 3]), 1, 5)
    """

    backbone: Backbone
    names: tuple[str, ...]
    nanometre: float = 1.0

    def __post_init__(self) -> None:
        first, last = self.backbone.first, self.backbone.last
        for name in self.names:
            if not is_built(name):
                raise LeastworkError(f"{name!r} is no atom that can be built: write 3:H, 3:HA or 3:CB, of residue 3")
            residue, atom = self._parts(name)
            if not first + (atom == "H") <= residue <= last:
                known = f"the chain has residues {first} to {last}, of which the first has no H that can be placed"
                raise LeastworkError(f"{name!r} cannot be built: {known}")

    def index(self, atom: int | str) -> int:
        """The place of an atom, given by its number in the model's structures or by its name."""
        return self.names.index(atom) if isinstance(atom, str) else atom + len(self.names)

    def __call__(self, x: Tensor) -> Tensor:
        built = [self._built(x, *self._parts(name)) for name in self.names]
        return torch.cat([*built, x], dim=1)

    @staticmethod
    def _parts(name: str) -> tuple[int, str]:
        residue, atom = name.split(":")
        return int(residue), atom

    def _built(self, x: Tensor, residue: int, atom: str) -> Tensor:
        """The position of one atom, (B, 1, 3), in the unit of the coordinates."""
        chain, i = self.backbone, residue - self.backbone.first
        before = chain.c[i - 1] if atom == "H" else chain.c[i]
        n, ca, c = (at * self.nanometre for at in pick(x, ((chain.n[i], chain.ca[i], before),)))
        place = amide_hydrogen(c, n, ca) if atom == "H" else _AT_ALPHA[atom](n, ca, c)
        return place / self.nanometre
