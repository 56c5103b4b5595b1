"""Objective of a schedule: J = (1/K) Σ_k ((E_Q[O_k] − target_k)/σ_k)² + γ W, on common random numbers.

Its gradient is taken through the sampler. With m_k = E_Q[O_k] held fixed, ∇J is the gradient of the linear surrogate
(2/K) Σ_k (m_k − target_k)/σ_k² · ⟨O_k⟩ + γ ⟨work⟩. This is a sum over samples, which is computed in pieces, so that
the memory holds the autograd graph of one piece only, and workers carry out pieces.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.guidance.base import Guidance
from leastwork.models.base import Model
from leastwork.models.placement import evaluating, placement
from leastwork.observables import Observable
from leastwork.sampling.choices import USUAL, Choices
from leastwork.sampling.noise import BLOCK, BlockNoise
from leastwork.sampling.stepping import BatchResult, Sampler, integrate
from leastwork.statistics.estimate import Estimate
from leastwork.support.checkpoints import kept
from leastwork.support.executors import pieces

__all__ = ["Objective"]


@dataclass(frozen=True)
class Objective:
    """Mismatch plus γ times work of a guidance.

    Args:
        model: the model that is guided.
        observable: the observables, K columns in data units.
        target: target averages, (K,).
        spread: σ, the standard deviations of the observables, (K,).
        fitted: indices of the columns that enter J.
        gamma: γ, the price of one nat of work.
        choices: process, solver and steps with which samples are drawn.
    """

    model: Model
    observable: Observable
    target: Tensor
    spread: Tensor
    fitted: Tensor
    gamma: float
    choices: Choices = USUAL

    def sampler(self, guidance: Guidance) -> Sampler:
        """The sampler for a guidance."""
        return self.choices.sampler(self.model, guidance)

    def value(self, guidance: Guidance, n: int, seed: int) -> Estimate:
        """J on n samples of one seed, with its standard error; infinite if some samples are not finite."""
        return kept("trial", lambda: self._value(guidance, n, seed), Estimate)

    def _value(self, guidance: Guidance, n: int, seed: int) -> Estimate:
        observed, cost = self._draw(guidance, n, seed)
        return self._estimate(observed, cost)

    def value_and_gradient(
        self, guidance: Guidance, parameters: Sequence[Tensor], n: int, seed: int
    ) -> tuple[Estimate, list[Tensor]]:
        """J and its gradient with respect to ``parameters``, tensors that the guidance is made of."""
        return kept("trial", lambda: self._value_and_gradient(guidance, parameters, n, seed), Estimate)

    def _value_and_gradient(
        self, guidance: Guidance, parameters: Sequence[Tensor], n: int, seed: int
    ) -> tuple[Estimate, list[Tensor]]:
        observed, cost = self._draw(guidance, n, seed)
        pull = 2 * (observed.mean(dim=0) - self.target) / self.spread**2 / len(self.fitted)
        pull = torch.zeros_like(pull).index_copy(0, self.fitted, pull[self.fitted])
        total = [torch.zeros_like(parameter) for parameter in parameters]
        drawing = self._drawing(guidance, n, seed, BLOCK)
        shared = (drawing, pull, self.gamma, tuple(parameters))
        with evaluating(self.model.net), pieces(_gradient, shared, drawing.count) as piece:
            for i in range(drawing.count):
                for total_one, part in zip(total, piece(i), strict=True):
                    total_one.add_(part)
        return self._estimate(observed, cost), total

    def _estimate(self, observed: Tensor, cost: Tensor) -> Estimate:
        deviation = ((observed - self.target) / self.spread)[:, self.fitted]
        mean = deviation.mean(dim=0)
        influence = 2 * (deviation @ mean) / len(self.fitted) + self.gamma * cost
        J = float(mean.square().mean() + self.gamma * cost.mean())
        if not math.isfinite(J):
            return Estimate(math.inf, math.nan)
        return Estimate.from_influence(J, influence)

    def _draw(self, guidance: Guidance, n: int, seed: int) -> tuple[Tensor, Tensor]:
        drawing = self._drawing(guidance, n, seed, 4 * BLOCK)
        with evaluating(self.model.net), pieces(_observed, drawing, drawing.count) as piece:
            observed, cost = zip(*(piece(i) for i in range(drawing.count)), strict=True)
        return torch.cat(observed), torch.cat(cost)

    def _drawing(self, guidance: Guidance, n: int, seed: int, size: int) -> "_Drawing":
        return _Drawing(self.sampler(guidance), self.observable, n, seed, size, *placement(self.model))


@dataclass(frozen=True)
class _Drawing:
    """Samples that are drawn so many at a time, and their observables."""

    sampler: Sampler
    observable: Observable
    n: int
    seed: int
    size: int
    device: torch.device
    dtype: torch.dtype

    @property
    def count(self) -> int:
        """Number of pieces."""
        return -(-self.n // self.size)

    def piece(self, i: int) -> tuple[Tensor, Tensor]:
        """Observables and cost of each sample of a piece, (b, K) and (b,)."""
        model, start = self.sampler.process.model, i * self.size
        noise = BlockNoise(
            self.seed, start, min(start + self.size, self.n), model.event_shape, self.dtype, self.device
        )  # fmt: skip
        drawn = integrate(self.sampler, noise)
        return self.observable(model.to_data_units(drawn.x)).to(torch.float64), _cost_of(drawn)


@torch.no_grad()
def _observed(drawing: _Drawing, i: int) -> tuple[Tensor, Tensor]:
    return drawing.piece(i)


@torch.enable_grad()
def _gradient(shared: tuple[_Drawing, Tensor, float, tuple[Tensor, ...]], i: int) -> tuple[Tensor, ...]:
    """The part of the gradient that comes from one piece."""
    drawing, pull, gamma, parameters = shared
    values, cost = drawing.piece(i)
    return torch.autograd.grad(((values @ pull).sum() + gamma * cost.sum()) / drawing.n, parameters)


def _cost_of(piece: BatchResult) -> Tensor:
    cost = piece.work if piece.work is not None else piece.action
    assert cost is not None
    return cost
