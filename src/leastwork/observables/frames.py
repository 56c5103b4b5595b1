"""Backbone atoms of residue frames, x_a = p + R r_a, and back: p = x_Cα, R = [e₁ e₂ e₃].

    e₁ ∥ x_C′ − x_Cα        e₂ ∥ (x_N − x_Cα) − e₁ e₁·(x_N − x_Cα)        e₃ = e₁ × e₂

So Cα is the origin of a residue's frame, C′ lies on its first axis and N in the plane of the first two (Jumper et al.,
Nature 596, 583, 2021, algorithm 21 of the supplement). r_a are the ideal positions of N and C′ in each kind of residue,
as in AlphaFold and OpenFold (``rigid_group_atom_positions``). The atoms are differentiable functions of p and R.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.frames import are_frames
from leastwork.geometry.state import State
from leastwork.observables.function import Observable

__all__ = ["IDEAL_BACKBONE", "backbone_atoms", "check_nanometres", "frames_of", "on_alpha_carbons", "on_frames"]

IDEAL_BACKBONE: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        "A": (-0.0525, 0.1363, 0.1526), "R": (-0.0524, 0.1362, 0.1525), "N": (-0.0536, 0.1357, 0.1526),
        "D": (-0.0525, 0.1362, 0.1527), "C": (-0.0522, 0.1362, 0.1524), "Q": (-0.0526, 0.1361, 0.1526),
        "E": (-0.0528, 0.1361, 0.1526), "G": (-0.0572, 0.1337, 0.1517), "H": (-0.0527, 0.1360, 0.1525),
        "I": (-0.0493, 0.1373, 0.1527), "L": (-0.0520, 0.1363, 0.1525), "K": (-0.0526, 0.1362, 0.1526),
        "M": (-0.0521, 0.1364, 0.1525), "F": (-0.0518, 0.1363, 0.1524), "P": (-0.0566, 0.1351, 0.1527),
        "S": (-0.0529, 0.1360, 0.1525), "T": (-0.0517, 0.1364, 0.1526), "W": (-0.0521, 0.1363, 0.1525),
        "Y": (-0.0522, 0.1362, 0.1524), "V": (-0.0494, 0.1373, 0.1527),
    }
)  # fmt: skip
"""First and second coordinate of N, and the first of C′, in a residue's frame, nm; the others are zero."""

_CA_DISTANCE = 0.38  # distance of neighbouring Cα atoms, nm
_Measured = TypeVar("_Measured")  # an Observable, or an Experiment, which builds on this module


def backbone_atoms(x: State, sequence: str | None = None) -> Tensor:
    """N, Cα and C′ of each residue in this order, (B, 3N, 3), nm: the atoms of ``Backbone.chain(N)``.

    Args:
        x: positions of Cα, (B, N, 3), nm, and rotations from residue to world, (B, N, 3, 3).
        sequence: N one-letter codes; without it all residues have the geometry of alanine, with an error of N of at
            most 0.005 nm, for glycine.

    Raises:
        LeastworkError: the states are not frames, or the sequence has another length or an unknown residue.

    >>> atoms = backbone_atoms((torch.zeros(1, 2, 3), torch.eye(3).expand(1, 2, 3, 3)), "GA")
    >>> atoms[0, 2], atoms[0, 3]
    (tensor([0.1517, 0.0000, 0.0000]), tensor([-0.0525,  0.1363,  0.0000]))
    """
    positions, rotations = _frames(x)
    count = positions.shape[1]
    sequence = "A" * count if sequence is None else sequence
    if len(sequence) != count:
        raise LeastworkError(f"a sequence of {len(sequence)} residues for {count} frames: give one letter for each")
    unknown = next((letter for letter in sequence if letter not in IDEAL_BACKBONE), None)
    if unknown is not None:
        raise LeastworkError(f"{unknown!r} in the sequence is no residue: use the letters {''.join(IDEAL_BACKBONE)}")
    ideal = torch.tensor([IDEAL_BACKBONE[letter] for letter in sequence]).to(positions)
    first, second, _ = rotations.unbind(-1)  # the residue's axes in the world
    n = positions + ideal[:, :1] * first + ideal[:, 1:2] * second
    c = positions + ideal[:, 2:] * first
    return torch.stack([n, positions, c], dim=2).flatten(1, 2)


def frames_of(atoms: Tensor) -> tuple[Tensor, Tensor]:
    """Positions (B, N, 3) and rotations (B, N, 3, 3) of residues, for instance of guiding structures.

    Args:
        atoms: N, Cα and C′ of each residue in this order, (B, 3N, 3), nm.

    Raises:
        LeastworkError: the shape does not match, atoms lie on a line, or the lengths are in Å.

    >>> frames = torch.zeros(1, 2, 3), torch.eye(3).expand(1, 2, 3, 3)
    >>> positions, rotations = frames_of(backbone_atoms(frames))
    >>> torch.allclose(rotations, frames[1], atol=1e-6)
    True
    """
    if atoms.ndim != 3 or atoms.shape[2] != 3 or atoms.shape[1] % 3 or atoms.shape[1] == 0:
        raise LeastworkError(
            f"atoms of shape {tuple(atoms.shape)} are no backbones: give N, Cα and C′ of each residue, (B, 3N, 3)"
        )
    n, ca, c = atoms.unflatten(1, (-1, 3)).unbind(2)
    check_nanometres(ca)
    along, to_n = c - ca, n - ca
    axis = along / along.norm(dim=-1, keepdim=True)
    across = to_n - (to_n * axis).sum(dim=-1, keepdim=True) * axis
    height = across.norm(dim=-1, keepdim=True)
    if not bool((height > 1e-3 * to_n.norm(dim=-1, keepdim=True)).all()):
        raise LeastworkError(
            "N, Cα and C′ of a residue lie on a line, or are NaN, so they have no frame: look at the order of the atoms"
        )
    second = across / height
    return ca, torch.stack([axis, second, torch.linalg.cross(axis, second)], dim=-1)


def on_frames(measured: _Measured, sequence: str | None = None) -> _Measured:
    """Turn an observable of backbone atoms, or an experiment with one, into one of frames.

    Args:
        measured: observable or experiment of N, Cα and C′ of each residue, (B, 3N, 3), nm, in the order of
            ``Backbone.chain(N)``.
        sequence: as in :func:`backbone_atoms`.

    >>> from leastwork.observables import Backbone, scalar_couplings
    >>> couplings = on_frames(scalar_couplings(Backbone.chain(3), [("3J(HN,HA)", 2)]), "GAG")
    >>> couplings((torch.randn(5, 3, 3), torch.eye(3).expand(5, 3, 3, 3))).shape
    torch.Size([5, 1])
    """
    return _with_function(measured, lambda observable: _OfBackbone(observable, sequence))


def on_alpha_carbons(measured: _Measured) -> _Measured:
    """Turn an observable of Cα atoms (B, N, 3), nm, or an experiment with one, into one of frames."""
    return _with_function(measured, _OfPositions)


def check_nanometres(positions: Tensor) -> None:
    """Raise an error if lengths are in Å: then neighbouring Cα atoms are ten times as far apart as expected in nm.

    Args:
        positions: positions of Cα of one chain, (B, N, 3).
    """
    if positions.shape[1] < 2 or len(positions) == 0:
        return
    typical = float((positions[:, 1:] - positions[:, :-1]).norm(dim=-1).median())
    if 5 < typical / _CA_DISTANCE < 20:
        raise LeastworkError(
            f"the structures: neighbouring Cα atoms are {typical:.3g} nm apart, ten times too far: the lengths are in "
            "Å, divide them by ten"
        )


def _with_function(measured: Any, fn: Callable[[Observable], Callable[[State], Tensor]]) -> Any:
    """The observable with another function of the state, or the experiment with that observable."""
    if isinstance(measured, Observable):
        return replace(measured, fn=fn(measured))
    return replace(measured, observable=_with_function(measured.observable, fn))


def _frames(x: State) -> tuple[Tensor, Tensor]:
    if are_frames(x):
        return x[0], x[1]
    shape = tuple(tuple(leaf.shape) for leaf in x) if isinstance(x, tuple) else tuple(x.shape)
    raise LeastworkError(f"a state of shape {shape} has no frames: give positions (B, N, 3), rotations (B, N, 3, 3)")


# Functions of a state are small values rather than closures: they compare, print and pickle.


@dataclass(frozen=True)
class _OfBackbone:
    observable: Observable
    sequence: str | None

    def __call__(self, x: State) -> Tensor:
        return self.observable(backbone_atoms(x, self.sequence))


@dataclass(frozen=True)
class _OfPositions:
    observable: Observable

    def __call__(self, x: State) -> Tensor:
        return self.observable(_frames(x)[0])
