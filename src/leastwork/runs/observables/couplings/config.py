"""Scalar couplings as the data of a run: the file, the relations, and how far both are trusted.

data: {couplings: measured.csv, karplus: vogeli2007, fit: [3JHNHA, 1JNCA], shared: 0.5, theta: auto}
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, FiniteFloat, StrictBool, model_validator

from leastwork.data.coupling import coupling_kind
from leastwork.observables.couplings import KINDS, Backbone
from leastwork.runs.base.settings import Strict

__all__ = ["BackboneConfig", "CouplingsConfig", "KarplusName"]

KarplusName = Literal["vogeli2007", "vogeli2007-mdtraj", "schmidt1999", "hu1997"]


def _rejoined(entries: Any) -> Any:
    """A YAML list takes the comma of 3J(HN,HA) for one of its own.

    >>> _rejoined(["3J(HN", "HA)", "1JNCA"])
    ['3J(HN,HA)', '1JNCA']
    """
    if not isinstance(entries, list):
        return entries
    whole: list[Any] = []
    for entry in entries:
        if isinstance(entry, str) and whole and isinstance(whole[-1], str) and "(" in whole[-1].rpartition(")")[2]:
            whole[-1] = f"{whole[-1]},{entry}"
        else:
            whole.append(entry)
    return whole


_Kind = Annotated[str, BeforeValidator(lambda text: coupling_kind(str(text)))]
_Atoms = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]


class BackboneConfig(Strict):
    """Which atoms are the backbone: a chain of nothing else, or a list for each of N, Cα and C′."""

    residues: int | None = Field(default=None, ge=1, description="the number of residues of a chain of N CA C each")
    n: _Atoms | None = Field(default=None, description="a list of the atoms N, one for each residue, counted from 0")
    ca: _Atoms | None = Field(default=None, description="a list of the atoms CA, one for each residue")
    c: _Atoms | None = Field(default=None, description="a list of the atoms C, one for each residue")
    end: StrictBool | Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="true if a chain's last atom is the terminal oxygen, or that atom beside lists"
    )
    first: int = Field(default=1, description="the number of the first residue in the data")

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        lists = [atoms is not None for atoms in (self.n, self.ca, self.c)]
        chain = self.residues is not None
        right_end = self.end is None or isinstance(self.end, bool) is chain
        if not right_end or (any(lists) if chain else not all(lists)):
            raise ValueError
        return self

    def backbone(self) -> Backbone:
        """The backbone that is meant.

        Raises:
            LeastworkError: atoms that cannot be one.
        """
        if self.residues is not None:
            return Backbone.chain(self.residues, end=bool(self.end), first=self.first)
        return Backbone(self.n or (), self.ca or (), self.c or (), self.end, self.first)


class CouplingsConfig(Strict):
    """Measured couplings and what turns structures into them."""

    form: ClassVar[str] = "a file of couplings"
    needs_observables: ClassVar[bool] = False

    couplings: Path = Field(description="a CSV or NMR-STAR (.str) file of couplings, its path relative to the run file")
    karplus: KarplusName = Field(default="vogeli2007", description="a set of Karplus relations")
    fit: Annotated[tuple[_Kind, ...] | None, BeforeValidator(_rejoined)] = Field(
        default=None,
        min_length=1,
        description="a list of the types of coupling that are fitted, written as 3JHNHA, or left out for what the file "
        f"says; known are {', '.join(KINDS)}",
    )
    shared: FiniteFloat = Field(
        default=0.5,
        ge=0,
        le=1,
        description="the share of the variance of a relation's error that residues have in common, 0 to 1",
    )
    theta: Literal["auto"] | Annotated[FiniteFloat, Field(gt=0)] = Field(
        default="auto", description="auto, or a number above 0 that the errors' covariance is multiplied by"
    )
    leave_out: Literal["types", "residues"] = Field(
        default="types", description="what cross-validation leaves out at a time"
    )
    measurement_error: FiniteFloat | None = Field(
        default=None, ge=0, description="the standard error in Hz of rows that state none, 0 or more"
    )
    held_out: bool = Field(default=False, description="true to hold out all couplings of the file, or false")
    molecule: str | None = Field(
        default=None, description="the Entity_assembly_ID, as text, of the molecule of an NMR-STAR file of several"
    )
    backbone: BackboneConfig | None = Field(
        default=None,
        description="residues: NUMBER of a chain of N CA C each, with end: true if the terminal oxygen follows; "
        "or n, ca and c, a list of atoms each, with end: ATOM",
    )

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        """The same with ``place(file)`` for the file of couplings."""
        return self.model_copy(update={"couplings": place(self.couplings)})

    @property
    def members(self) -> Sequence[Self]:
        """Itself: the form is also a member of a list."""
        return (self,)

    @property
    def stated_theta(self) -> float | None:
        """θ that the run states, or None where it is to be chosen."""
        return None if self.theta == "auto" else self.theta
