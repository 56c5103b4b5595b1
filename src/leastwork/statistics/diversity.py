"""Diversity of samples: the Vendi score, and distances to the guides.

    V = exp(−tr ρ ln ρ)        ρ_ij = √(w_i w_j) exp(−d²(x_i, x_j)/2b²)        Σ w = 1

V is the exponential of the von Neumann entropy of the samples' similarities (Friedman & Dieng, TMLR 2023, arXiv
2210.02410), an effective number of different samples: 1 if all are equal and n if none is similar to another. It grows
with n and falls with b, so compare it only at equal n and b, best with draws of the wanted distribution.

With eigenvalues λ and eigenvectors U of ρ, the influence of sample i on ln V is −n Σ_k U_ik² λ_k ln λ_k − n w_i ln V.
This gives the standard error to first order: it is a fifth too small if V is a quarter of n, and not meaningful if V is
close to n.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.errors import LeastworkError, NonFiniteError
from leastwork.geometry.alignment import blocks
from leastwork.geometry.state import State, all_finite, batch_size, evenly, take
from leastwork.kernels.base import Kernel
from leastwork.kernels.density import KernelDensity
from leastwork.kernels.flat import EuclideanKernel
from leastwork.statistics.estimate import Estimate

__all__ = [
    "Novelty",
    "guides_apart",
    "nearest_guide",
    "novelty",
    "relative_diversity",
    "typical_distance",
    "vendi_score",
]

_PAIRS = 2**18  # pairs of a sample and a guide in memory at a time


def typical_distance(x: State, kernel: Kernel | None = None, max_samples: int = 1000) -> float:
    """The median distance between two samples.

    Args:
        x: samples, (n, *event), n ≥ 2, data units.
        kernel: the distance; by default Euclidean.
        max_samples: largest number of samples that are compared, evenly spaced among all.

    Raises:
        LeastworkError: fewer than two samples.
        NonFiniteError: a sample is NaN or infinite.

    >>> typical_distance(torch.tensor([[0.0], [1.0], [3.0]]))
    2.0
    """
    x = take(x, _evenly_spaced(batch_size(x), max_samples))
    if batch_size(x) < 2:
        raise LeastworkError("one sample has no distance to others: pass at least two")
    squared = _squared_distances(x, EuclideanKernel() if kernel is None else kernel)
    pairs = torch.ones_like(squared, dtype=torch.bool).triu(diagonal=1)
    return math.sqrt(float(squared[pairs].median()))


def vendi_score(
    x: State,
    bandwidth: float,
    kernel: Kernel | None = None,
    log_weight: Tensor | None = None,
    max_samples: int = 1000,
) -> Estimate:
    """The effective number of different samples.

    Args:
        x: independent samples, (n, *event), data units.
        bandwidth: b, in the unit of the distance; samples that are much closer count as one.
        kernel: kernel that defines the distance; by default Euclidean. The distance after alignment comes from no inner
            product: if eigenvalues are negative, they are set to zero and the others are scaled to the sum one.
        log_weight: ln w, (n,), up to a constant; by default equal weights. With weights the score is that of the
            weighted distribution, limited by the number of effective samples.
        max_samples: largest number of samples that are used, evenly spaced among all; the cost grows with its third
            power.

    Raises:
        LeastworkError: there are no samples, the bandwidth is not positive, or the weights have another shape.
        NonFiniteError: a sample or a weight is NaN or infinite.

    >>> x = torch.tensor([[0.0], [0.0], [50.0]])
    >>> round(vendi_score(x, bandwidth=1.0).value, 4)  # exp of the entropy of (2/3, 1/3)
    1.8899
    """
    if not 0 < bandwidth < math.inf:
        raise LeastworkError(f"bandwidth={bandwidth} must be a finite number > 0, in the unit of the distance")
    n = batch_size(x)
    if log_weight is None:
        log_weight = torch.zeros(n, dtype=torch.float64)
    if log_weight.shape != (n,):
        raise LeastworkError(f"log_weight has shape {tuple(log_weight.shape)} for {n} samples: pass one for each")
    chosen = _evenly_spaced(n, max_samples)
    squared = _squared_distances(take(x, chosen), EuclideanKernel() if kernel is None else kernel)
    root = (0.5 * log_weight[chosen].to(squared).log_softmax(dim=0)).exp()
    if not bool(root.isfinite().all()):
        raise NonFiniteError("log_weight has a value that is NaN or +infinite, or none that is finite")
    similarity = squared.mul_(-0.5 / bandwidth**2).exp_().mul_(root).mul_(root[:, None])
    eigenvalues, vectors = torch.linalg.eigh(similarity)
    eigenvalues = eigenvalues.clamp_min(0.0)
    eigenvalues = eigenvalues / eigenvalues.sum()
    surprise = -torch.xlogy(eigenvalues, eigenvalues)
    entropy = surprise.sum()
    influence = len(root) * (vectors.square() @ surprise - root.square() * entropy)
    return Estimate.from_influence(entropy.exp(), entropy.exp() * influence)


def relative_diversity(
    x: State,
    reference: State,
    kernel: Kernel | None = None,
    bandwidth: float | None = None,
    log_weight: Tensor | None = None,
    max_samples: int = 1000,
) -> Estimate:
    """The Vendi score of samples divided by that of draws of the wanted distribution, at equal n and bandwidth.

    It is 1 for the wanted distribution, smaller for samples that are less diverse, and larger for more diverse ones.

    Args:
        x: independent samples, (n, *event), data units.
        reference: draws of the wanted distribution, (m, *event).
        kernel: the distance; by default Euclidean.
        bandwidth: b; by default half the median distance between two draws of the reference. With the median itself, a
            dozen points can score almost as high as their distribution, since all samples are similar; with a far
            smaller b, in many dimensions, all samples differ and every score is n.
        log_weight: ln w of x, (n,); uneven weights leave fewer effective samples, which lowers the score a little.
        max_samples: largest n of both; otherwise n is the smaller of the two numbers.

    Raises:
        LeastworkError: as in :func:`vendi_score`.

    >>> draw = torch.Generator().manual_seed(0)
    >>> reference = torch.randn(400, 2, generator=draw)
    >>> same, half = torch.randn(400, 2, generator=draw), 0.5 * torch.randn(400, 2, generator=draw)
    >>> relative_diversity(same, reference).value > 0.9, relative_diversity(half, reference).value < 0.5
    (True, True)
    """
    n = min(batch_size(x), batch_size(reference), max_samples)
    if bandwidth is None:
        bandwidth = typical_distance(reference, kernel, max_samples) / 2
    own = vendi_score(x, bandwidth, kernel, log_weight, n)
    wanted = vendi_score(reference, bandwidth, kernel, max_samples=n)
    ratio = own.value / wanted.value
    return Estimate(ratio, math.hypot(own.stderr / wanted.value, ratio * wanted.stderr / wanted.value))


def nearest_guide(x: State, density: KernelDensity) -> Tensor:
    """The distance of each sample to its nearest guide, measured by the kernel, float64 (n,).

    Samples that collapse onto the guides are much closer to them than draws of the wanted distribution are, or than
    guides are to each other (:func:`guides_apart`).

    Args:
        x: samples, (n, *event), data units; n may be zero.
        density: the guides with their kernel.

    Raises:
        NonFiniteError: a sample is NaN or infinite.
    """
    if batch_size(x) == 0:
        return torch.zeros(0, dtype=torch.float64)
    _refuse_non_finite(x)
    parts = blocks(batch_size(x), max(_PAIRS // len(density), 1))
    with torch.no_grad():
        squared = [density.kernel.squared_distances(take(x, part), density.guides).amin(dim=1) for part in parts]
    return torch.cat(squared).sqrt()


def guides_apart(density: KernelDensity) -> Tensor:
    """The distance of each guide to the nearest other guide, (M,), float64.

    Raises:
        LeastworkError: there is only one guide.
    """
    if len(density) < 2:
        raise LeastworkError("one guide has no other to be near: pass two or more")
    with torch.no_grad():
        squared = density.kernel.squared_distances(density.points, density.guides)
    return squared.fill_diagonal_(math.inf).amin(dim=1).sqrt()


@dataclass(frozen=True)
class Novelty:
    """Median distances to the nearest guide, of samples and of guides to other guides, and their ``ratio``.

    A ratio near zero means that the guides were copied. Samples of the same distribution as the guides have a ratio a
    little below one, since a sample has M guides to be near to, and a guide M − 1.
    """

    samples: Estimate
    guides: Estimate

    @property
    def ratio(self) -> Estimate:
        """The median of the samples divided by that of the guides."""
        value = self.samples.value / self.guides.value
        return Estimate(value, math.hypot(self.samples.stderr, value * self.guides.stderr) / self.guides.value)


def novelty(x: State, density: KernelDensity) -> Novelty:
    """Median distances of samples to the nearest guide and of guides to each other.

    Args:
        x: independent samples, (n, *event), data units.
        density: the guides, two or more, with their kernel.

    Raises:
        LeastworkError: there are no samples, or only one guide.
        NonFiniteError: a sample is NaN or infinite.

    >>> from leastwork.kernels.density import kernel_density
    >>> density = kernel_density(torch.tensor([[0.0], [1.0], [2.0]]))
    >>> novelty(torch.tensor([[0.1], [1.1], [2.1]]), density).ratio.value < 0.2  # copies of the guides
    True
    """
    if batch_size(x) == 0:
        raise LeastworkError("there are no samples to compare with the guides: pass at least one")
    return Novelty(_median(nearest_guide(x, density)), _median(guides_apart(density)))


def _median(values: Tensor) -> Estimate:
    """The median; its standard error is half the distance of the order statistics √n/2 ranks below and above."""
    n = len(values)
    ranks = torch.tensor([0.5 - 0.5 / math.sqrt(n), 0.5 + 0.5 / math.sqrt(n)], dtype=values.dtype)
    low, high = values.quantile(ranks.to(values.device)).tolist()
    return Estimate(float(values.quantile(0.5)), 0.5 * (high - low))


def _evenly_spaced(n: int, most: int) -> Tensor:
    """Indices of at most ``most`` of n samples, evenly spaced."""
    if most < 1:
        raise LeastworkError(f"max_samples={most} leaves nothing to compare: choose at least 1")
    return evenly(n, most)


def _squared_distances(x: State, kernel: Kernel) -> Tensor:
    """d² of all pairs, float64 (n, n), exactly symmetric and zero on the diagonal."""
    if batch_size(x) == 0:
        raise LeastworkError("there are no samples to compare: pass at least one")
    _refuse_non_finite(x)
    with torch.no_grad():
        squared = kernel.squared_distances(x, kernel.embed(x))
    return (0.5 * (squared + squared.T)).fill_diagonal_(0.0)


def _refuse_non_finite(x: State) -> None:
    finite = all_finite(x)
    if not bool(finite.all()):
        raise NonFiniteError(f"sample {int((~finite).nonzero()[0])} is NaN or infinite: no distance to it is known")
