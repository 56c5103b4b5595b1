"""``kind: hdx``: protection factors of amides of an all-atom model, or the uptake curve of a peptide made of them.

    {kind: hdx, atoms: protein.pdb, residues: [5, 6, 7]}                                        # ln P 5, ln P 6, ln P 7
    {kind: hdx, atoms: protein.pdb, residues: [5, 6, 7], rates: [2, 5, 3], times: [60, 600]}    # uptake 5-7 at 60 s, …

Formulas and sources are those of :mod:`leastwork.observables.exchange` and :mod:`leastwork.data.functions`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat

from leastwork.data.functions import Uptake
from leastwork.errors import LeastworkError
from leastwork.geometry.state import EventShape
from leastwork.observables import Amide, Observable, log_protection
from leastwork.runs.base.kinds import ObservableKind, OfAverages
from leastwork.runs.base.named_atoms import NamedAtom, named_atoms
from leastwork.runs.base.rows import atom_count
from leastwork.support.text import plural

__all__ = ["HdxConfig"]

_Positive = Annotated[FiniteFloat, Field(gt=0)]
_HYDROGENS = ("H", "HN", "1H", "D")
_NEIGHBOURS = 2  # residues to either side that do not count


class HdxConfig(ObservableKind):
    """ln P of amides, or where rates and times are given the fraction of these that has exchanged."""

    kind: Literal["hdx"]
    atoms: Path = Field(description="a PDB whose first model names the atoms, its path relative to the run file")
    residues: tuple[int, ...] | None = Field(
        default=None, min_length=1, description="a list of residues, or left out for all that have an amide"
    )
    rates: tuple[_Positive, ...] | None = Field(
        default=None, description="a list of intrinsic rates in 1/s, one for each residue, for the uptake"
    )
    times: tuple[Annotated[FiniteFloat, Field(ge=0)], ...] | None = Field(
        default=None, description="a list of times in s, for the uptake"
    )
    unit: Literal["nm", "Å"] = Field(default="nm", description="the unit of the model's coordinates")

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        return self.model_copy(update={"atoms": place(self.atoms)})

    def build(self, event_shape: EventShape) -> Observable:
        atoms, count = named_atoms(self.atoms), atom_count(event_shape, "observables")
        if len(atoms) != count:
            raise LeastworkError(
                f"{self.atoms} names {plural(len(atoms), 'atom')}, and a state of the model has {count}: give the same "
                "atoms"
            )
        return log_protection(_amides(atoms, self.residues, str(self.atoms)), self.unit)

    def of_averages(self, observable: Observable) -> OfAverages | None:
        if self.rates is None and self.times is None:
            return None
        if self.rates is None or self.times is None or not self.times:
            raise LeastworkError("the uptake takes both rates and times: give the other too, or neither for ln P")
        if len(self.rates) != observable.count:
            raise LeastworkError(
                f"{plural(len(self.rates), 'rate')} for {plural(observable.count, 'amide')}: give one for each of "
                f"{', '.join(observable.names[:5])}"
            )
        twice = next((time for time in self.times if self.times.count(time) > 1), None)
        if twice is not None:
            raise LeastworkError(f"the time {twice:g} s is given twice: keep one of them")
        residues = [name.removeprefix("ln P ") for name in observable.names]
        of = residues[0] if len(residues) == 1 else f"{residues[0]}-{residues[-1]}"
        return OfAverages(Uptake(self.rates, self.times), tuple(f"uptake {of} at {time:g} s" for time in self.times))


def _amides(atoms: Sequence[NamedAtom], residues: Sequence[int] | None, source: str) -> list[Amide]:
    """The amides of the residues, with the heavy atoms and acceptors of residues more than two away."""
    chains = list(dict.fromkeys(atom.chain for atom in atoms))
    if len(chains) > 1:
        raise LeastworkError(f"{source} has the chains {', '.join(chains)}: protection factors take one")
    numbers = list(dict.fromkeys(atom.number for atom in atoms))
    chain = {number: i for i, number in enumerate(numbers)}
    n = {atom.number: i for i, atom in enumerate(atoms) if atom.name == "N"}
    h = {atom.number: i for i, atom in enumerate(atoms) if atom.name in _HYDROGENS}
    if residues is None:
        residues = [number for number in numbers[1:] if number in n and number in h]
        if not residues:
            raise LeastworkError(f"{source} has no amide with N and H: protection factors take a model of all atoms")
    found = []
    for residue in residues:
        if residue not in chain:
            raise LeastworkError(f"{source} has no residue {residue}: it has {numbers[0]} to {numbers[-1]}")
        name = next(atom.residue for atom in atoms if atom.number == residue)
        if residue not in n or residue not in h:
            why = ", as prolines have none" if name == "PRO" else ""
            raise LeastworkError(f"residue {residue} ({name}) of {source} has no amide{why}, N with H: leave it out")
        far = [i for i, atom in enumerate(atoms) if abs(chain[atom.number] - chain[residue]) > _NEIGHBOURS]
        heavy = tuple(i for i in far if atoms[i].element not in "HD")
        acceptors = tuple(i for i in far if atoms[i].element == "O")
        found.append(Amide(residue, n[residue], h[residue], heavy, acceptors))
    return found
