"""Least-action guidance of a flow: the control that meets measured averages with the least kinetic action,

    minimise  A = E ∫ ½|h|² dt   subject to   E[O_k(x_0)] = o_k,      dx = u dt + h |dt|.

For given multipliers ν each path is a separate problem, min ∫ ½|h|² dt + ν·O(x_0), so that h = −∇S(x, t) with S the
solution of a Hamilton–Jacobi equation (Benamou & Brenier, Numer. Math. 84, 375, 2000, relative to the model's flow).
By Pontryagin's principle h = −ν·a(t) along each path, with the costates a_k = ∂O_k(x_0)/∂x_t. To first order a is the
costate of the unguided path, which gives ν ≈ G⁻¹ (E[O] − o), G_kl = E ∫ a_k·a_l dt; this is exact if the flow and O
are linear.

h is a network, which is fitted in three stages. First, rounds of regression on −ν·a along paths of the present control
(adjoint matching, Domingo-Enrich et al., ICLR 2025, here without noise); after each round ν takes a Newton step with
the G of the guided paths. Then gradient descent through the discretised solver, while ν follows the running misses
(Arrow, Hurwicz & Uzawa, 1958). Last, Newton steps of the network's last layer alone, its head: of all changes that
close the misses each step takes that of least action. Paths start from scrambled Sobol points (Owen, J. Complexity 14,
466, 1998), so that the means have little sampling noise.
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
from leastwork.fit.training import restore, state_of
from leastwork.geometry.state import State, batch_size, event_numel, take, unflatten
from leastwork.guidance.control import ControlGuidance
from leastwork.models.base import Model, is_periodic
from leastwork.models.placement import evaluating, placement
from leastwork.networks.control import ControlNetwork
from leastwork.observable_guidance.responses import (
    Answer,
    Push,
    Recorder,
    end_and_action,
    in_pieces,
    regress,
    step_weights,
)
from leastwork.observables import Observable, evaluate
from leastwork.sampling.choices import USUAL, Choices
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.sample import draw
from leastwork.sampling.stepping import Carry, Sampler
from leastwork.statistics.estimate import Estimate
from leastwork.support.checkpoints import kept, resumable
from leastwork.support.metrics import report_metrics
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import derive_seed, generator

__all__ = ["ActionFit", "Trial", "learn_control"]

_PIECE = 1024  # paths whose autograd graph is in memory at a time
_SOBOL_DIMENSIONS = 64  # up to so many dimensions paths start from Sobol points, above from independent noise
_SOBOL_MARGIN = 2.0**-32  # distance that Sobol points keep from 0 and 1, where the normal quantile is infinite
_PATHS_A_ROUND = 2048  # paths in one round of regression
_REGRESSION_RATE, _DESCENT_RATE = 3e-3, 1e-3  # initial learning rates of Adam
_MISS_DECAY = 0.95  # decay of the running average of the misses, per iteration
_MOST_NEWTON_STEPS = 12
_MISS_TOLERANCE = 1e-3  # largest miss that counts as met, in σ_O
_RANK_TOLERANCE = 1e-6  # smaller eigenvalues, relative to the largest, mark redundant observables
_RIDGE = 1e-4  # ridge added to the Gram matrix of the head, in units of the matrix's mean eigenvalue


@dataclass(frozen=True)
class Trial:
    """One round of regression or one iteration of descent: mean action and misses (σ_O) of the paths, and ν σ_O."""

    stage: str
    action: float
    miss: tuple[float, ...]
    multipliers: tuple[float, ...]


@dataclass(frozen=True)
class ActionFit:
    """The fitted control, the averages that it was fitted to, and the cost of the fit.

    ``action`` and ``miss``, (E[O] − target)/σ_O of the fitted data, are measured on fresh samples.
    """

    guidance: ControlGuidance
    maxent: MaxEnt
    action: Estimate
    miss: Estimate
    history: tuple[Trial, ...]
    network_evaluations: int
    seconds: float

    def record(self) -> FitRecord:
        """The cost of the fit as plain values."""
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
    """Fit the control of least action that meets the data, or for data with errors the maximum-entropy averages o + Σλ.

    Args:
        model: a VelocityModel.
        data: the experiment.
        seed: seed of all random numbers.
        own: the model's own samples, if they have been drawn already with the same choices.
        observed: the observables of ``own``, (n, K), if they have been evaluated already.
        network: the control c(x, t) of flat states, changed in place; by default a new ControlNetwork.
        samples: number of samples of the model that fix λ and the target, if ``own`` is not given.
        rounds: number of rounds of regression.
        iterations: number of iterations of descent, each on a fresh batch.
        batch: number of paths in each iteration of descent.
        meeting_samples: number of paths for the last Newton steps; their sampling error stays in the averages.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        choices: solver and steps; the process is always the ODE.

    Raises:
        InfeasibleError: no reweighting of the model's samples reaches the data.
        LeastworkError: the model has a score, or the gradient of an observable is zero on all paths.
        NonFiniteError: some guided paths are not finite.
    """
    begin = time.perf_counter()
    if model.has_score:
        raise LeastworkError("least action is for a VelocityModel: guide a model with a score by least work")
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
        d, angles = event_numel(model.event_shape), is_periodic(model)
        network = ControlNetwork(d, seed=derive_seed(seed, "network"), angles=angles)
    device, dtype = placement(model)
    network.to(device=device, dtype=dtype).requires_grad_(True)
    task = _Task(choices.sampler(model, ControlGuidance(network)), data.observable, maxent, _active_data(maxent, data))
    with evaluating(model.net):
        if len(task.columns):  # otherwise the model meets the data without guidance
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


def _active_data(maxent: MaxEnt, data: Experiment) -> Tensor:
    """Indices of the active data: fitted, of an observable that varies, and no bound that the model meets by itself."""
    valued = ~data.values.isnan()
    active = (valued | (maxent.lambdas != 0)) & (maxent.model_std > 0)
    return data.fitted[active[data.fitted]]


@dataclass
class _Task:
    """State shared by the stages of a fit; misses are (O − target)/σ_O, with one column for each active datum."""

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
        """n states at t_max: quantiles of Sobol points in few dimensions, independent draws in many."""
        model = self.model
        d = event_numel(model.event_shape)
        device, dtype = placement(model)
        noise = BlockNoise(seed, 0, n, model.event_shape, dtype, device).draw()
        if d <= _SOBOL_DIMENSIONS:
            points = SobolEngine(d, scramble=True, seed=seed % 2**31).draw(n, dtype=torch.float64)
            points = points.clamp(_SOBOL_MARGIN, 1 - _SOBOL_MARGIN)
            noise = unflatten(torch.special.ndtri(points).to(device, dtype), noise)
        return Carry(self.sampler.process.prior(noise))

    def misses(self, x: State) -> Tensor:
        """(O − target)/σ_O of each sample, float64 (B, K); x is in network units."""
        values = self.observable(self.model.to_data_units(x)).to(torch.float64)
        target, spread = self.maxent.target.to(values), self.maxent.model_std.to(values)
        return ((values - target) / spread)[:, self.columns]

    def paths(self, carry: Carry) -> tuple[Tensor, Tensor]:
        """Misses (B, K) and action (B,) of guided paths; their gradient takes the memory of √steps steps."""
        x, action = end_and_action(self.sampler, carry)
        self.evaluations += (1 + torch.is_grad_enabled()) * len(action) * self.sampler.evaluations
        return self.finite(self.misses(x)), action

    def finite(self, misses: Tensor) -> Tensor:
        """The misses, after a check that all are finite."""
        bad = int((~misses.isfinite()).any(dim=1).sum())
        if bad:
            raise NonFiniteError(f"{bad} guided paths are not finite while the control is fitted: use more steps")
        return misses

    def match(self, network: ControlNetwork, rounds: int, seed: int, progress: Progress) -> tuple[Tensor, Tensor]:
        """Regress h on −ν·a, round after round, changing the network in place; returns ν (K,) and ∂ν/∂miss (K, K)."""
        draw = generator(seed, "regression")
        optimiser = torch.optim.Adam(network.parameters(), lr=_REGRESSION_RATE, betas=(0.9, 0.99))
        multipliers = torch.zeros(len(self.columns), dtype=torch.float64)
        stiffness, first = torch.empty(0), torch.empty(0)
        point, begin = resumable("matching the control", Trial), 0
        if point.state is not None:
            begin, multipliers, stiffness, first, self.history, self.evaluations, loaded = point.state
            restore(loaded, (network,), optimiser, draw)
        with progress("matching the control", rounds) as tick:
            tick(begin)
            for i in range(begin, rounds):
                answer = self.answer(network, self.start(derive_seed(seed, f"round {i}"), _PATHS_A_ROUND))
                if i == 0:
                    network.standardise(*answer.moments(network.knots()))
                    first = answer.miss
                gram = answer.gram()
                if not bool((gram.diagonal() > 0).all()):
                    raise LeastworkError("the gradient of an observable is zero on all paths: smooth the observable")
                self.history.append(_trial("match", answer.action, answer.miss, multipliers))
                inverse = torch.linalg.pinv(gram, rtol=_RANK_TOLERANCE, hermitian=True)
                stiffness = _secant(inverse, multipliers, first - answer.miss)
                step = inverse @ answer.miss
                if i:  # G is uncertain where only few paths have a gradient, so at most double ν
                    step = step * min(1.0, float(multipliers.norm() / step.norm().clamp(min=1e-30)))
                multipliers = multipliers + step
                for group in optimiser.param_groups:
                    group["lr"] = _REGRESSION_RATE * (1 - 0.9 * i / rounds)
                regress(network, optimiser, answer, multipliers, draw)
                tick()
                known = (i + 1, multipliers, stiffness, first, self.history, self.evaluations)
                point.save(lambda: (*known, state_of((network,), optimiser, draw)), i + 1 == rounds)  # noqa: B023  (called at once)
        return multipliers, stiffness

    def answer(self, network: ControlNetwork, start: Carry) -> "Answer":
        """Misses, costates and action of guided paths, from which follows how the control changes the averages."""
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
        """Adam on A + ν·miss, while ν follows the misses; the network becomes a running average of the iterates."""
        parameters = list(network.parameters())
        optimiser = torch.optim.Adam(parameters, lr=_DESCENT_RATE, betas=(0.9, 0.99))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(iterations, 1))
        averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.95))
        running = torch.zeros_like(multipliers)
        point, begin = resumable("fitting the control", Trial), 0
        if point.state is not None:
            begin, multipliers, running, self.history, self.evaluations, rate, loaded = point.state
            restore(loaded, (network, averaged), optimiser)
            schedule.load_state_dict(rate)
        with progress("fitting the control", iterations) as tick, torch.enable_grad():
            tick(begin)
            for i in range(begin, iterations):
                misses, action = self.paths(self.start(derive_seed(seed, f"iteration {i}"), batch))
                miss = misses.mean(dim=0)
                found = miss.detach().cpu()
                pull = multipliers + stiffness @ running  # without this batch: else the fit would follow its noise
                gradients = torch.autograd.grad(action.mean() + pull.to(miss) @ miss, parameters)
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter.grad = gradient
                optimiser.step()
                schedule.step()
                averaged.update_parameters(network)
                running = _MISS_DECAY * running + (1 - _MISS_DECAY) * found
                multipliers = multipliers + (1 - _MISS_DECAY) * stiffness @ found
                self.history.append(_trial("descend", float(action.detach().mean()), found, multipliers))
                tick()
                known = (i + 1, multipliers, running, self.history, self.evaluations, schedule.state_dict())
                point.save(lambda: (*known, state_of((network, averaged), optimiser)), i + 1 == iterations)  # noqa: B023  (called at once)
        if iterations:
            network.load_state_dict(averaged.module.state_dict())

    def meet(self, network: ControlNetwork, start: Carry) -> ControlNetwork:
        """Change the head by Newton steps with Broyden's update until the mean misses of these paths are zero."""
        few = Carry(take(start.x, slice(0, 4 * _PIECE)))
        jacobian, gram, self.evaluations = kept("response", lambda: (*self.response(network, few), self.evaluations))
        lever = torch.linalg.solve(gram, jacobian.transpose(1, 2)).transpose(1, 2)  # (K, d, width + 1)
        inverse = torch.linalg.pinv(torch.einsum("kdw,ldw->kl", jacobian, lever), rtol=_RANK_TOLERANCE, hermitian=True)
        amount, miss = torch.zeros(len(inverse), dtype=torch.float64), self.mean_miss(network, start)
        best = network
        for _ in range(_MOST_NEWTON_STEPS):
            if float(miss.abs().max()) < _MISS_TOLERANCE:
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
        """Mean miss under a control, in σ_O, (K,)."""
        self.sampler = replace(self.sampler, guidance=ControlGuidance(network))

        def measured() -> tuple[Tensor, int]:
            with torch.no_grad():
                parts = [self.paths(carry)[0] for carry in in_pieces(start, 4 * _PIECE)]
            return torch.cat(parts).mean(dim=0).cpu(), self.evaluations

        miss, self.evaluations = kept("mean miss", measured)
        return miss

    def response(self, network: ControlNetwork, start: Carry) -> tuple[Tensor, Tensor]:
        """∂ miss/∂(W, w) of the head's weight and bias, (K, d, width + 1), and the Gram matrix of the head's inputs."""
        head = [network.head.weight, network.head.bias]
        recorder = Recorder(network)
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


def _secant(inverse: Tensor, multipliers: Tensor, moved: Tensor) -> Tensor:
    """G⁻¹ scaled so that it agrees with the change of the averages that the multipliers have made so far."""
    expected = float((inverse @ moved).norm())
    return inverse if expected == 0 else inverse * float(multipliers.norm()) / expected


def _trial(stage: str, action: float, miss: Tensor, multipliers: Tensor) -> Trial:
    report_metrics(stage, {"action": action, "largest miss": float(miss.abs().max())})
    return Trial(stage, action, tuple(miss.tolist()), tuple(multipliers.tolist()))
