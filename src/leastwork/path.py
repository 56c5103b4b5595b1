"""Path Guidance: from a handful of structures to many samples of the region they stand for, and its free energy.

    F_A = −ln p(A),   p(A) = E_Q[dP/dQ 1_A]         least work for a share s in A:  s ln(s/p) + (1−s) ln((1−s)/(1−p))

guides → kernel → region A and a tilt towards it → guidance → fresh guided samples → certificate and free energy.
"""

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from leastwork.ensemble import Ensemble
from leastwork.errors import LeastworkError, LeastworkWarning, NoPathWeightsError
from leastwork.estimate import Estimate
from leastwork.fit.path import fit_loss, fit_transported
from leastwork.fit.region import learn_region, log_odds
from leastwork.flow_map import prior_distance
from leastwork.geometry.state import State, batch_size, take
from leastwork.guidance.base import Guidance
from leastwork.guidance.check import check_guides
from leastwork.guidance.frame_kernels import FrameKernel
from leastwork.guidance.kernel_density import KernelDensity, kernel_density
from leastwork.guidance.kernels import AlignedKernel, EuclideanKernel, Kernel
from leastwork.guidance.region import Region
from leastwork.guide import Fit
from leastwork.models.denoised import check_gradient
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.frames import FrameModel, Scored
from leastwork.models.symmetry import has_no_orientation
from leastwork.models.velocity import VelocityModel
from leastwork.outliers import warn_of_outliers
from leastwork.process import Model
from leastwork.progress import Progress, no_progress
from leastwork.random import derive_seed
from leastwork.sampling import LAW, make_sampler, moved, sample
from leastwork.step_error import StepError, step_check, warn_of_steps
from leastwork.work import Certificate, certify

__all__ = ["PathMethod", "PathRun", "guide_path", "usual_kernel"]

PathMethod: TypeAlias = Literal["least-work", "transported", "loss"]
Membership: TypeAlias = Callable[[State], Tensor]

BUDGET = 20_000_000
"""Network evaluations of a least-work fit, at most, where none are asked for."""

_OWN, _MOST_OWN = 0.2, 20_000  # share of the budget for samples of the model, and their number at most
_BEYOND = 10.0  # standard errors from typical noise: a guide that the model can hardly produce


@dataclass(frozen=True)
class PathRun:
    """A guidance into a region, what it is worth, and what the region is worth.

    Args:
        model: what is guided.
        guides: the points with their kernel and bandwidth.
        region: A, membership of samples in data units.
        method: how.
        guidance: h.
        log_odds: L of the target p·e^{L 1_A}/Z, which has a share ``target`` in A; 0 where a baseline never gets there.
        target: that share.
        choices: sampling choices that the fit was made for.
        seed: of the fit.
        model_samples: the model's own.
        fit: how the guidance was found.
        certificate_samples: how many fresh samples the certificate takes.
    """

    model: Model
    guides: KernelDensity
    region: Membership
    method: PathMethod
    guidance: Guidance
    log_odds: float
    target: float
    choices: Mapping[str, Any]
    seed: int
    model_samples: Ensemble
    fit: Fit
    certificate_samples: int = 10_000
    network_evaluations: int = 0
    seconds: float = 0.0
    progress: Progress = field(default=no_progress, repr=False)

    def log_tilt(self, x: State) -> Tensor:
        """r = L 1_A of the target, (B,), float64."""
        return self.log_odds * self.region(x).to(torch.float64)

    def sample(self, n: int, seed: int = 1, **choices: Any) -> Ensemble:
        """Fresh guided samples that know their target; ``choices`` as in :func:`leastwork.sample`.

        Raises:
            LeastworkError: ``seed`` is that of the fit, whose samples would flatter the guidance.
        """
        if seed == self.seed:
            raise LeastworkError(f"seed={seed} was used for the fit: draw with another, so that figures are honest")
        ensemble = sample(self.model, n, self.guidance, **{**self.choices, **choices, "seed": seed, "out": None})
        return replace(ensemble, log_tilt=self.log_tilt(ensemble.x))

    def inside(self, ensemble: Ensemble) -> Ensemble:
        """The samples in A alone; their averages under "model" are those of the model *given* A.

        Raises:
            LeastworkError: none is.
        """
        index = self.region(ensemble.x).nonzero()[:, 0]
        if len(index) == 0:
            raise LeastworkError(f"none of {len(ensemble)} samples is in the region: {_REMEDY}")
        ledger = ensemble.ledger
        parts = {name: _rows(getattr(ledger, name), index) for name in ("work", "log_weight", "action")}
        tilt = _rows(ensemble.log_tilt, index)
        return replace(
            ensemble, x=take(ensemble.x, index), ledger=replace(ledger, step_work=None, **parts), log_tilt=tilt
        )

    @cached_property
    def certificate_ensemble(self) -> Ensemble:
        """The fresh samples of the certificate."""
        seed = derive_seed(self.seed, "certificate")
        return self.sample(self.certificate_samples, seed=seed, progress=self.progress)

    @cached_property
    def certificate(self) -> Certificate:
        """Work, bound, dissipation, efficiency and ESS towards the target, on fresh samples.

        Raises:
            NoPathWeightsError: the run draws by a process or solver that has no path weights.
        """
        ensemble = self.certificate_ensemble
        assert ensemble.log_tilt is not None
        return certify(ensemble.work, ensemble.log_weight, ensemble.log_tilt)

    @cached_property
    def step_error(self) -> StepError:
        """What the number of steps does to the share in A and, with the other sign, to −ln p(A).

        Warns:
            LeastworkWarning: an error above 0.05 standard deviations of 1_A or 0.05 k_BT, and two standard errors.
        """

        def share(x: State) -> Tensor:
            return self.region(x).to(torch.float64)

        law = {name: value for name, value in self.choices.items() if name in LAW}
        found = step_check(
            self.model, share, self.guidance, log_tilt=lambda x: share(x).log(), seed=derive_seed(self.seed, "steps"),
            **law,
        )  # fmt: skip
        warn_of_steps(found, ("1_A",), stacklevel=3)
        return found

    @property
    def success(self) -> Estimate:
        """Share of the certificate's samples in A."""
        return Estimate.from_samples(self.region(self.certificate_ensemble.x).to(torch.float64))

    @property
    def free_energy(self) -> Estimate:
        """−ln p(A) under the model, k_B T, from the path weights of the certificate's samples.

        Raises:
            LeastworkError: none of them is in A.
        """
        return self.free_energy_of(self.certificate_ensemble)

    def free_energy_of(self, ensemble: Ensemble) -> Estimate:
        """−ln p(A) from samples drawn by :meth:`sample`; the mean weight is unbiased, −ln of it a little high."""
        inside = self.region(ensemble.x).to(torch.float64)
        if not bool(inside.any()):
            raise LeastworkError(f"none of {len(ensemble)} samples is in the region: {_REMEDY}")
        log_weight = ensemble.log_weight.to(torch.float64)
        top = log_weight[inside > 0].max()
        w = torch.exp(log_weight - top) * inside
        return Estimate.from_influence(float(-(top + w.mean().log())), -w / w.mean(), ensemble.ledger.group)


_REMEDY = "give more guides, a wider region, or use method='least-work'"


def guide_path(
    model: Model,
    points: State,
    method: PathMethod = "least-work",
    *,
    region: Membership | None = None,
    kernel: Kernel | None = None,
    bandwidth: float | None = None,
    success: float = 0.99,
    seed: int = 0,
    samples: int | None = None,
    budget: int | None = None,
    certificate_samples: int = 10_000,
    gamma: float = 0.01,
    progress: Progress = no_progress,
    **choices: Any,
) -> PathRun:
    """Sample a region that a model hardly visits, from a few structures in it, with the least work.

    Args:
        model: a DiffusionModel, or a FrameModel.
        points: guiding structures, (M, *event), data units, M ≥ 2.
        method: "least-work", h = ∇V, learned from members of A that noising and denoising finds from the guides, and
            then on guided paths; "transported", the published form, kernels around guides
            that are carried forward by the probability-flow ODE, strength and bandwidth sigmoid in t; "loss", the
            gradient of the guides' log-kernel at the denoised estimate. The last two are fitted to (1 − success) plus
            γ·work.
        region: A, membership of samples in data units, (B, *event) -> bool (B,); by default where the guides' kernel
            density is at least the fifth percentile of what each of them has under the others.
        kernel: distance between structures; by default Euclidean, after rigid-body alignment where the model has no
            orientation.
        bandwidth: of the kernel, in its unit; by default the one under which the guides are likeliest.
        success: for "least-work", the share of the target in A, below one; the other methods are
            judged by the share that they reach.
        seed: of everything random.
        samples: of the model, by default 20,000 or what a fifth of the budget pays for, if that is less.
        budget: network evaluations of the fit, at most; by default 20 million for "least-work", and what their search
            takes for the other methods.
        certificate_samples: fresh guided samples for the certificate and the free energy.
        gamma: for "transported" and "loss", the price of a nat of work, in units of the success rate.
        progress: ``leastwork.progress.bar`` shows one.
        choices: solver, steps, t_grid, batch_size, device, dtype as in :func:`leastwork.sample`.

    Raises:
        NoPathWeightsError: a process or solver without path weights.
        LeastworkError: guides or a region that cannot be used, or stages that do not reach it.
        LearningError: V was not learned.

    Warns:
        LeastworkWarning: guides outside the region, of odd scale or handedness, or such as the model hardly produces.
    """
    begin = time.perf_counter()
    if method not in get_args(PathMethod):
        raise LeastworkError(f"method={method!r} is not a method: choose one of {get_args(PathMethod)}")
    if isinstance(model, VelocityModel):
        raise LeastworkError("Path Guidance needs an SDE, and a VelocityModel has none: pass a DiffusionModel")
    if isinstance(model, FrameModel) and method != "least-work":
        raise LeastworkError(f"method={method!r} is not for frames: use 'least-work'")
    if not 0 < success < 1:
        raise LeastworkError(f"success={success} must lie between 0 and 1: a target all in A makes each miss infinite")
    law = {name: value for name, value in choices.items() if name in LAW}
    plain = law.get("process", "sde") == "sde" and law.get("kappa") in (None, 1, 1.0)
    if not plain or not make_sampler(model, None, **law).steps.has_density:
        raise NoPathWeightsError(
            "a region's free energy needs path weights: guide with process='sde', kappa=1 and solver='multistep', "
            "'exponential' or 'euler'; samples may be drawn in another way afterwards"
        )
    guided = moved(model, choices.get("device"), choices.get("dtype"))
    assert not isinstance(guided, VelocityModel)
    guides = kernel_density(points, usual_kernel(guided) if kernel is None else kernel, bandwidth)
    if samples is None:
        samples = min(max(int(_OWN * (budget or BUDGET) / make_sampler(guided, None, **law).evaluations), 2), _MOST_OWN)
    own = sample(guided, samples, seed=derive_seed(seed, "model"), progress=progress, **choices)
    warn_of_outliers(own.x)
    check_guides(points, own.x)
    inside = Region(guides) if region is None else region
    _check_region(inside, points, own.x, region is not None)
    if isinstance(guided, DiffusionModel):
        _check_reach(guided, points)
    fit: Fit
    if method == "least-work":
        focus = isinstance(guides.kernel, EuclideanKernel)  # elsewhere coordinates have no place
        learned = learn_region(
            guided, inside, points, own, focus=focus, success=success, seed=seed, budget=budget or BUDGET,
            progress=progress, **choices,
        )  # fmt: skip
        fit, guidance, odds = learned, learned.guidance, learned.log_odds
        evaluations = 0  # own samples are counted in it
    else:
        assert isinstance(guided, DiffusionModel)
        fitting = fit_transported if method == "transported" else fit_loss
        if method == "loss":
            check_gradient(guided, own.x)
        target = (1 + (method == "loss")) * own.network_evaluations  # as many samples, "loss" through the network
        left = None if budget is None else budget - own.network_evaluations - target
        found = fitting(guided, guides, inside, gamma=gamma, seed=seed, budget=left, progress=progress, **law)
        fit, guidance = found, found.guidance
        drawn = sample(guided, samples, guidance, seed=derive_seed(seed, "target"), progress=progress, **choices)
        success, odds = _own_target(inside(drawn.x).to(torch.float64), drawn.log_weight.to(torch.float64))
        evaluations = own.network_evaluations + drawn.network_evaluations
    return PathRun(
        guided,
        guides,
        inside,
        method,
        guidance,
        odds,
        success,
        choices,
        seed,
        own,
        fit,
        certificate_samples,
        evaluations + fit.network_evaluations,
        time.perf_counter() - begin,
        progress,
    )


def usual_kernel(model: Scored) -> Kernel:
    """The distance between a model's structures: after rigid-body alignment where it has no orientation."""
    if not has_no_orientation(model):
        return EuclideanKernel()
    return FrameKernel() if isinstance(model, FrameModel) else AlignedKernel()


def _own_target(inside: Tensor, log_weight: Tensor) -> tuple[float, float]:
    """The share of A in the target of a guidance that was not made for one: its own; and L by p(A) from the weights.

    L is 0, and there is nothing to be efficient at, where no sample is in A.
    """
    n = len(inside)
    success = min(float(inside.mean()), 1 - 0.5 / n)  # all in A: as far as n samples can tell
    probability = float((log_weight.exp() * inside).mean())
    if not 0 < probability < 1:
        return success, 0.0
    return success, log_odds(probability, success)


def _check_region(region: Membership, points: State, x: State, given: bool) -> None:
    """A membership test that says one thing of all there is, or does not say it of each."""
    inside, of_guides = region(x), region(points)
    for answer, state in ((inside, x), (of_guides, points)):
        if not isinstance(answer, Tensor) or answer.dtype != torch.bool or answer.shape != (batch_size(state),):
            what = (
                f"{answer.dtype} of shape {tuple(answer.shape)}"
                if isinstance(answer, Tensor)
                else type(answer).__name__
            )
            raise LeastworkError(f"region returned {what}: return one bool for each sample, (B,)")
    if bool(inside.all()):
        what = "region" if given else "the guides' own region, by their kernel,"
        raise LeastworkError(
            f"{what} holds all {len(inside)} of the model's samples, so there is nothing to do: make it narrower"
        )
    outside = int((~of_guides).sum())
    if outside == len(of_guides):
        where = "none of the guides" if bool(inside.any()) else f"none of the guides and of {len(inside)} model samples"
        raise LeastworkError(f"region holds {where}: check its units and that it returns True inside")
    if given and outside:
        warnings.warn(
            f"{outside} of {len(of_guides)} guides are not in the region: check them, or its units",
            LeastworkWarning,
            stacklevel=3,
        )


def _check_reach(model: DiffusionModel, points: State) -> None:
    """Guides that the model can hardly produce."""
    distance = prior_distance(model, points)
    far = (distance > _BEYOND).nonzero()[:, 0]
    if len(far):
        worst = int(distance.argmax())
        warnings.warn(
            f"the model can hardly produce {len(far)} of {len(distance)} guides: carried forward, guide {worst} is "
            f"{float(distance[worst]):.3g} standard deviations from typical noise; check unit, order and source",
            LeastworkWarning,
            stacklevel=3,
        )


def _rows(values: Tensor | None, index: Tensor) -> Tensor | None:
    return None if values is None else values[index]
