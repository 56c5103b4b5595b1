"""One step of generation, pure, and the scan over a solver's table that carries a batch from noise to data.

The last denoising step, x_0 = D(x, t_min), is unguided and costs nothing.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from leastwork.errors import LeastworkError, LeastworkWarning, NonFiniteError
from leastwork.geometry.rotations import exp, orthonormal, uniform
from leastwork.geometry.state import State, all_finite, smap
from leastwork.guidance.base import Guidance
from leastwork.models.listening import listening, said
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.process import Process
from leastwork.sampling.solvers.steps import Step, Steps, Turn
from leastwork.sampling.work import kinetic_action, step_cost

__all__ = ["BatchResult", "Carry", "Cost", "Sampler", "StepInfo", "advance", "evaluate", "integrate", "move"]


@dataclass(frozen=True)
class Sampler:
    """A process with its steps and guidance: everything about drawing but the random numbers."""

    process: Process
    steps: Steps
    guidance: Guidance | None
    evaluations_per_step: int

    @property
    def evaluations(self) -> int:
        """Network evaluations for one sample, the last denoising step included.

        A product with the network's Jacobian, which guidance through the network takes, counts as one more.
        """
        last = self.process.model.has_score
        back = self.guidance is not None and self.guidance.through_network
        return len(self.steps) * self.evaluations_per_step * (1 + back) + last

    def noise(self, drawn: State) -> State:
        """The noise of a step: on the model's subspace, or as drawn if its centroid turns the points afterwards."""
        return drawn if self.steps.motions else self.process.project(drawn)


@dataclass(frozen=True)
class StepInfo:
    """Argument of a callback after each step; x: network units (B, *event); work so far (B,), or None."""

    start: int
    step: int
    steps: int
    t: float
    x: State
    work: Tensor | None


@dataclass(frozen=True)
class Carry:
    """State between two steps, with the values of model and guidance that a multistep solver recalls."""

    x: State
    y: State | None = None
    h: State | None = None


@dataclass(frozen=True)
class Cost:
    """Work and ln dP/dQ, or kinetic action, of one step or of several, (B,) each; None: zero, or not defined."""

    work: Tensor | None = None
    log_weight: Tensor | None = None
    action: Tensor | None = None

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            _plus(self.work, other.work),
            _plus(self.log_weight, other.log_weight),
            _plus(self.action, other.action),
        )


@dataclass(frozen=True)
class BatchResult:
    """One batch at t = 0 and its ledger; ``step_moments`` (2, S) sums each step's KL and its square over the batch."""

    x: State
    work: Tensor | None
    log_weight: Tensor | None
    action: Tensor | None
    step_moments: Tensor


def _plus(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def _combine(*terms: tuple[float, State | None]) -> State:
    """Σ factor · state over the terms that are there."""
    present = [(factor, state) for factor, state in terms if state is not None and factor != 0]
    (first, state), *rest = present
    total: State = smap(lambda leaf: first * leaf, state)
    for factor, state in rest:
        total = smap(lambda acc, leaf, f=factor: torch.add(acc, leaf, alpha=f), total, state)
    return total


def _sum(*terms: tuple[float, Tensor | None]) -> Tensor:
    total = _combine(*terms)
    assert isinstance(total, Tensor)
    return total


def evaluate(sampler: Sampler, x: State, t: float) -> tuple[State, State | None]:
    """The model y(x, t) and the guidance h(x, t), None without one, both (B, *event).

    A graph from x to y is built only if the guidance asks for it.
    """
    process, guidance = sampler.process, sampler.guidance
    if guidance is None:
        return process.evaluate(x, t), None
    if not guidance.through_network:
        y = process.evaluate(x, t)
        h = guidance(x, t, process.endpoint(x, y, t))
    else:
        ambient = torch.is_grad_enabled()
        with torch.enable_grad():
            tracked = smap(lambda leaf: leaf if ambient and leaf.requires_grad else leaf.detach().requires_grad_(), x)
            y = process.evaluate(tracked, t)
            end = process.endpoint(tracked, y, t)
        h = guidance(tracked, t, end)
        if not ambient:
            y, h = smap(torch.detach, y), smap(torch.detach, h)
    return y, process.project(h)


def advance(sampler: Sampler, step: Step, carry: Carry, noise: State | None) -> tuple[Carry, Cost]:
    """One step, pure: the next state, and what it cost.

    Args:
        sampler: process, steps, guidance.
        step: one of ``sampler.steps.table()``.
        carry: state before the step.
        noise: z, or None for the ODE.
    """
    return move(sampler, step, carry, *evaluate(sampler, carry.x, step.t), noise)


def move(
    sampler: Sampler, step: Step, carry: Carry, y: State, h: State | None, noise: State | None
) -> tuple[Carry, Cost]:
    """The part of :func:`advance` that follows :func:`evaluate`: y and h are its values at ``carry.x``."""
    if sampler.steps.motions:
        return _turned(sampler, step, carry, y, h, noise)
    return _move(sampler, step, carry, y, h, noise)


def _turned(
    sampler: Sampler, step: Step, carry: Carry, y: State, h: State | None, noise: State | None
) -> tuple[Carry, Cost]:
    """A step of centred points and a random rotation, made of the noise of the centroid, which the step leaves over."""
    assert isinstance(noise, Tensor)
    rotation = uniform(noise.shape[-2] ** 0.5 * noise.mean(dim=-2))
    after, cost = _move(sampler, step, carry, y, h, sampler.process.project(noise))
    return Carry(smap(lambda leaf: leaf @ rotation, after.x)), cost


def _move(
    sampler: Sampler, step: Step, carry: Carry, y: State, h: State | None, noise: State | None
) -> tuple[Carry, Cost]:
    s = step if carry.y is not None else step.without_memory()  # a chain that starts in the middle recalls nothing
    if s.turn is not None:
        return _turn(sampler, s, s.turn, carry, y, h, noise)
    shift = None if h is None or (s.e == 0 and s.e_previous == 0) else _combine((s.e, h), (s.e_previous, carry.h))
    x = _combine((s.a, carry.x), (s.b, y), (s.b_previous, carry.y), (s.c, noise), (1.0, shift))
    after: State | None = None
    if s.corrector is not None:
        p_x, p_y, p_h = s.corrector
        y_after, h_after = evaluate(sampler, x, s.t_next)
        after = None if h_after is None else smap(lambda leaf: -2 * p_h * leaf, h_after)
        x = _combine((0.5, carry.x), (0.5 - p_x, x), (0.5 * s.c, noise), (-p_y, y_after), (0.5, after))
    x = sampler.process.project(x)  # rounding would carry it off a subspace
    return Carry(x, y, h), _cost(sampler, shift, after, noise, s)


def _turn(
    sampler: Sampler, s: Step, turn: Turn, carry: Carry, y: State, h: State | None, noise: State | None
) -> tuple[Carry, Cost]:
    """One step of rigid frames: positions as any state, rotations by a turn in their own frame."""
    if h is not None and h[1].shape != y[1].shape:
        raise LeastworkError(
            f"the guidance of frames gives {tuple(h[1].shape)} for rotations: give turns, {tuple(y[1].shape)}, in the "
            "residues' own frames (leastwork.geometry.rotations.slope_of makes them of a gradient)"
        )
    before_y, before_h = (None if s is None else s[0] for s in (carry.y, carry.h))
    shift: Tensor | None = None
    pull: Tensor | None = None
    if h is not None and not (s.e == 0 and s.e_previous == 0 and turn.e == 0):
        shift, pull = _sum((s.e, h[0]), (s.e_previous, before_h)), turn.e * h[1]
    z, z_turn = (None, None) if noise is None else noise
    position = _sum((s.a, carry.x[0]), (s.b, y[0]), (s.b_previous, before_y), (s.c, z), (1.0, shift))
    omega = _sum((turn.b, y[1]), (turn.c, z_turn), (1.0, pull))
    rotation = orthonormal(carry.x[1] @ exp(omega))
    after = Carry(sampler.process.project((position, rotation)), y, h)
    if shift is None or pull is None:
        return after, Cost()
    if sampler.steps.has_density:
        assert noise is not None
        return after, Cost(*step_cost((shift / s.c, pull / turn.c), noise, 1.0))
    return after, Cost(action=kinetic_action((shift, pull), s.t - s.t_next)) if sampler.process.kappa == 0 else Cost()


def _cost(sampler: Sampler, shift: State | None, after: State | None, noise: State | None, s: Step) -> Cost:
    if shift is None:
        return Cost()
    if sampler.steps.has_density:
        assert noise is not None
        return Cost(*step_cost(shift, noise, s.c))
    if sampler.process.kappa == 0:
        action = kinetic_action(shift, s.t - s.t_next)
        return Cost(action=action if after is None else 0.5 * (action + kinetic_action(after, s.t - s.t_next)))
    return Cost()


def integrate(
    sampler: Sampler,
    noise: BlockNoise,
    on_step: Callable[[StepInfo], None] | None = None,
    check_steps: bool = False,
) -> BatchResult:
    """Draw one batch, network units; differentiable with respect to the guidance if gradients are enabled.

    Args:
        sampler: the sampler of the paths.
        noise: the batch's noise; the first draw is the prior.
        on_step: told of every step.
        check_steps: look for NaN and inf after every step.

    Raises:
        NonFiniteError: with ``check_steps``, names the first step and sample that are not finite.
    """
    process, steps = sampler.process, sampler.steps
    carry, total = Carry(process.prior(noise.draw())), Cost()
    moments = torch.zeros(2, len(steps), dtype=torch.float64, device=noise.device)
    for i, step in enumerate(steps.table()):
        z = sampler.noise(noise.draw()) if process.kappa > 0 else None
        y, h = (_first if i == noise.start == 0 else evaluate)(sampler, carry.x, step.t)
        carry, cost = move(sampler, step, carry, y, h, z)
        total = total + cost
        if cost.work is not None:
            kl = cost.work.detach()
            moments[0, i], moments[1, i] = kl.sum(), kl.square().sum()
        if check_steps:
            _check_finite(carry, noise.start, f"step {i + 1} of {len(steps)} (t = {step.t:.4g} to {step.t_next:.4g})")
        if on_step is not None:
            on_step(StepInfo(noise.start, i + 1, len(steps), step.t_next, carry.x, total.work))
    x = process.model.finish(carry.x, float(steps.times[-1]))
    if check_steps and process.model.has_score:
        _check_finite(Carry(x), noise.start, "the last denoising step")
    zero = torch.zeros(noise.stop - noise.start, dtype=torch.float64, device=noise.device)
    work = log_weight = action = None
    if steps.has_density:
        work = zero if total.work is None else total.work
        log_weight = zero if total.log_weight is None else total.log_weight
    elif process.kappa == 0:
        action = zero if total.action is None else total.action
    return BatchResult(x, work, log_weight, action, moments)


def _first(sampler: Sampler, x: State, t: float) -> tuple[State, State | None]:
    """:func:`evaluate` at the first step, which warns of what is seen there in the network."""
    model = sampler.process.model
    found, heard = listening(
        model, lambda heard: evaluate(replace(sampler, process=replace(sampler.process, model=heard)), x, t)
    )
    for words in [words for one in heard[:1] for words in said(model, one, t)]:
        warnings.warn(words, LeastworkWarning, stacklevel=3)
    return found


def _check_finite(carry: Carry, start: int, where: str) -> None:
    for part, state in (("the network's output", carry.y), ("the guidance", carry.h), ("the state", carry.x)):
        if state is None:
            continue
        bad = ~all_finite(state)
        if bool(bad.any()):
            first = start + int(bad.nonzero()[0, 0])
            remedies = [] if state is carry.y else ["use more steps"]
            remedies += ["end the schedule before, by t_min or t_max"] if carry.h is None else ["use weaker guidance"]
            raise NonFiniteError(
                f"{part} is not finite at {where} for sample {first} and {int(bad.sum()) - 1} more of its batch of "
                f"{len(bad)}: check the network there, or {' or '.join(remedies)}"
            )
