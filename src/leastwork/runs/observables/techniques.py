"""Kinds of a run file that are techniques: SAXS, FRET, DEER, PRE and dipolar couplings.

    {kind: saxs, q: [0.05, 0.1, 0.2], sequence: GYDPETGTWG}
    {kind: fret, residues: [[3, 40]], radius: 5.4, backbone: {residues: 76}, sequence: …}
    {kind: rdc, bonds: {N-H: [2, 3, 4, 5, 6, 7]}, backbone: {residues: 10}, structure: native.csv}

Formulas and sources are those of :mod:`leastwork.observables`; what is a function of averages, such as ratios of
intensities or couplings of a tensor that is not known, is formed by the kind itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, FiniteFloat
from torch import Tensor

from leastwork.data.functions import Attenuation, LinearModel
from leastwork.errors import LeastworkError
from leastwork.geometry.state import EventShape, shapes
from leastwork.observables import (
    Backbone,
    Observable,
    beta_distances,
    bond_tensors,
    deer,
    distances,
    fret,
    on_frames,
    pre_rates,
    residual_couplings,
    saxs,
)
from leastwork.runs.base.kinds import ObservableKind, OfAverages
from leastwork.runs.base.structures import read_structure
from leastwork.runs.observables.couplings.config import BackboneConfig
from leastwork.support.text import plural

__all__ = ["TECHNIQUES"]

_Atom = Annotated[int, Field(ge=0)]
_Pairs = tuple[tuple[_Atom, _Atom], ...]
_Unit = Annotated[Literal["nm", "Å"], Field(description="the unit of the model's coordinates")]
_Positive = Annotated[FiniteFloat, Field(gt=0)]
_Sequence = Annotated[str | None, Field(description="one-letter codes of the residues, as text")]
_Backbone = Annotated[
    BackboneConfig | None,
    Field(description="residues: NUMBER of a chain of N CA C each, or n, ca and c, a list of atoms each"),
]
_NANOMETRE = {"nm": 1.0, "Å": 0.1}
_TENSOR = ("S_xx", "S_yy", "S_xy", "S_xz", "S_yz")


class SaxsConfig(ObservableKind):
    """I(q) of a protein in water, from its Cα atoms."""

    kind: Literal["saxs"]
    q: tuple[FiniteFloat, ...] = Field(min_length=1, description="a list of momentum transfers in 1/Å, 0 to 0.5")
    sequence: str = Field(description="one-letter codes of the residues, as text")
    hydration: FiniteFloat = Field(default=0.03, ge=0, description="the excess density of the water layer, e/Å³")
    ca: tuple[_Atom, ...] | None = Field(default=None, description="a list of the Cα atoms, or left out for all atoms")
    unit: _Unit = "nm"

    def build(self, event_shape: EventShape) -> Observable:
        return saxs(self.q, self.sequence, hydration=self.hydration, ca=self.ca, unit=self.unit)


class _Labels(ObservableKind):
    """Pairs of labels at atoms, or at the Cβ of residues."""

    sees_frames: ClassVar[bool] = True

    pairs: _Pairs | None = Field(default=None, description="a list of pairs [i, j] of atoms, counted from 0")
    residues: tuple[tuple[int, int], ...] | None = Field(
        default=None, description="a list of pairs [i, j] of residues with the labels at Cβ"
    )
    backbone: _Backbone = None
    sequence: _Sequence = None
    unit: _Unit = "nm"

    def measured(self, distance: Observable) -> Observable:
        """What is measured on distances in nm."""
        raise NotImplementedError

    def build(self, event_shape: EventShape) -> Observable:
        if (self.pairs is None) == (self.residues is None):
            raise LeastworkError("give either pairs of atoms, or residues with their backbone")
        if self.pairs is not None:
            apart = distances(self.pairs)
            return self.measured(Observable(_InNanometres(apart, _NANOMETRE[self.unit]), apart.names, "nm"))
        return _of_backbone(
            self.backbone,
            self.sequence,
            event_shape,
            lambda backbone: self.measured(beta_distances(backbone, self.residues or (), self.sequence, self.unit)),
        )


class FretConfig(_Labels):
    """Efficiencies of FRET."""

    kind: Literal["fret"]
    radius: FiniteFloat = Field(gt=0, lt=20, description="the Förster radius in nm, below 20, usually 4 to 7")
    spread: FiniteFloat = Field(default=0.0, ge=0, description="the standard deviation of a label along each axis, nm")

    def measured(self, distance: Observable) -> Observable:
        return fret(distance, self.radius, self.spread)


class DeerConfig(_Labels):
    """The modulation of DEER of one pair of labels at several times; data on it have a factor and an offset."""

    kind: Literal["deer"]
    times: tuple[FiniteFloat, ...] = Field(min_length=1, description="a list of times in µs")

    def measured(self, distance: Observable) -> Observable:
        return deer(distance, self.times)


class PreConfig(ObservableKind):
    """Rates of relaxation by a spin label, or ratios of intensities where relaxation and time are given."""

    kind: Literal["pre"]
    pairs: _Pairs = Field(min_length=1, description="a list of pairs [label, proton] of atoms, counted from 0")
    correlation_time: FiniteFloat = Field(gt=1e-3, lt=1e5, description="the correlation time in ns, 0.001 to 100000")
    larmor: FiniteFloat = Field(
        default=600.0, gt=1, lt=1e5, description="the frequency of the protons in MHz, 1 to 100000"
    )
    relaxation: _Positive | None = Field(default=None, description="the rate without the label in 1/s, for ratios")
    time: FiniteFloat | None = Field(default=None, ge=0, description="the time of the transfers in s, for ratios")

    def build(self, event_shape: EventShape) -> Observable:
        return pre_rates(distances(self.pairs), self.correlation_time, self.larmor)

    def of_averages(self, observable: Observable) -> OfAverages | None:
        if self.relaxation is None and self.time is None:
            return None
        if self.relaxation is None or self.time is None:
            raise LeastworkError("ratios of intensities take both relaxation and time: give the other too, or neither")
        names = tuple(name.replace("Γ2", "I/I0") for name in observable.names)
        return OfAverages(Attenuation(self.relaxation, self.time), names)


class RdcConfig(ObservableKind):
    """Residual dipolar couplings by a tensor that is given, or fitted."""

    sees_frames: ClassVar[bool] = True

    kind: Literal["rdc"]
    bonds: dict[Literal["N-H", "CA-HA", "CA-C", "C-N"], tuple[int, ...]] = Field(
        min_length=1, description="for each type of bond a list of residues"
    )
    tensor: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat] | None = Field(
        default=None, description="a list of S_xx, S_yy, S_xy, S_xz and S_yz, or left out to fit them"
    )
    structure: Path | None = Field(
        default=None, description="a structure that states are laid on, its path relative to the run file"
    )
    backbone: _Backbone = None
    sequence: _Sequence = None

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        return self if self.structure is None else self.model_copy(update={"structure": place(self.structure)})

    @property
    def _bonds(self) -> list[tuple[str, int]]:
        return [(bond, residue) for bond, residues in self.bonds.items() for residue in residues]

    def build(self, event_shape: EventShape) -> Observable:
        (shape, *parts) = shapes(event_shape)
        if parts and self.structure is not None:
            raise LeastworkError(
                "states of frames are laid on no structure here: leave out structure, or give a tensor"
            )
        fixed = None if self.structure is None else read_structure(self.structure, shape)
        return _of_backbone(
            self.backbone,
            self.sequence,
            event_shape,
            lambda backbone: (
                bond_tensors(backbone, self._bonds, fixed)
                if self.tensor is None
                else residual_couplings(backbone, self._bonds, self.tensor, fixed)
            ),
        )

    def of_averages(self, observable: Observable) -> OfAverages | None:
        if self.tensor is not None:
            return None
        if len(self._bonds) <= len(_TENSOR):
            raise LeastworkError(
                f"a tensor has five unknowns, and {plural(len(self._bonds), 'coupling')} agree with any structure: "
                "give at least six, or the tensor"
            )
        names = tuple(f"D({bond}) {residue}" for bond, residue in self._bonds)
        return OfAverages(LinearModel(), names, "Hz", dict.fromkeys(_TENSOR, 0.0))


@dataclass(frozen=True)
class _InNanometres:
    distances: Observable
    factor: float

    def __call__(self, x: Tensor) -> Tensor:
        return self.factor * self.distances(x)


def _of_backbone(
    config: BackboneConfig | None,
    sequence: str | None,
    event_shape: EventShape,
    build: Callable[[Backbone], Observable],
) -> Observable:
    """An observable of a backbone of atoms, or of that which rigid frames stand for."""
    (shape, *parts) = shapes(event_shape)
    if not parts:
        if config is None:
            raise LeastworkError("give the backbone, as in backbone: {residues: 5}, or with lists n, ca and c")
        return build(config.backbone())
    first = 1 if config is None else config.first
    return on_frames(build(Backbone.chain(int(shape[0]), first=first)), sequence)


TECHNIQUES: Sequence[type[ObservableKind]] = (SaxsConfig, FretConfig, DeerConfig, PreConfig, RdcConfig)
