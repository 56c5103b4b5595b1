"""Checks of the guiding points: shape, unit of length and handedness, compared with samples of the model.

Two mistakes would ruin a run without an error: structures in Å for a model in nm, and mirror images. For molecules,
(A, 3), the distance of an atom to its nearest neighbour shows the unit, since folding hardly changes this distance.
A guide is of the wrong hand if its mirror image fits much closer after alignment; among guides, the signed volumes
(r_{a+1} − r_a) · (r_{a+2} − r_{a+1}) × (r_{a+3} − r_{a+2}) of four consecutive atoms must disagree too.
"""

import warnings

import torch
from torch import Tensor

from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.geometry.alignment import aligned_squared_distances, centred
from leastwork.geometry.state import State, all_finite, leaves

__all__ = ["check_guides"]

_MOST_SAMPLES = 256  # samples of the model that are compared with the guides
_TEN = (5.0, 20.0)  # ratios of lengths in this range are taken for a factor of ten, as between nm and Å
_ODD_RATIO = 3.0  # ratio of lengths above which a warning is given
_MIRROR_RATIO = 0.5  # a guide is of the wrong hand if d² of its mirror image is below this part of its own


def check_guides(points: State, samples: State) -> None:
    """Compare guiding points with samples of the model.

    For states that are not molecules, there is a warning only for guides that lie far outside the samples. If the model
    makes both hands of a molecule, guides of either hand pass.

    Args:
        points: guides, (M, *event), data units.
        samples: samples of the model, (n, *event), data units; some 200 are enough.

    Raises:
        LeastworkError: the shapes differ, a guide is not finite, atoms coincide, or lengths differ tenfold.

    Warns:
        LeastworkWarning: lengths differ much, but not tenfold, or a guide seems to be a mirror image.

    >>> x = torch.randn(50, 10, 3, generator=torch.Generator().manual_seed(0))
    >>> check_guides(x[:5], x[5:])
    >>> check_guides(10 * x[:5], x[5:])
    Traceback (most recent call last):
    ...
    leastwork.errors.LeastworkError: the guiding points are about ten times the size of the model's samples: ...
    """
    _check_shape(points, samples)
    finite = all_finite(points)
    if not bool(finite.all()):
        raise LeastworkError(f"guiding point {int((~finite).nonzero()[0])} is NaN or infinite: mend it or leave it out")
    for mine, theirs in zip(leaves(points), leaves(samples), strict=True):
        guides, others = mine.detach().to(torch.float64), theirs.detach()[:_MOST_SAMPLES].to(torch.float64)
        if guides.ndim == 3 and guides.shape[2] == 3 and guides.shape[1] >= 2:
            _check_molecule_scale(guides, others)
            _check_hands(guides, others)
        else:
            _check_scale(guides, others)


def _check_shape(points: State, samples: State) -> None:
    mine, theirs = ([tuple(leaf.shape[1:]) for leaf in leaves(state)] for state in (points, samples))
    if isinstance(points, tuple) != isinstance(samples, tuple) or mine != theirs:
        raise LeastworkError(
            f"guiding points have shape {_join(mine)} and the model's samples {_join(theirs)}: "
            "pass the same atoms or coordinates, in the same order"
        )
    for name, state in (("guiding points", points), ("samples", samples)):
        if len(leaves(state)[0]) == 0:
            raise LeastworkError(f"there are no {name} to compare: pass at least one")


def _join(shapes: list[tuple[int, ...]]) -> str:
    return " and ".join(str(shape) for shape in shapes)


def _check_molecule_scale(guides: Tensor, samples: Tensor) -> None:
    mine, theirs = _neighbour_distance(guides), _neighbour_distance(samples)
    if min(mine, theirs) == 0:
        whose = "guiding points" if mine == 0 else "model's samples"
        raise LeastworkError(f"half of the atoms of the {whose} lie on another atom: check the file they come from")
    ratio = mine / theirs
    for factor, size, remedy in ((ratio, "ten times", "0.1"), (1 / ratio, "a tenth of", "10")):
        if _TEN[0] <= factor <= _TEN[1]:
            raise LeastworkError(
                f"the guiding points are about {size} the size of the model's samples: if one is in nm and the other "
                f"in Å, multiply the guiding points by {remedy}"
            )
    if not 1 / _ODD_RATIO < ratio < _ODD_RATIO:
        _warn(
            f"neighbouring atoms of the guiding points are {ratio:.3g} times as far apart as in the model's samples: "
            "check the unit of length and which atoms are given"
        )


def _neighbour_distance(x: Tensor) -> float:
    """Median over atoms and structures of the distance to the nearest other atom."""
    distances = torch.cdist(x, x)
    distances.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    return float(distances.amin(dim=2).median())


def _check_scale(guides: Tensor, samples: Tensor) -> None:
    centre = samples.mean(dim=0)
    far, spread = (float((x - centre).square().mean().sqrt()) for x in (guides, samples))
    if spread > 0 and far > _TEN[0] * spread:
        _warn(
            f"the guiding points lie {far / spread:.3g} times as far from the samples' mean as the samples do: "
            "check their unit and order of coordinates"
        )


def _check_hands(guides: Tensor, samples: Tensor) -> None:
    """Warn of guides that are mirror images of the other guides or of the model's samples."""
    if guides.shape[1] < 4:
        return  # up to three atoms lie in a plane and have no hand
    mirrored = -guides
    against = [(aligned_squared_distances(g, samples).amin(dim=1)) for g in (guides, mirrored)]
    wrong = against[1] < _MIRROR_RATIO * against[0]
    if len(guides) > 2:  # among two, either could be the mirror image
        own, other = aligned_squared_distances(guides, guides), aligned_squared_distances(mirrored, guides)
        apart = ~torch.eye(len(guides), dtype=torch.bool, device=guides.device)
        closer = torch.stack([_row_median(d, apart) for d in (own, other)])
        volumes = _signed_volumes(guides)
        rest = volumes.sum(dim=0) - volumes
        wrong |= (closer[1] < _MIRROR_RATIO * closer[0]) & ((volumes * rest).sum(dim=1) < 0)
    if bool(wrong.any()):
        names = ", ".join(str(i) for i in wrong.nonzero().flatten().tolist())
        one = int(wrong.sum()) == 1
        _warn(
            f"guiding point{'' if one else 's'} {names} fit{'s' if one else ''} far better as a mirror image: "
            "check the signs and the order of the coordinates"
        )


def _row_median(squared: Tensor, chosen: Tensor) -> Tensor:
    return squared[chosen].view(len(squared), -1).median(dim=1).values


def _signed_volumes(x: Tensor) -> Tensor:
    """Signed volumes of consecutive four atoms, scaled to a unit vector for each structure, (M, A − 3)."""
    bonds = centred(x).diff(dim=1)
    volumes = (bonds[:, :-2] * torch.linalg.cross(bonds[:, 1:-1], bonds[:, 2:])).sum(dim=2)
    return volumes / torch.linalg.vector_norm(volumes, dim=1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)


def _warn(message: str) -> None:
    warnings.warn(message, LeastworkWarning, stacklevel=4)
