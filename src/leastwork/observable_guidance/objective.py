"""Objective of a schedule: J = (1/K) Σ_k ((E_Q[O_k] − target_k)/σ_k)² + γ W, on common random numbers.

Its gradient is taken through the sampler. With m_k = E_Q[O_k] held fixed, ∇J is the gradient of the linear surrogate
(2/K) Σ_k (m_k − target_k)/σ_k² · ⟨O_k⟩ + γ ⟨work⟩. This is a sum over samples, which is computed in pieces, so that
the memory holds the autograd graph of one piece only.
"""

import math
from collections.abc import Callable, Sequence
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
        with torch.no_grad():
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
        with torch.no_grad():
            observed, cost = self._draw(guidance, n, seed)
        pull = 2 * (observed.mean(dim=0) - self.target) / self.spread**2 / len(self.fitted)
        pull = torch.zeros_like(pull).index_copy(0, self.fitted, pull[self.fitted])
        total = [torch.zeros_like(parameter) for parameter in parameters]

        def add(piece: BatchResult, values: Tensor) -> None:
            surrogate = ((values @ pull).sum() + self.gamma * _cost_of(piece).sum()) / n
            for total_one, part in zip(total, torch.autograd.grad(surrogate, parameters), strict=True):
                total_one.add_(part)

        with torch.enable_grad():
            self._pieces(guidance, n, seed, BLOCK, add)
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
        observed: list[Tensor] = []
        cost: list[Tensor] = []

        def keep(piece: BatchResult, values: Tensor) -> None:
            observed.append(values)
            cost.append(_cost_of(piece))

        self._pieces(guidance, n, seed, 4 * BLOCK, keep)
        return torch.cat(observed), torch.cat(cost)

    def _pieces(
        self, guidance: Guidance, n: int, seed: int, size: int, use: Callable[[BatchResult, Tensor], None]
    ) -> None:
        sampler = self.sampler(guidance)
        device, dtype = placement(self.model)
        with evaluating(self.model.net):
            for start in range(0, n, size):
                noise = BlockNoise(seed, start, min(start + size, n), self.model.event_shape, dtype, device)
                piece = integrate(sampler, noise)
                use(piece, self.observable(self.model.to_data_units(piece.x)).to(torch.float64))


def _cost_of(piece: BatchResult) -> Tensor:
    cost = piece.work if piece.work is not None else piece.action
    assert cost is not None
    return cost
