"""Rigid-body alignment of every sample with every guide: d² = min_R |x − R y|² = |x|² + |y|² − 2λ, and the best R.

x and y have their centroids at the origin, R is a proper rotation and S = Σ_a x_a y_aᵀ. λ = max_R tr RᵀS is the largest
root of (Horn, J. Opt. Soc. Am. A 4, 629, 1987; Theobald, Acta Cryst. A 61, 478, 2005)

    q(λ) = (λ² − |S|²)² − 8λ det S − 4 |cof S|² = 0.

The rotation is ∂λ/∂S, which needs no eigenvector (FOAM; Markley, J. Astronaut. Sci. 41, 261, 1993); by
cof(cof S + λS) = S det S + λ(|S|² S − S SᵀS) + λ² cof S it becomes

    R = [S + cof(cof S + λS)/ζ]/λ,    ζ = ½λ(λ² − |S|²) − det S = (s₁+s₂)(s₂+s₃)(s₃+s₁) = q′(λ)/8,

with the singular values s of S, and s₃ with the sign of det S. If ζ vanishes (points on a line, mirror images) R is not
unique; for these few pairs one of the rotations is taken from a singular value decomposition. Everything is float64.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Tile", "align", "aligned_squared_distances", "blocks", "centred", "superposed"]

_SUPERPOSED = 512  # structures that are superposed at a time

_SAMPLES = 512  # largest number of samples in a tile
_PAIRS = {"cpu": 2**15}  # pairs in a tile, 10 MiB in all; in smaller tiles the overhead of calls dominates
_PAIRS_ELSEWHERE = 2**18  # pairs in a tile on other devices
_ITERATIONS = 3  # iterations for λ that all pairs take
_DEGENERATE = 1e-4  # ζ/λ³ below which the closed form for R loses more than half of the digits


@dataclass(frozen=True, eq=False)
class Tile:
    """n samples aligned with m of the guides.

    Args:
        guides: indices of the guides.
        squared: d² in squared units of x, (m, n).
        rotations: rotations R that take the guides onto the samples, (3, m, 3, n), with the indices (axis of the guide,
            guide, axis of the sample, sample).
    """

    guides: slice
    squared: Tensor
    rotations: Tensor
    _coordinates: Tensor
    _space: Tensor

    def combine(self, weights: Tensor) -> Tensor:
        """Σ_m w_mn R_mn y_m for weights w (m, n), in the frame of each sample about its centroid, (n, A, 3)."""
        m, n = self.squared.shape
        turned = torch.mul(self.rotations, weights[:, None], out=self._space)
        return (self._coordinates @ turned.view(3 * m, 3 * n)).view(-1, 3, n).permute(2, 0, 1)


def centred(x: Tensor) -> Tensor:
    """Structures (N, A, 3) about their centroids, float64."""
    x = x.to(torch.float64)
    return x - x.mean(dim=1, keepdim=True)


def blocks(n: int, size: int) -> Iterator[slice]:
    """Slices of nearly equal length, at most ``size``, that cover range(n).

    >>> list(blocks(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    count = -(-n // size)
    length = -(-n // max(count, 1))
    return (slice(start, min(start + length, n)) for start in range(0, n, max(length, 1)))


def align(x: Tensor, guides: Tensor, pairs: int | None = None) -> Iterator[tuple[slice, Iterator[Tile]]]:
    """Align all samples with all guides, tile by tile.

    Args:
        x: samples, (N, A, 3), any unit of length.
        guides: guides, (M, A, 3), same unit.
        pairs: number of pairs of a sample and a guide in memory at a time; by default as many as suit the machine.

    Yields:
        (slice of samples, their tiles): tiles in the order of the guides; each reuses the memory of the one before.
    """
    x, guides = centred(x), centred(guides)
    pairs, space = _space(x, pairs)
    for samples in blocks(len(x), min(_SAMPLES, pairs)):
        block = x[samples]
        yield samples, (_tile(block, guides, some, space) for some in blocks(len(guides), pairs // len(block)))


def superposed(x: Tensor, onto: Tensor) -> Tensor:
    """Structures rotated onto one structure, about their centroids, float64 (n, A, 3).

    Args:
        x: structures, (n, A, 3).
        onto: the structure onto which they are rotated, (A, 3).

    >>> y = torch.eye(3)[:, [1, 2, 0]]
    >>> torch.allclose(superposed(y[None] + 5, torch.eye(3)), centred(torch.eye(3)[None]), atol=1e-6)
    True
    """
    own = centred(x.detach().cpu())
    turned = torch.empty_like(own)
    for some, tiles in align(own, centred(onto[None].detach().cpu()), _SUPERPOSED):
        for tile in tiles:
            turned[some] = torch.einsum("gsn,nas->nag", tile.rotations[:, 0], own[some])
    return turned


def aligned_squared_distances(x: Tensor, guides: Tensor, pairs: int | None = None) -> Tensor:
    """d² = min |x − R y − shift|² over shifts and proper rotations R; divided by A it is the squared RMSD.

    Args:
        x: samples, (N, A, 3), any unit of length.
        guides: (M, A, 3), same unit.
        pairs: number of pairs of a sample and a guide in memory at a time.

    Returns:
        Tensor: (N, M), float64, squared units.

    >>> x = torch.randn(1, 5, 3)
    >>> turned = x @ torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]) + 7.0
    >>> bool(aligned_squared_distances(x, turned) < 1e-9)
    True
    """
    x, guides = centred(x), centred(guides)
    squared = x.new_empty(len(x), len(guides))
    pairs, space = _space(x, pairs)
    for samples in blocks(len(x), min(_SAMPLES, pairs)):
        block = x[samples]
        for some in blocks(len(guides), pairs // len(block)):
            solved = _solve(_by_axis(guides[some]), block, space)
            squared[samples, some] = _squared(block, guides[some], solved.lambda_).T
    return squared


def _space(x: Tensor, pairs: int | None) -> tuple[int, Tensor]:
    """Number of pairs in a tile, and memory for three matrices each, which is allocated once to save time."""
    pairs = pairs or _PAIRS.get(x.device.type, _PAIRS_ELSEWHERE)
    return pairs, x.new_empty(3, 9 * pairs)


def _tile(x: Tensor, guides: Tensor, some: slice, space: Tensor) -> Tile:
    coordinates = _by_axis(guides[some])
    solved = _solve(coordinates, x, space)
    S, lambda_ = solved.S, solved.lambda_
    inner = solved.cofactors.addcmul_(S, lambda_[:, None])
    outer = _cofactors(inner, space[2, : S.numel()].view_as(S))
    rotations = S.addcmul_(outer, solved.zeta.reciprocal()[:, None]).div_(lambda_[:, None])
    guide, sample = solved.degenerate
    rotations[:, guide, :, sample] = solved.instead
    return Tile(some, _squared(x, guides[some], lambda_), rotations, coordinates, outer)


@dataclass(frozen=True, eq=False)
class _Solved:
    """S and cof S, (3, m, 3, n), λ and ζ, (m, n), and the pairs for which the closed form fails, with their R."""

    S: Tensor
    cofactors: Tensor
    lambda_: Tensor
    zeta: Tensor
    degenerate: tuple[Tensor, Tensor]
    instead: Tensor


def _solve(coordinates: Tensor, x: Tensor, space: Tensor) -> _Solved:
    """λ by iteration from above: few steps for all pairs, more for the few per cent with close largest roots."""
    rows, columns = coordinates.shape[1], 3 * len(x)
    S, cofactors = (part[: rows * columns].view(3, -1, 3, len(x)) for part in space[:2])
    torch.mm(coordinates.T, _by_axis(x), out=S.view(rows, columns))
    _cofactors(S, cofactors)
    p, d, e = _squared_norm(S), _first_row_product(S, cofactors), _squared_norm(cofactors)
    lambda_ = p.add(e.mul(12.0).sqrt_()).sqrt_()  # λ² = |S|² + 2Σ s_i s_j ≤ |S|² + 2√(3|cof S|²)
    lambda_, zeta, settled = _iterate(lambda_, p, d, e)
    late = torch.nonzero(~settled, as_tuple=True)
    lambda_[late], zeta[late], settled[late] = _iterate(lambda_[late], p[late], d[late], e[late])
    served = settled & (zeta > _DEGENERATE * lambda_**3)
    guide, sample = torch.nonzero(~served & p.isfinite(), as_tuple=True)
    lambda_[guide, sample], instead = _by_decomposition(S[:, guide, :, sample])
    return _Solved(S, cofactors, lambda_, zeta, (guide, sample), instead)


def _iterate(lambda_: Tensor, p: Tensor, d: Tensor, e: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """λ and ζ after steps of Laguerre's method and one of Newton's, and whether the last step was small enough.

    As all roots are real, both descend to the largest; Laguerre's method is of third order and copes with close roots.
    """
    minus_d, minus_4e = -d, -4.0 * e
    for _ in range(_ITERATIONS):
        square = lambda_ * lambda_
        u = square - p
        zeta = torch.addcmul(minus_d, u, lambda_, value=0.5)
        q = torch.addcmul(minus_4e, u, u).addcmul_(d, lambda_, value=-8.0)
        # q/(2ζ + √(36ζ² − 3q(3λ² − |S|²))): q, q′ and q″ for a polynomial of degree four
        curved = torch.add(p, square, alpha=-3.0).mul_(q)
        root = curved.mul_(3.0).addcmul_(zeta, zeta, value=36.0).clamp_min_(0.0).sqrt_()
        lambda_ = lambda_ - q.div_(root.add_(zeta, alpha=2.0))
    u = torch.addcmul(-p, lambda_, lambda_)
    q = torch.addcmul(minus_4e, u, u).addcmul_(d, lambda_, value=-8.0)
    zeta = torch.addcmul(minus_d, u, lambda_, value=0.5)
    step = q.div_(zeta).mul_(0.125)
    lambda_ = lambda_ - step
    zeta = torch.addcmul(minus_d, torch.addcmul(-p, lambda_, lambda_), lambda_, value=0.5)
    # the next step is of the order of step² divided by the distance of the roots, which is above ζ/λ²
    return lambda_, zeta, (step * lambda_).square_() <= 1e-14 * zeta * lambda_.abs()


def _by_decomposition(S: Tensor) -> tuple[Tensor, Tensor]:
    """λ (K,) and one of the best rotations (K, 3, 3) for S (K, 3, 3); axes as in S."""
    if len(S) == 0:  # nearly always; the decomposition of nothing still costs time
        return S[:, 0, 0], S
    left, s, right = torch.linalg.svd(S)
    hand = torch.linalg.det(left @ right).sign()
    left[:, :, 2] *= hand[:, None]
    return s[:, 0] + s[:, 1] + hand * s[:, 2], left @ right


def _by_axis(guides: Tensor) -> Tensor:
    """(m, A, 3) as (A, 3m): all first coordinates, then all second, then all third."""
    return guides.permute(1, 2, 0).reshape(guides.shape[1], -1)


def _squared(x: Tensor, guides: Tensor, lambda_: Tensor) -> Tensor:
    """|x|² + |y|² − 2λ, (m, n), with negative values from rounding set to zero."""
    own = torch.linalg.vector_norm(x, dim=(1, 2)).square_()
    other = torch.linalg.vector_norm(guides, dim=(1, 2)).square_()
    return torch.add(own + other[:, None], lambda_, alpha=-2.0).clamp_min_(0.0)


def _cofactors(S: Tensor, out: Tensor) -> Tensor:
    """cof S of (3, m, 3, n), computed entry by entry as differences of products of contiguous rows."""
    s = [part.unbind(1) for part in S.unbind(0)]
    c = [part.unbind(1) for part in out.unbind(0)]
    for i in range(3):
        a, b = s[(i + 1) % 3], s[(i + 2) % 3]
        for j in range(3):
            k, l = (j + 1) % 3, (j + 2) % 3  # noqa: E741
            torch.mul(a[k], b[l], out=c[i][j]).addcmul_(a[l], b[k], value=-1.0)
    return out


def _squared_norm(S: Tensor) -> Tensor:
    """|S|², (m, n); torch's own sum over outer axes is twenty times slower."""
    total = torch.zeros_like(S[0, :, 0])
    for part in S.unbind(0):
        for entry in part.unbind(1):
            total.addcmul_(entry, entry)
    return total


def _first_row_product(S: Tensor, cofactors: Tensor) -> Tensor:
    """det S = Σ_i S_0i (cof S)_0i, (m, n)."""
    total = torch.zeros_like(S[0, :, 0])
    for entry, cofactor in zip(S[0].unbind(1), cofactors[0].unbind(1), strict=True):
        total.addcmul_(entry, cofactor)
    return total
