"""Path Guidance: from a few structures to many samples of the region around them, and its free energy.

    F_A = −ln p(A),   p(A) = E_Q[dP/dQ 1_A]         least work for a share s in A:  s ln(s/p) + (1−s) ln((1−s)/(1−p))

guides → kernel → region A and a tilt towards it → guidance → fresh guided samples → certificate and free energy.
"""

import time
import warnings
from typing import Any

import torch
from torch import Tensor

from leastwork.errors import LeastworkError, LeastworkWarning, NoPathWeightsError
from leastwork.fit.methods import settings_given
from leastwork.fit.stopping import within
from leastwork.geometry.state import State, as_state, batch_size
from leastwork.kernels.base import Kernel
from leastwork.kernels.density import kernel_density, usual_kernel
from leastwork.kernels.region import Membership, Region
from leastwork.models.base import Model, as_model, is_scored
from leastwork.models.context import refuse_inference_mode, refuse_per_sample
from leastwork.models.latents import check_encoder, of_data
from leastwork.path_guidance.guides import check_guides
from leastwork.path_guidance.methods import BUDGET, PATH_METHODS, PathGuidanceMethod, PathProblem
from leastwork.path_guidance.run import PathMethod, PathRun
from leastwork.sampling.choices import Choices
from leastwork.sampling.sample import draw
from leastwork.sampling.transport import prior_distance
from leastwork.statistics.outliers import warn_of_outliers
from leastwork.support.arguments import function_of, number, seed_number, whole
from leastwork.support.metrics import OnMetrics, check_on_metrics, listening
from leastwork.support.progress import Progress, check_progress, no_progress
from leastwork.support.random import derive_seed

__all__ = ["BUDGET", "guide_path"]

_OWN_SHARE, _MOST_OWN = 0.2, 20_000  # share of the budget for the model's own samples, and their largest number
_SECONDS = "give the longest time of the fit in seconds, or leave it out"
_FAR_FROM_NOISE = 10.0  # standard deviations from typical noise beyond which the model can hardly produce a guide


def guide_path(
    model: Model,
    points: State,
    method: PathMethod | str | PathGuidanceMethod = "least-work",
    *,
    region: Membership | None = None,
    kernel: Kernel | None = None,
    bandwidth: float | None = None,
    success: float | None = None,
    seed: int = 0,
    samples: int | None = None,
    budget: int | None = None,
    certificate_samples: int = 10_000,
    gamma: float | None = None,
    seconds: float | None = None,
    progress: Progress = no_progress,
    on_metrics: OnMetrics | None = None,
    **choices: Any,
) -> PathRun:
    """Guide a model into a region that it hardly visits, from a few structures in the region, with the least work.

    Args:
        model: a DiffusionModel, or a FrameModel.
        points: guiding structures, (M, *event), data units, M ≥ 2; latents if the model's samples are latents.
        method: the name of a method. "least-work": h = ∇V, learned from members of A, which noising and denoising finds
            from the guides, and then on guided paths. "transported": the published form, kernels around guides that
            the probability-flow ODE carries forward, with strength and bandwidth sigmoid in t. "loss": the gradient of
            the guides' log-kernel at the denoised estimate. The parameters of the last two are fitted to (1 − success)
            plus γ·work. Or a method object, such as ``Transported(gamma=0.1)`` or one of your own
            (:mod:`leastwork.path_guidance.methods`).
        region: membership in A of samples in data units, (B, *event) -> bool (B,). By default A is where the kernel
            density of the guides is at least the fifth percentile of the densities of each guide under the others.
        kernel: distance between structures; by default Euclidean, after rigid-body alignment if the model has no
            preferred orientation.
        bandwidth: bandwidth of the kernel, in the kernel's unit; by default the one under which the guides are
            likeliest.
        success: for "least-work", the share of the target in A, below one, by default 0.99; the other methods are
            judged by the share that they reach.
        seed: seed of all random numbers.
        samples: number of the model's own samples; by default 20,000, or fewer if a fifth of the budget pays for fewer.
        budget: largest number of network evaluations of the fit; by default 20 million for "least-work", and as many as
            the search takes for the other methods.
        certificate_samples: number of fresh guided samples for the certificate and the free energy.
        gamma: for "transported" and "loss", the price of a nat of work in units of the success rate, by default 0.01.
        seconds: longest time of the fit, s, after which it ends with the guidance so far. The result then depends on
            the speed of the machine. Ctrl-C ends it in the same way, and a second time ends the program.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        on_metrics: called as ``on_metrics(step, values)`` while the fit goes on, with losses, effective samples, misses
            and work by name; :func:`leastwork.support.sinks.sink` makes one for a CSV file or a tracker.
        choices: solver, steps, t_grid, batch_size, device, dtype as in :func:`leastwork.sample`.

    Returns:
        PathRun: the guidance into the region, with its certificate and the free energy of the region.

    Raises:
        NoPathWeightsError: the process or solver has no path weights.
        LeastworkError: the guides or the region cannot be used, the guidance does not reach the region, or the time or
            the budget is over before there is any guidance.
        LearningError: V was not learned.

    Warns:
        LeastworkWarning: guides lie outside the region, have an odd scale or handedness, or are hardly produced by the
            model; or the fit ended early, with the guidance so far.

    A standard normal in the plane is guided into a corner by the published form:

    >>> import leastwork as lw
    >>> model = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(2,))
    >>> guides = torch.tensor([[1.4, 1.5], [1.6, 1.4], [1.5, 1.8], [1.8, 1.6], [1.2, 1.7]])
    >>> choices = {"budget": 100_000, "samples": 500, "steps": 20, "certificate_samples": 500}
    >>> run = lw.guide_path(model, guides, "transported", region=lambda x: (x > 1).all(dim=1), **choices)
    >>> bool(run.success.value > 0.1)  # of the model's own samples, a share of 0.025 is there
    True
    """
    begin = time.perf_counter()
    chosen = PATH_METHODS.build(method, {"success": success, "budget": budget, "gamma": gamma})
    seed, certificate_samples = seed_number(seed), whole("certificate_samples", certificate_samples)
    progress = check_progress(progress)
    shown = progress if seconds is None else within(progress, number("seconds", seconds, _SECONDS, least=0.0))
    name = PATH_METHODS.name_of(chosen)
    model, points = as_model(model), as_state("points", points)
    if not model.has_score:
        raise LeastworkError("Path Guidance needs an SDE, and a VelocityModel has none: pass a DiffusionModel")
    if model.has_rotations and not chosen.frames:
        raise LeastworkError(f"method={name!r} cannot guide a model of frames: use 'least-work'")
    drawing = Choices.of({**chosen.choices, **choices})
    fitting = drawing.fitting(model)
    if not fitting.has_least_work(model):
        raise NoPathWeightsError(
            "a region's free energy needs path weights: guide with process='sde', kappa=1 and solver='multistep', "
            "'exponential' or 'euler'; samples may be drawn in another way afterwards"
        )
    refuse_per_sample(model)
    refuse_inference_mode()
    guided = drawing.place(model)
    assert is_scored(guided)
    guides = kernel_density(points, usual_kernel(guided) if kernel is None else kernel, bandwidth)
    if samples is None:
        share = _OWN_SHARE * (chosen.budget or BUDGET)
        samples = min(max(int(share / fitting.sampler(guided).evaluations), 2), _MOST_OWN)
    own = draw(guided, whole("samples", samples), fitting, seed=derive_seed(seed, "model"), progress=shown)
    warn_of_outliers(own.x)
    check_guides(points, own.x)
    check_encoder(guided, own.x)
    inside = Region(guides) if region is None else of_data(function_of("region", region), guided)
    _check_region(inside, points, own.x, region is not None)
    if not guided.has_rotations:
        _check_reach(guided, points)
    with listening(check_on_metrics(on_metrics)):
        found = chosen.fit(PathProblem(guided, guides, inside, points, own, fitting, seed, shown))
    return PathRun(
        guided,
        guides,
        inside,
        name,
        found.guidance,
        found.log_odds,
        found.target,
        drawing,
        seed,
        own,
        found.fit,
        certificate_samples,
        found.network_evaluations,
        time.perf_counter() - begin,
        progress,
        settings_given(chosen),
    )


def _check_region(region: Membership, points: State, x: State, given: bool) -> None:
    """Check that the region gives one bool for each sample, holds some guides, and not all samples of the model."""
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


def _check_reach(model: Model, points: State) -> None:
    """Warn of guides that the model can hardly produce."""
    distance = prior_distance(model, points)
    far = (distance > _FAR_FROM_NOISE).nonzero()[:, 0]
    if len(far):
        worst = int(distance.argmax())
        warnings.warn(
            f"the model can hardly produce {len(far)} of {len(distance)} guides: carried forward, guide {worst} is "
            f"{float(distance[worst]):.3g} standard deviations from typical noise; check unit, order and source",
            LeastworkWarning,
            stacklevel=3,
        )
