"""Gradients of averages over paths of a controlled flow with respect to the control, computed piece by piece."""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from leastwork.geometry.state import State, batch_size, flatten, leaves, take, unflatten
from leastwork.networks.control import ControlNetwork
from leastwork.sampling.solvers.steps import Step, Steps
from leastwork.sampling.stepping import Carry, Sampler, advance

__all__ = ["Answer", "Push", "Recorder", "end_and_action", "in_pieces", "regress", "step_weights"]

_LENGTH_QUANTILE = 0.99  # costates a longer than this quantile of |a| are shortened to it, for the regression and G
_REGRESSION_STEPS, _POINTS_A_STEP = 120, 2048  # optimiser steps in one round, and points in each of them


def in_pieces(start: Carry, size: int) -> list[Carry]:
    """The start states in pieces of at most ``size`` paths."""
    return [Carry(take(start.x, slice(i, i + size))) for i in range(0, batch_size(start.x), size)]


def end_and_action(sampler: Sampler, carry: Carry) -> tuple[State, Tensor]:
    """End states and actions of the paths; the graph stores every √steps-th state and recomputes those between."""
    table = sampler.steps.table()
    stretch = math.ceil(math.sqrt(len(table)))
    total = torch.zeros(batch_size(carry.x), dtype=torch.float64, device=leaves(carry.x)[0].device)
    for start in range(0, len(table), stretch):

        def run(carry: Carry, total: Tensor, steps: list[Step] = table[start : start + stretch]):
            for step in steps:
                carry, cost = advance(sampler, step, carry, None)
                total = total if cost.action is None else total + cost.action
            return carry, total

        if torch.is_grad_enabled():
            carry, total = checkpoint(run, carry, total, use_reentrant=False, preserve_rng_state=False)  # type: ignore
        else:
            carry, total = run(carry, total)
    return carry.x, total


@dataclass
class Push:
    """The control plus a velocity that is zero, with respect to which paths are differentiated; stores the states."""

    network: ControlNetwork
    velocity: dict[float, Tensor] = field(default_factory=dict)
    states: dict[float, Tensor] = field(default_factory=dict)
    through_network: bool = False

    def __call__(self, x: State, t: float, denoised: State) -> State:
        flat = flatten(x).detach()
        with torch.no_grad():
            control = self.network(flat, float(t))
        self.states[t] = flat
        self.velocity.setdefault(t, torch.zeros_like(flat, requires_grad=True))
        return unflatten(control + self.velocity[t], x)


@dataclass
class Recorder:
    """The control; it also adds up the Gram matrix of its head's inputs and a constant, (width + 1, width + 1)."""

    network: ControlNetwork
    gram: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    through_network: bool = False

    def __call__(self, x: State, t: float, denoised: State) -> State:
        features = self.network.features(flatten(x), float(t))
        known = torch.cat([features.detach(), torch.ones_like(features[:, :1])], dim=1).to("cpu", torch.float64)
        self.gram = self.gram + known.T @ known
        return unflatten(self.network.head(features) * self.network.unit, x)


@dataclass(frozen=True)
class Answer:
    """B paths: times (T,), their weights in ∫dt (T,), states (T, B, d), costates a (K, T, B, d), mean miss, action."""

    times: Tensor
    width: Tensor
    states: Tensor
    costate: Tensor
    miss: Tensor
    action: float

    @classmethod
    def joined(cls, pieces: "list[Answer]") -> "Answer":
        """All paths of the pieces; the few long costates, of paths that nearly end in another basin, are shortened."""
        first = pieces[0]
        costate = torch.cat([piece.costate for piece in pieces], dim=2)
        length = costate.norm(dim=-1, keepdim=True)
        usual = length.square().mean(dim=2, keepdim=True).sqrt()  # so that a few costates among zeros keep their length
        top = torch.maximum(length.flatten(2).quantile(_LENGTH_QUANTILE, dim=2)[..., None, None], usual)
        share = torch.tensor([piece.states.shape[1] for piece in pieces], dtype=torch.float64)
        share = share / share.sum()
        return cls(
            first.times,
            first.width,
            torch.cat([piece.states for piece in pieces], dim=1),
            costate * (top / length.clamp(min=1e-30)).clamp(max=1),
            torch.stack([piece.miss for piece in pieces], dim=1) @ share,
            float(torch.tensor([piece.action for piece in pieces], dtype=torch.float64) @ share),
        )

    def gram(self) -> Tensor:
        """G_kl = E ∫ a_k·a_l dt, float64 (K, K)."""
        a = self.costate.to(torch.float64)
        return torch.einsum("ktbd,ltbd,t->kl", a, a, self.width.to(a.device)).cpu() / a.shape[2]

    def moments(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread of the states at ``times``, interpolated linearly and constant outside: (T, d) each."""
        order = self.times.argsort()
        known = self.times[order].numpy()
        columns = torch.cat([self.states.mean(dim=1), self.states.std(dim=1)], dim=1)[order.to(self.states.device)]
        placed = np.stack([np.interp(times.numpy(), known, column) for column in columns.T.cpu().numpy()], axis=1)
        mean, std = torch.from_numpy(placed).to(self.states).chunk(2, dim=1)
        return mean, std


def regress(
    network: ControlNetwork,
    optimiser: torch.optim.Optimizer,
    answer: Answer,
    multipliers: Tensor,
    draw: torch.Generator,
) -> None:
    """Fit h to −ν·a by least squares over paths and times."""
    size = _POINTS_A_STEP
    wanted = -torch.einsum("k,ktbd->tbd", multipliers.to(answer.costate), answer.costate)
    count, paths = answer.states.shape[:2]
    weight = (answer.width / answer.width.mean()).to(answer.states)
    times = answer.times.to(answer.states)
    with torch.enable_grad():
        for _ in range(_REGRESSION_STEPS):
            at = torch.randint(count, (size,), generator=draw).to(weight.device)
            path = torch.randint(paths, (size,), generator=draw).to(weight.device)
            error = (network(answer.states[at, path], times[at]) - wanted[at, path]).square().sum(dim=1)
            optimiser.zero_grad()
            (weight[at] * error).mean().backward()
            optimiser.step()


def step_weights(steps: Steps) -> Tensor:
    """Integral of |dt| over which the guidance at each time of the grid acts, (S + 1,)."""
    weight = torch.zeros_like(steps.times)
    weight[:-1] = steps.e if steps.corrector is None else 0.5 * steps.e
    weight[:-2] += steps.e_previous[1:]
    if steps.corrector is not None:
        weight[1:] -= steps.corrector[:, 2]
    return weight
