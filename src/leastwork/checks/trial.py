"""The error of denoising D = p y + q x from inner products of the output y, the state x and the data x_0.

    |D − x_0|² = p² yy + q² xx + 2pq yx − 2p yx_0 − 2q xx_0 + x_0x_0

All predictions that one output can stand for cost no more than these products. D is the mean of x_0 given x, so that
x_0 − D is uncorrelated with any function of x: for no coordinate has a combination of y, x, a constant and a step in x
a smaller error than a right hypothesis. What the best combinations save tells how far a hypothesis is from right.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["Known", "Products", "Trial"]

_EXCESS = 0.04  # part of the linear estimate's error that combinations may save under a hypothesis that fits
_FITTED = 8.0  # for n samples the same is larger by this over n, as combinations of four are fitted to them
_TELLS = 0.95  # part of the error of an output of zero below which a network says something under a hypothesis
_NOTHING = 1e-9  # part of a function of x, apart from combinations of others, below which it is one of them


@dataclass(frozen=True)
class Known:
    """x, x_0, the declared D, a constant and a step in x, with their products.

    Args:
        values: (5, n, d).
        samples: products over the number of coordinates, (5, 5, n).
        coordinates: products over the number of samples, (5, 5, d).
    """

    values: Tensor
    samples: Tensor
    coordinates: Tensor

    @classmethod
    def of(cls, x: Tensor, x0: Tensor, denoised: Tensor) -> "Known":
        """From flat states, float64, (n, d)."""
        step = torch.tanh(2 * (x - x.mean(dim=0)) / x.std(dim=0).clamp(min=1e-12))
        values = torch.stack([x, x0, denoised, torch.ones_like(x), step])
        return cls(
            values,
            torch.einsum("and,bnd->abn", values, values) / x.shape[1],
            torch.einsum("and,bnd->abd", values, values) / len(x),
        )


@dataclass(frozen=True)
class Products:
    """Products of an output with what is known and, last, with itself.

    Args:
        known: the products that do not depend on the output.
        samples: over the number of coordinates, (6, n).
        coordinates: over the number of samples, (6, d).
        linear: error of the linear estimate.
    """

    known: tuple[Tensor, Tensor]
    samples: Tensor
    coordinates: Tensor
    linear: float

    @classmethod
    def of(cls, known: Known, output: Tensor, linear: float) -> "Products":
        """From the output, float64, (n, d)."""
        every = torch.cat([known.values, output[None]])
        return cls(
            (known.samples, known.coordinates),
            torch.einsum("and,nd->an", every, output) / output.shape[1],
            torch.einsum("and,nd->ad", every, output) / len(output),
            linear,
        )

    def errors(self, p: float, q: float) -> tuple[Tensor, Tensor]:
        """For every sample, (n,): |D′ − x_0|² and |D′ − D|² of D′ = p y + q x, in units of the linear estimate's."""
        (k, _), y = self.known, self.samples
        own = p * p * y[5] + q * q * k[0, 0] + 2 * p * q * y[0]
        both = (own - 2 * (p * y[one] + q * k[0, one]) + k[one, one] for one in (1, 2))
        error, change = ((one / self.linear).nan_to_num(math.inf, math.inf) for one in both)
        return error, change

    def error(self, p: float, q: float) -> float:
        """The mean of the first."""
        yx, yw, yy, xx, xw, ww = self._means
        error = (p * p * yy + q * q * xx + 2 * p * q * yx - 2 * (p * yw + q * xw) + ww) / self.linear
        return error if math.isfinite(error) else math.inf

    @cached_property
    def _means(self) -> list[float]:
        (k, _), y = self.known, self.samples
        return torch.stack([y[0], y[1], y[5], k[0, 0], k[0, 1], k[1, 1]]).mean(dim=1).tolist()

    @cached_property
    def floor(self) -> float:
        """The least mean error that combinations of y, x, a constant and a step have, one for each coordinate."""
        (_, k), y = self.known, self.coordinates
        full = torch.cat([torch.cat([k, y[None, :5]]), y[:, None]], dim=1).movedim(2, 0)  # (d, 6, 6)
        if not bool(torch.isfinite(full).all()):
            return -math.inf
        use = [0, 3, 4, 5]
        size = full.diagonal(dim1=1, dim2=2)[:, use].clamp(min=1e-300).sqrt()
        gram = full[:, use][:, :, use] / size[:, None] / size[:, :, None]
        aims = full[:, 1, use] / size
        saved = (torch.linalg.pinv(gram, rtol=_NOTHING, hermitian=True) @ aims[:, :, None])[:, :, 0] * aims
        return float((full[:, 1, 1] - saved.sum(dim=1)).mean()) / self.linear


@dataclass(frozen=True)
class Trial:
    """How well a hypothesis denoises, at several log-SNRs, in units of the linear estimate's error.

    Args:
        products: of its outputs.
        weights: (p, q) with D = p y + q x.
    """

    products: tuple[Products, ...]
    weights: tuple[tuple[float, float], ...]

    @cached_property
    def mean(self) -> float:
        """The mean error."""
        return _mean(one.error(p, q) for one, (p, q) in self._each)

    @property
    def excess(self) -> float:
        """The largest part of the linear estimate's error that combinations save."""
        return max(one.error(p, q) - one.floor for one, (p, q) in self._each)

    @property
    def fits(self) -> bool:
        """Whether no combinations denoise clearly better at any log-SNR."""
        return self.excess < _EXCESS + _FITTED / self.products[0].samples.shape[1]

    @property
    def tells(self) -> bool:
        """Whether an output of zero would be worse."""
        return self.mean < _TELLS * _mean(one.error(0.0, q) for one, (_, q) in self._each)

    @property
    def errors(self) -> tuple[Tensor, Tensor]:
        """For every sample, (n,): |D′ − x_0|², and |D′ − D|² to the declared D."""
        parts = [one.errors(p, q) for one, (p, q) in self._each]
        error, change = (torch.stack(one).mean(dim=0) for one in zip(*parts, strict=True))
        return error, change

    @property
    def _each(self) -> Iterable[tuple[Products, tuple[float, float]]]:
        return zip(self.products, self.weights, strict=True)


def _mean(values: Iterable[float]) -> float:
    every = list(values)
    return sum(every) / len(every)
