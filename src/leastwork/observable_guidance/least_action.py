"""Least-action guidance of a flow: the control that meets measured averages with the least kinetic action,

    minimise  A = E ∫ ½|h|² dt   subject to   E[O_k(x_0)] = o_k,      dx = u dt + h |dt|.

With multipliers ν every path is a problem of its own, min ∫ ½|h|² dt + ν·O(x_0), so that h = −∇S(x, t) with S the
solution of a Hamilton–Jacobi equation (Benamou & Brenier, Numer. Math. 84, 375, 2000, relative to the model's flow).
By Pontryagin's rule h = −ν·a(t) along each path, a_k = ∂O_k(x_0)/∂x_t; to first order a is that of the unguided path,
which gives ν ≈ G⁻¹ (E[O] − o), G_kl = E ∫ a_k·a_l dt, exactly so for a linear flow and a linear O.

h is a network. Rounds of regression on −ν·a, along paths of the control so far, come near (adjoint matching,
Domingo-Enrich et al., ICLR 2025, here without noise); there ν moves by Newton steps with G of the guided paths. Then
the exact gradient is followed through the discretised solver, ν rising and falling with the running misses (Arrow,
Hurwicz & Uzawa, 1958). Last, Newton steps of the head alone, the least in action among those that close the misses,
meet the averages. Paths start from scrambled Sobol points (Owen, J. Complexity 14, 466, 1998), so that little of a
mean is noise.
"""

import time
import warnings
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.quasirandom import SobolEngine

from leastwork.data.experiment import Experiment
from leastwork.data.maxent import MaxEnt, fit_lambdas
from leastwork.errors import LeastworkError, LeastworkWarning, NonFiniteError
from leastwork.fit.result import FitRecord
from leastwork.geometry.state import State, batch_size, event_numel, flatten, take, unflatten
from leastwork.guidance.control import ControlGuidance
from leastwork.models.base import Model
from leastwork.models.placement import evaluating, placement
from leastwork.networks.control import ControlNetwork
from leastwork.observable_guidance.responses import Answer, Push, end_and_action, in_pieces, step_weights
from leastwork.observables import Observable, evaluate
from leastwork.sampling.choices import USUAL, Choices
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.sample import draw
from leastwork.sampling.stepping import Carry, Sampler
from leastwork.statistics.estimate import Estimate
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import derive_seed, generator

__all__ = ["ActionFit", "Trial", "learn_control"]

_PIECE = 1024  # paths whose graph is in memory at a time
_EVEN_UP_TO = 64  # dimensions for Sobol's points instead of independent noise
_EDGE = 2.0**-32  # of the unit interval
_MATCHED = 2048  # paths of a round of regression
_RATE, _DESCENT_RATE = 3e-3, 1e-3  # of Adam at the start
_REGRESSION = (120, 2048)  # optimiser steps and points a step
_MEMORY = 0.95  # of the running miss
_MEETING_ROUNDS = 12
_MET = 1e-3  # σ_O
_RANK = 1e-6  # answers below this part of the largest are redundancies
_RIDGE = 1e-4  # of the head's Gram matrix, times its mean eigenvalue


@dataclass(frozen=True)
class Trial:
    """One round of regression, or iteration of descent: action and misses in σ_O of its paths, multipliers ν σ_O."""

    stage: str
    action: float
    miss: tuple[float, ...]
    multipliers: tuple[float, ...]


@dataclass(frozen=True)
class ActionFit:
    """The control, the averages it was made for, and what that took.

    ``action`` and ``miss``, (E[O] − target)/σ_O of the fitted data, are those of fresh samples.
    """

    guidance: ControlGuidance
    maxent: MaxEnt
    action: Estimate
    miss: Estimate
    history: tuple[Trial, ...]
    network_evaluations: int
    seconds: float

    def record(self) -> FitRecord:
        """The same as plain values."""
        return FitRecord(self.network_evaluations, self.seconds)


def learn_control(
    model: Model,
    data: Experiment,
    *,
    seed: int = 0,
    own: Ensemble | None = None,
    observed: Tensor | None = None,
    network: ControlNetwork | None = None,
    samples: int = 20_000,
    rounds: int = 8,
    iterations: int = 40,
    batch: int = 1024,
    meeting_samples: int = 32_768,
    progress: Progress = no_progress,
    choices: Choices = USUAL,
) -> ActionFit:
    """Fit the control of least action that meets the data; with errors, the maximum-entropy averages o + Σλ.

    Args:
        model: a VelocityModel.
        data: the experiment.
        seed: of everything random.
        own: the model's own samples, if they have been drawn already with the same choices.
        observed: the observables of these, (n, K), if they are known already.
        network: c(x, t) of flat states; by default a ControlNetwork with its defaults. It is changed in place.
        samples: of the model, for λ and the target, if ``own`` is not given.
        rounds: of regression.
        iterations: of descent, each on a fresh batch.
        batch: paths an iteration.
        meeting_samples: paths of the last steps, whose sampling error the averages keep.
        progress: ``leastwork.support.progress.bar`` shows one.
        choices: how samples are drawn; the process is the ODE.

    Raises:
        InfeasibleError: no reweighting reaches the data.
        LeastworkError: a model with a score, or data that no sample of the pilot answers to.
        NonFiniteError: paths left the finite numbers.
    """
    begin = time.perf_counter()
    if model.has_score:
        raise LeastworkError("least action is for a VelocityModel; a DiffusionModel has an SDE, and so least work")
    choices = replace(choices, process="ode", kappa=None)
    if min(rounds, batch, meeting_samples) < 1 or iterations < 0:
        raise LeastworkError(
            f"rounds={rounds}, batch={batch}, meeting_samples={meeting_samples} must be at least 1, and "
            f"iterations={iterations} at least 0"
        )
    known = None if own is None else observed
    own = own or draw(model, samples, choices, seed=derive_seed(seed, "model"), progress=progress)
    maxent = fit_lambdas(evaluate(data.observable, own.x) if known is None else known, data)
    if network is None:
        network = ControlNetwork(event_numel(model.event_shape), seed=derive_seed(seed, "network"))
    device, dtype = placement(model)
    network.to(device=device, dtype=dtype).requires_grad_(True)
    task = _Task(choices.sampler(model, ControlGuidance(network)), data.observable, maxent, _binding(maxent, data))
    with evaluating(model.net):
        if len(task.columns):  # else the model meets the data by itself
            multipliers, stiffness = task.match(network, rounds, derive_seed(seed, "matching"), progress)
            task.descend(network, multipliers, stiffness, iterations, batch, derive_seed(seed, "descent"), progress)
            network = task.meet(network, task.start(derive_seed(seed, "meeting"), meeting_samples))
    network.requires_grad_(False)
    guidance = ControlGuidance(network)
    fresh = draw(model, 10_000, choices, guidance, seed=derive_seed(seed, "fresh"))
    miss = (evaluate(data.observable, fresh.x) - maxent.target) / maxent.model_std
    return ActionFit(
        guidance,
        maxent,
        Estimate.from_samples(fresh.action),
        Estimate.from_samples(miss[:, data.fitted]),
        tuple(task.history),
        own.network_evaluations + task.evaluations + fresh.network_evaluations,
        time.perf_counter() - begin,
    )


def _binding(maxent: MaxEnt, data: Experiment) -> Tensor:
    """Indices of the data that pull: fitted, not constant, and not a bound that the model meets by itself."""
    valued = ~data.values.isnan()
    pulls = (valued | (maxent.lambdas != 0)) & (maxent.model_std > 0)
    return data.fitted[pulls[data.fitted]]


@dataclass
class _Task:
    """What the stages of a fit share; averages count from the target in σ_O, a column for each datum that pulls."""

    sampler: Sampler
    observable: Observable
    maxent: MaxEnt
    columns: Tensor
    evaluations: int = 0
    history: list[Trial] = field(default_factory=list)

    @property
    def model(self) -> Model:
        return self.sampler.process.model

    def start(self, seed: int, n: int) -> Carry:
        """n states at t_max, evenly spread over the prior where its dimension allows."""
        model = self.model
        d = event_numel(model.event_shape)
        device, dtype = placement(model)
        noise = BlockNoise(seed, 0, n, model.event_shape, dtype, device).draw()
        if d <= _EVEN_UP_TO:
            points = SobolEngine(d, scramble=True, seed=seed % 2**31).draw(n, dtype=torch.float64)
            noise = unflatten(torch.special.ndtri(points.clamp(_EDGE, 1 - _EDGE)).to(device, dtype), noise)
        return Carry(self.sampler.process.prior(noise))

    def misses(self, x: State) -> Tensor:
        """(O − target)/σ_O of every sample in network units, float64 (B, K)."""
        values = self.observable(self.model.to_data_units(x)).to(torch.float64)
        target, spread = self.maxent.target.to(values), self.maxent.model_std.to(values)
        return ((values - target) / spread)[:, self.columns]

    def paths(self, carry: Carry) -> tuple[Tensor, Tensor]:
        """Misses (B, K) and action (B,) of guided paths, differentiable at the memory of √steps of them."""
        x, action = end_and_action(self.sampler, carry)
        self.evaluations += (1 + torch.is_grad_enabled()) * len(action) * self.sampler.evaluations
        return self.finite(self.misses(x)), action

    def finite(self, misses: Tensor) -> Tensor:
        """The same, if they are."""
        bad = int((~misses.isfinite()).any(dim=1).sum())
        if bad:
            raise NonFiniteError(f"{bad} guided paths are not finite while the control is fitted: use more steps")
        return misses

    def match(self, network: ControlNetwork, rounds: int, seed: int, progress: Progress) -> tuple[Tensor, Tensor]:
        """Regress h on −ν·a round after round, changing the network; ν, (K,), and ∂ν/∂miss, (K, K)."""
        draw = generator(seed, "regression")
        optimiser = torch.optim.Adam(network.parameters(), lr=_RATE, betas=(0.9, 0.99))
        multipliers = torch.zeros(len(self.columns), dtype=torch.float64)
        stiffness, first = torch.empty(0), torch.empty(0)
        with progress("matching the control", rounds) as tick:
            for i in range(rounds):
                answer = self.answer(network, self.start(derive_seed(seed, f"round {i}"), _MATCHED))
                if i == 0:
                    network.standardise(*answer.moments(network.knots()))
                    first = answer.miss
                gram = answer.gram()
                if not bool((gram.diagonal() > 0).all()):
                    raise LeastworkError("an observable does not answer to any push of the paths: its gradient is zero")
                self.history.append(_trial("match", answer.action, answer.miss, multipliers))
                inverse = torch.linalg.pinv(gram, rtol=_RANK, hermitian=True)
                stiffness = _secant(inverse, multipliers, first - answer.miss)
                step = inverse @ answer.miss
                if i:  # where few paths answer, G is uncertain
                    step = step * min(1.0, float(multipliers.norm() / step.norm().clamp(min=1e-30)))
                multipliers = multipliers + step
                for group in optimiser.param_groups:
                    group["lr"] = _RATE * (1 - 0.9 * i / rounds)
                _regress(network, optimiser, answer, multipliers, draw)
                tick()
        return multipliers, stiffness

    def answer(self, network: ControlNetwork, start: Carry) -> "Answer":
        """How the averages answer to a push of the guided paths."""
        pieces: list[Answer] = []
        acts = dict(zip(self.sampler.steps.times.tolist(), step_weights(self.sampler.steps).tolist(), strict=True))
        for carry in in_pieces(start, _PIECE):
            push = Push(network)
            sampler = replace(self.sampler, guidance=push)
            with torch.enable_grad():
                x, action = end_and_action(sampler, carry)
                misses, action = self.finite(self.misses(x)), action.detach()
                pushes = list(push.velocity.values())
                rows = [torch.autograd.grad(column, pushes, retain_graph=True) for column in misses.sum(dim=0)]
            self.evaluations += len(action) * sampler.evaluations * (1 + len(rows))
            width = torch.tensor([acts[t] for t in push.velocity], dtype=torch.float64)
            by_row = [torch.stack([part / dt for part, dt in zip(row, width.tolist(), strict=True)]) for row in rows]
            states = torch.stack(list(push.states.values()))
            times = torch.tensor(list(push.velocity), dtype=torch.float64)
            mean, spent = misses.detach().mean(dim=0).cpu(), float(action.mean())
            pieces.append(Answer(times, width, states, torch.stack(by_row), mean, spent))
        return Answer.joined(pieces)

    def descend(
        self,
        network: ControlNetwork,
        multipliers: Tensor,
        stiffness: Tensor,
        iterations: int,
        batch: int,
        seed: int,
        progress: Progress,
    ) -> None:
        """Adam on A + ν·miss, ν following the misses; the network ends as the average of its last iterates."""
        parameters = list(network.parameters())
        optimiser = torch.optim.Adam(parameters, lr=_DESCENT_RATE, betas=(0.9, 0.99))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(iterations, 1))
        averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.95))
        running = torch.zeros_like(multipliers)
        with progress("fitting the control", iterations) as tick, torch.enable_grad():
            for i in range(iterations):
                misses, action = self.paths(self.start(derive_seed(seed, f"iteration {i}"), batch))
                miss = misses.mean(dim=0)
                found = miss.detach().cpu()
                pull = multipliers + stiffness @ running  # before it knows this batch, or it would fit its noise
                gradients = torch.autograd.grad(action.mean() + pull.to(miss) @ miss, parameters)
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter.grad = gradient
                optimiser.step()
                schedule.step()
                averaged.update_parameters(network)
                running = _MEMORY * running + (1 - _MEMORY) * found
                multipliers = multipliers + (1 - _MEMORY) * stiffness @ found
                self.history.append(_trial("descend", float(action.detach().mean()), found, multipliers))
                tick()
        if iterations:
            network.load_state_dict(averaged.module.state_dict())

    def meet(self, network: ControlNetwork, start: Carry) -> ControlNetwork:
        """Newton steps of the head, with Broyden's update, to zero misses of these paths."""
        jacobian, gram = self.response(network, Carry(take(start.x, slice(0, 4 * _PIECE))))
        lever = torch.linalg.solve(gram, jacobian.transpose(1, 2)).transpose(1, 2)  # (K, d, width + 1)
        inverse = torch.linalg.pinv(torch.einsum("kdw,ldw->kl", jacobian, lever), rtol=_RANK, hermitian=True)
        amount, miss = torch.zeros(len(inverse), dtype=torch.float64), self.mean_miss(network, start)
        best = network
        for _ in range(_MEETING_ROUNDS):
            if float(miss.abs().max()) < _MET:
                return best
            step = -inverse @ miss
            trial = network.with_head(torch.einsum("k,kdw->dw", amount + step, lever).to(network.head.weight))
            change = self.mean_miss(trial, start) - miss
            if float((miss + change).norm()) < float(miss.norm()):
                best, amount, miss = trial, amount + step, miss + change
            against = step @ inverse
            if float((against @ change).abs()) < 1e-12 * float(step @ step):
                break
            inverse = inverse + torch.outer(step - inverse @ change, against) / (against @ change)
        warnings.warn(
            f"the control still misses the averages by up to {float(miss.abs().max()):.3f} standard deviations: "
            "raise rounds or iterations, or smooth the observable",
            LeastworkWarning,
            stacklevel=3,
        )
        return best

    def mean_miss(self, network: ControlNetwork, start: Carry) -> Tensor:
        """Mean miss under a control, (K,)."""
        self.sampler = replace(self.sampler, guidance=ControlGuidance(network))
        with torch.no_grad():
            return torch.cat([self.paths(carry)[0] for carry in in_pieces(start, 4 * _PIECE)]).mean(dim=0).cpu()

    def response(self, network: ControlNetwork, start: Carry) -> tuple[Tensor, Tensor]:
        """∂ miss/∂(W, w), (K, d, width + 1), and the Gram matrix of the head's features along the paths."""
        head = [network.head.weight, network.head.bias]
        recorder = _Recorder(network)
        self.sampler = replace(self.sampler, guidance=recorder)
        parts: list[Tensor] = []
        for carry in in_pieces(start, _PIECE):
            with torch.enable_grad():
                misses, _ = self.paths(carry)
                rows = [torch.autograd.grad(column, head, retain_graph=True) for column in misses.sum(dim=0)]
            parts.append(torch.stack([torch.cat([w, b[:, None]], dim=1) for w, b in rows]).to("cpu", torch.float64))
        gram = recorder.gram
        gram = gram + _RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
        return torch.stack(parts).sum(dim=0) / batch_size(start.x), gram


def _regress(
    network: ControlNetwork,
    optimiser: torch.optim.Optimizer,
    answer: Answer,
    multipliers: Tensor,
    draw: torch.Generator,
) -> None:
    """Bring h nearer to −ν·a by least squares over paths and times."""
    steps, size = _REGRESSION
    wanted = -torch.einsum("k,ktbd->tbd", multipliers.to(answer.costate), answer.costate)
    count, paths = answer.states.shape[:2]
    weight = (answer.width / answer.width.mean()).to(answer.states)
    times = answer.times.to(answer.states)
    with torch.enable_grad():
        for _ in range(steps):
            at = torch.randint(count, (size,), generator=draw).to(weight.device)
            path = torch.randint(paths, (size,), generator=draw).to(weight.device)
            error = (network(answer.states[at, path], times[at]) - wanted[at, path]).square().sum(dim=1)
            optimiser.zero_grad()
            (weight[at] * error).mean().backward()
            optimiser.step()


def _secant(inverse: Tensor, multipliers: Tensor, moved: Tensor) -> Tensor:
    """G⁻¹ scaled to what the multipliers have moved the averages by, which says more than a derivative."""
    expected = float((inverse @ moved).norm())
    return inverse if expected == 0 else inverse * float(multipliers.norm()) / expected


def _trial(stage: str, action: float, miss: Tensor, multipliers: Tensor) -> Trial:
    return Trial(stage, action, tuple(miss.tolist()), tuple(multipliers.tolist()))


@dataclass
class _Recorder:
    """The control, which adds up the Gram matrix of its head's features, (width + 1, width + 1)."""

    network: ControlNetwork
    gram: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    through_network: bool = False

    def __call__(self, x: State, t: float, denoised: State) -> State:
        features = self.network.features(flatten(x), float(t))
        known = torch.cat([features.detach(), torch.ones_like(features[:, :1])], dim=1).to("cpu", torch.float64)
        self.gram = self.gram + known.T @ known
        return unflatten(self.network.head(features) * self.network.unit, x)
