"""Fit of the parameters of path guidance to J = (1 − success) + γ W; success is the share of samples in the region.

Success is a count and has no derivative. So J is first evaluated at points spread over the box (Halton, Numer. Math. 2,
84, 1960), and then minimised by a simplex search from the best of them (Nelder & Mead, Comput. J. 7, 308, 1965), all on
common random numbers. The final numbers come from a fresh seed.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from leastwork.errors import LeastworkError, NoPathWeightsError
from leastwork.fit.result import FitRecord
from leastwork.fit.stopping import stops, warn_of_stop
from leastwork.geometry.state import all_finite
from leastwork.guidance.base import Guidance
from leastwork.guidance.denoised_kernel import LossGuidance
from leastwork.guidance.transported import Sigmoid, TransportedGuidance
from leastwork.kernels.density import KernelDensity
from leastwork.kernels.flat import FeatureKernel
from leastwork.kernels.region import Membership
from leastwork.models.base import Model
from leastwork.models.placement import evaluating, placement
from leastwork.models.units import Affine
from leastwork.sampling.choices import USUAL, Choices
from leastwork.sampling.noise import BLOCK, BlockNoise
from leastwork.sampling.process import Process
from leastwork.sampling.stepping import Sampler, integrate
from leastwork.sampling.transport import SUBSTEPS, carry_forward
from leastwork.statistics.estimate import Estimate
from leastwork.support.checkpoints import kept
from leastwork.support.metrics import report_metrics
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import derive_seed

__all__ = ["Form", "PathFit", "PathTrial", "fit_path", "loss_form", "transported_form"]

_SCAN_SHARE = 0.4  # share of the calls for points spread over the whole box
_SIMPLEX_SIZE = 0.15  # initial size of the simplex, in sides of the box


@dataclass(frozen=True)
class PathTrial:
    """One evaluation of J in a fit; if some samples are not finite, ``objective`` is infinite and the rest is NaN."""

    parameters: tuple[float, ...]
    objective: float
    success: float
    cost: float


@dataclass(frozen=True)
class PathFit:
    """The fitted guidance, its J, success and work on fresh samples, and the cost of the fit.

    ``cost`` is the mean work W, nats, or for the ODE the kinetic action.
    """

    guidance: Guidance
    parameters: tuple[float, ...]
    objective: Estimate
    success: Estimate
    cost: Estimate
    history: tuple[PathTrial, ...]
    network_evaluations: int
    seconds: float

    def record(self) -> FitRecord:
        """The cost of the fit as plain values."""
        return FitRecord(self.network_evaluations, self.seconds, trials=len(self.history))


@dataclass(frozen=True)
class Form:
    """A form of guidance with parameters that are searched for.

    Args:
        build: parameters, (P,) -> guidance.
        start: initial parameters, (P,).
        bounds: bounds of every parameter, [(low, high)] of length P; give strengths by their logarithms.
        calls: largest number of evaluations of J.
        network_evaluations, seconds: cost of the form itself, before the search.
    """

    build: Callable[[Sequence[float]], Guidance]
    start: Sequence[float]
    bounds: Sequence[tuple[float, float]]
    calls: int = 150
    network_evaluations: int = 0
    seconds: float = 0.0


def fit_path(
    model: Model,
    region: Membership,
    form: Form,
    *,
    gamma: float = 1e-2,
    n: int = 1024,
    seed: int = 0,
    budget: int | None = None,
    progress: Progress = no_progress,
    choices: Choices = USUAL,
) -> PathFit:
    """Find the parameters of a guidance that minimise J.

    Args:
        model: a DiffusionModel or VelocityModel.
        region: membership, data units (B, *event) -> bool (B,).
        form: the form of guidance, with the start and the bounds of its parameters.
        gamma: γ ≥ 0, the price of a nat of work in units of the success rate.
        n: number of samples in each evaluation of J.
        seed: seed from which the common random numbers of the fit and those of the final numbers are derived.
        budget: largest number of network evaluations; by default as many as the calls take.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        choices: process, solver and steps with which samples are drawn.

    Raises:
        NoPathWeightsError: γ > 0 with a solver that has neither work nor action.
        LeastworkError: samples are not finite at any parameters that were tried, or an argument cannot be used.

    Warns:
        LeastworkWarning: the fit was stopped, and the parameters are the best so far.
    """
    begin = time.perf_counter()
    build, start, calls = form.build, form.start, form.calls
    low, high = _box(start, form.bounds)
    if not 0 <= gamma < math.inf or n < 2 or calls < 1:
        raise LeastworkError(f"gamma={gamma}, n={n}, calls={calls}: gamma must be finite and >= 0, n >= 2, calls >= 1")
    calls = _affordable(calls, n * choices.sampler(model, build(start)).evaluations, budget, form)
    fit_seed = derive_seed(seed, "path fit")
    history: list[PathTrial] = []
    evaluations = form.network_evaluations

    def draw(guidance: Guidance, with_seed: int) -> tuple[Tensor, Tensor, Tensor] | None:
        nonlocal evaluations
        sampler = choices.sampler(model, guidance)
        evaluations += n * sampler.evaluations
        drawn = kept("trial", partial(_draw, sampler, region, n, with_seed, needs_cost=gamma > 0))
        if drawn is None:
            return None
        inside, cost = drawn
        return inside, cost, (1 - inside) + (gamma * cost if gamma > 0 else 0.0)

    def value(unit: np.ndarray) -> float:
        parameters = tuple((low + (high - low) * unit).tolist())
        drawn = draw(build(parameters), fit_seed)
        means = (math.nan, math.nan, math.inf) if drawn is None else [float(part.mean()) for part in drawn]
        success, cost, J = means
        history.append(PathTrial(parameters, J, success, cost))
        report_metrics("fitting the form", {"objective": J, "success": success, "work": cost})
        tick()
        return J

    try:
        with progress("fitting the path guidance", calls) as tick:
            for unit in _scan(
                (np.asarray(start, dtype=float) - low) / (high - low), max(1, round(_SCAN_SHARE * calls))
            ):
                value(unit)
            first = _best(history)
            if len(history) < calls:
                simplex = _simplex(((np.array(first.parameters) - low) / (high - low)).clip(0.0, 1.0))
                from scipy.optimize import minimize  # slow to import, and needed here alone

                minimize(
                    value,
                    simplex[0],
                    method="Nelder-Mead",
                    bounds=[(0.0, 1.0)] * len(low),
                    options={
                        "initial_simplex": simplex,
                        "maxfev": calls - len(history),
                        "xatol": 1e-3,
                        "fatol": 0.1 / n,
                    },
                )
    except stops() as stop:
        if all(math.isinf(trial.objective) for trial in history):
            raise
        warn_of_stop(stop, f"the best of {len(history)} parameters that were tried")
    best = _best(history)
    guidance = build(best.parameters)
    drawn = draw(guidance, derive_seed(seed, "path held-out"))
    figures = [Estimate(math.nan, math.nan)] * 2 + [Estimate(math.inf, math.nan)]
    if drawn is not None:
        figures = [Estimate.from_influence(float(part.mean()), part) for part in drawn]
    success, cost, objective = figures
    seconds = form.seconds + time.perf_counter() - begin
    return PathFit(guidance, best.parameters, objective, success, cost, tuple(history), evaluations, seconds)


def transported_form(model: Model, density: KernelDensity, choices: Choices = USUAL) -> Form:
    """Path guidance by kernels around transported guides, of unknown strength and bandwidth.

    The parameters are ln a, switch time and ln width of the sigmoid η(t), which is a at the data and 0 at the noise,
    and the logarithms of the bandwidth b at the data and at the noise, in network units. b switches when η does.

    Args:
        model: a DiffusionModel or VelocityModel.
        density: the guides with their kernel, data units, and a bandwidth near which b at the data is searched. A
            FeatureKernel evaluates its features at the noised states, in data units.
        choices: process, solver and steps with which samples are drawn.

    Raises:
        NonFiniteError, LeastworkError: as in :func:`leastwork.sampling.transport.carry_forward`.
    """
    begin = time.perf_counter()
    process = Process(model, kappa=0.0)
    (t_min, t_max), prior = process.interval, model.prior_scale
    times = choices.sampler(model).steps.times.flip(0).tolist()
    guides = carry_forward(model, density.points, times)
    kernel, b = density.kernel, density.bandwidth
    if isinstance(kernel, FeatureKernel):
        features = kernel.features
        kernel = FeatureKernel(lambda x: features(model.to_data_units(x)))
    else:
        if not isinstance(model.units, Affine):
            raise LeastworkError(
                "transported guides are compared in network units, and this model decodes its states from them: use a "
                "FeatureKernel, or method='loss' or 'least-work'"
            )
        b /= float(torch.as_tensor(model.units.scale, dtype=torch.float64).mean())

    def build(parameters: Sequence[float]) -> Guidance:
        log_strength, switch, log_width, log_data, log_noise = parameters
        at, width = t_min + switch * (t_max - t_min), math.exp(log_width) * (t_max - t_min)
        return TransportedGuidance(
            kernel,
            tuple(times),
            guides,
            Sigmoid(math.exp(log_strength), 0.0, at, width),
            Sigmoid(math.exp(log_data), math.exp(log_noise), at, width),
        )

    start = (2.0, 0.2, math.log(0.1), math.log(0.5 * b), math.log(max(2 * prior, b)))
    bounds = (
        (math.log(0.01), math.log(30.0)),
        (0.0, 1.2),  # a switch beyond t_max makes η constant
        (math.log(0.02), math.log(0.5)),
        (math.log(b / 4), math.log(4 * b)),
        (math.log(b / 4), math.log(4 * max(b, prior))),
    )
    carried = 2 * SUBSTEPS * (len(times) - 1) * len(density)  # Heun's rule takes two evaluations a step
    return Form(build, start, bounds, network_evaluations=carried, seconds=time.perf_counter() - begin)


def loss_form(model: Model, density: KernelDensity) -> Form:
    """Path guidance by the gradient of ln k at the denoised estimate, of unknown strength a e^{−bt}.

    The parameters are ln a and b.

    Args:
        model: a DiffusionModel or VelocityModel.
        density: the kernel density k of the guides, data units.
    """

    def build(parameters: Sequence[float]) -> Guidance:
        log_strength, decay = parameters
        return LossGuidance(density, math.exp(log_strength), decay, model.units)

    return Form(build, (0.0, 1.0), ((math.log(1e-3), math.log(30.0)), (-4.0, 16.0)), calls=60)


def _affordable(calls: int, each: int, budget: int | None, form: Form) -> int:
    """Number of calls that a budget pays for, after the form and the final draw have been set aside."""
    if budget is None:
        return calls
    budget -= form.network_evaluations
    if budget < 2 * each:
        raise LeastworkError(
            f"{max(budget, 0)} network evaluations of the budget are left for the search, which takes at least "
            f"{2 * each}: give {2 * each - budget} more, or take fewer steps"
        )
    return min(calls, budget // each - 1)


def _box(start: Sequence[float], bounds: Sequence[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.array([pair[0] for pair in bounds], float), np.array([pair[1] for pair in bounds], float)
    first = np.asarray(start, dtype=float)
    if first.shape != low.shape or not len(low):
        raise LeastworkError(
            f"start has {len(first)} parameters and bounds has {len(low)} pairs: pass one pair for each parameter"
        )
    if not (np.isfinite(low) & np.isfinite(high) & (low < high) & (low <= first) & (first <= high)).all():
        raise LeastworkError(f"start={tuple(start)} must lie within finite bounds, low < high, not {tuple(bounds)}")
    return low, high


def _scan(start: np.ndarray, count: int) -> list[np.ndarray]:
    """Points of the unit box: the start, then a Halton sequence without its first point, which is a corner."""
    from scipy.stats import qmc  # slow to import, and needed here alone

    return [start, *qmc.Halton(len(start), scramble=False).random(count)[1:]]


def _simplex(start: np.ndarray) -> np.ndarray:
    """The start, (P,), and P points, each shifted in one parameter towards the middle of the box."""
    step = np.where(start > 0.5, -_SIMPLEX_SIZE, _SIMPLEX_SIZE)
    return np.vstack([start, start + np.diag(step)])


def _best(history: Sequence[PathTrial]) -> PathTrial:
    best = min(history, key=lambda trial: trial.objective)
    if math.isinf(best.objective):
        raise LeastworkError(
            "no parameters tried give finite samples: use more steps, or narrower bounds on the strength"
        )
    return best


def _draw(sampler: Sampler, region: Membership, n: int, seed: int, needs_cost: bool) -> tuple[Tensor, Tensor] | None:
    """Membership and cost of n samples, float64 (n,) each, or None if any sample is not finite."""
    model = sampler.process.model
    device, dtype = placement(model)
    inside: list[Tensor] = []
    costs: list[Tensor] = []
    with torch.no_grad(), evaluating(model.net):
        for start in range(0, n, 4 * BLOCK):
            noise = BlockNoise(seed, start, min(start + 4 * BLOCK, n), model.event_shape, dtype, device)
            piece = integrate(sampler, noise)
            cost = piece.work if piece.work is not None else piece.action
            if cost is None and needs_cost:
                raise NoPathWeightsError(
                    "this solver has neither work nor action: fit with gamma=0, or use solver='euler', 'exponential' "
                    "or 'multistep'"
                )
            if not bool(all_finite(piece.x).all()) or (cost is not None and not bool(cost.isfinite().all())):
                return None
            member = region(model.to_data_units(piece.x)).to(torch.float64)
            inside.append(member)
            costs.append(torch.full_like(member, math.nan) if cost is None else cost)
    return torch.cat(inside), torch.cat(costs)
