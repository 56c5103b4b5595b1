"""Networks trained with Meta's ``flow_matching``: X_s = α_s X_1 + σ_s X_0, with s = 0 the noise and s = 1 the data.

    t = 1 − s        α(t) = α_s, σ(t) = σ_s        dx/dt = −dX/ds

(Lipman et al., Flow Matching Guide and Code, arXiv 2412.06264, 2024.) With an affine path from an independent Gaussian
source the velocity determines the score, so the model is a DiffusionModel, with SDE, work and certificates. For any
other path only the velocity is known, and the model is a VelocityModel.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from leastwork.adapters.network import NetworkSettings, as_tensors
from leastwork.adapters.settings import ModelSettings, key
from leastwork.adapters.wrapping import Wrapped, check_network, package
from leastwork.errors import ConfigError
from leastwork.geometry.euclidean import Subspace
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.predictions import Moments
from leastwork.models.velocity import Prior, StandardNormal, VelocityModel
from leastwork.schedules.base import Schedule
from leastwork.schedules.function import FunctionSchedule
from leastwork.schedules.gaussian import CosineSchedule, LinearSchedule, VPSchedule
from leastwork.support.text import brief

__all__ = ["ADAPTERS", "FlowMatchingSettings", "from_flow_matching"]

Predicts: TypeAlias = Literal["velocity", "data", "noise"]
Scheduler: TypeAlias = Literal[
    "CondOTScheduler", "CosineScheduler", "LinearVPScheduler", "PolynomialConvexScheduler", "VPScheduler"
]

_SHORT_OF_NOISE = 0.999  # t_max if the velocity does not determine the data at t = 1


class _TheirTime(Wrapped):
    """``net(x=x, t=1 − t)``, and its negative where it is a velocity."""

    def __init__(self, net: Callable[..., Tensor], sign: int) -> None:
        super().__init__(net)
        self.sign = sign

    def forward(self, x: Tensor, t: Tensor, **context: Any) -> Tensor:
        y = self.net(x=x, t=(1 - t).expand(len(x)), **context)
        return -y if self.sign < 0 else y


def from_flow_matching(
    net: Callable[..., Tensor],
    path: Any,
    event_shape: tuple[int, ...],
    *,
    predicts: Predicts = "velocity",
    prior: Prior | None = None,
    subspace: Subspace | None = None,
    shift: float | Tensor = 0.0,
    scale: float | Tensor = 1.0,
    context: Mapping[str, Any] | None = None,
) -> DiffusionModel | VelocityModel:
    """Wrap a network that was trained along a path of ``flow_matching``.

    Args:
        net: a ``ModelWrapper``, module or function, called as ``net(x=x, t=t, **context)``; x: (B, *event), t: (B,),
            1 at the data.
        path: the ``AffineProbPath`` of the training, or its scheduler; None if x_0 and x_1 were not drawn independently
            (minibatch optimal transport), or the path is of another kind.
        event_shape: shape of one sample.
        predicts: the target of the training: "velocity" (dx_t), "data" (x_1) or "noise" (x_0).
        prior: the source distribution; by default a standard normal. Only a ``StandardNormal`` gives a score.
        subspace, shift, scale: as in :class:`leastwork.DiffusionModel`.
        context: keyword arguments of the network; :class:`leastwork.PerSample` has a row for each sample.

    Returns:
        DiffusionModel: for an affine path from a Gaussian source. VelocityModel: otherwise.

    Raises:
        ConfigError: the package is missing, the path has discrete states, or the network does not fit.
    """
    paths = package("flow_matching.path", "flow-matching")
    schedulers = package("flow_matching.path.scheduler", "flow-matching")
    prior = StandardNormal() if prior is None else prior
    context = {} if context is None else context
    if predicts not in ("velocity", "data", "noise"):
        raise ConfigError(f"predicts={predicts!r} is not a target of flow_matching: choose 'velocity', 'data', 'noise'")
    if isinstance(path, paths.MixtureDiscreteProbPath):
        raise ConfigError("a MixtureDiscreteProbPath has discrete states, which have no score: they cannot be guided")
    scheduler = path.scheduler if isinstance(path, paths.AffineProbPath) else path
    affine = isinstance(scheduler, schedulers.Scheduler)
    if path is not None and not affine and not isinstance(path, paths.ProbPath):
        raise ConfigError(f"path={path!r} is not of flow_matching: pass its AffineProbPath, scheduler, or None")
    wrapped = _TheirTime(net, -1 if predicts == "velocity" else 1)
    check_network(wrapped, event_shape, context, "net(x=x, t=t)")
    if affine and isinstance(prior, StandardNormal):
        schedule = _schedule(scheduler, schedulers, prior.scale)
        return DiffusionModel(wrapped, schedule, predicts, event_shape, subspace, shift, scale, context)
    if predicts != "velocity" or subspace is not None:
        raise ConfigError(
            "without an affine path from a Gaussian source only a velocity can be followed: pass the path, or leave "
            "out predicts= and subspace="
        )
    return VelocityModel(wrapped, event_shape, prior, shift=shift, scale=scale, context=context)


@dataclass(frozen=True, kw_only=True)
class FlowMatchingSettings(NetworkSettings):
    """A network that was trained along a path of ``flow_matching``."""

    scheduler: Scheduler | None = key(
        "the scheduler of the training's affine path, or leave it out if only the velocity is known", default=None
    )
    scheduler_options: dict[str, float] | None = key("the scheduler's arguments, as keys and numbers", default=None)
    predicts: Predicts = key("the target of the training", default="velocity")

    def build(self) -> DiffusionModel | VelocityModel:
        known = package("flow_matching.path.scheduler", "flow-matching")
        try:
            path = None if self.scheduler is None else getattr(known, self.scheduler)(**self.scheduler_options or {})
        except TypeError as error:
            raise ConfigError(
                f"{self.scheduler} cannot be made ({brief(error)}): give its arguments as scheduler_options"
            ) from error
        context = as_tensors(self.context)
        return from_flow_matching(
            self.net(), path, self.event_shape, predicts=self.predicts, context=context, **self.units
        )


ADAPTERS: Mapping[str, type[ModelSettings]] = {"flow_matching": FlowMatchingSettings}


def _schedule(scheduler: Any, known: Any, source: float) -> Schedule:
    """α and σ as functions of our time, in closed form if there is one, so that the model can be saved."""
    kind = type(scheduler)
    if source == 1 and kind is known.CondOTScheduler:
        return LinearSchedule()
    if source == 1 and kind is known.CosineScheduler:
        return CosineSchedule()
    if source == 1 and kind is known.VPScheduler:
        return VPSchedule(scheduler.beta_min, scheduler.beta_max)

    def alpha(t: Tensor) -> Tensor:
        return scheduler(1 - t).alpha_t

    def sigma(t: Tensor) -> Tensor:
        return source * scheduler(1 - t).sigma_t

    whole = FunctionSchedule(alpha, sigma)
    m = Moments.at(whole, 1.0)
    turns = m.alpha_dot * m.sigma - m.sigma_dot * m.alpha  # how the velocity depends on the data
    if torch.isfinite(torch.tensor(turns)) and abs(turns) > 1e-6:
        return whole
    return FunctionSchedule(alpha, sigma, t_max=_SHORT_OF_NOISE)
