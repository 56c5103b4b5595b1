"""Networks of ``diffusers`` with their schedulers: x_k = √ᾱ_k x_0 + √(1 − ᾱ_k) ε at timesteps k = 0 … N − 1.

    t = (k + 1)/N        ℓ(t) = ln ᾱ_k/(1 − ᾱ_k)        (Ho et al., NeurIPS 2020)
    t = σ, timestep Nσ,  α = 1 − σ                      flow matching (Esser et al., ICML 2024)
    timestep ln σ/4 in place of k                       EDM (:mod:`leastwork.adapters.edm`)

Between two timesteps the log-SNR is interpolated, and the network is evaluated at a fractional timestep, since its
embedding of time is smooth. Clipping or thresholding of samples, which some schedulers do, is not done here.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from leastwork.adapters.edm import from_edm
from leastwork.adapters.wrapping import Wrapped, check_network, package
from leastwork.errors import ConfigError
from leastwork.geometry.euclidean import Subspace
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.predictions import Prediction
from leastwork.schedules.base import Schedule
from leastwork.schedules.edm import EDMSchedule
from leastwork.schedules.gaussian import LinearSchedule
from leastwork.schedules.table import TabulatedSchedule

__all__ = ["from_diffusers"]

_PREDICTS: dict[str, Prediction] = {"epsilon": "noise", "sample": "data", "v_prediction": "v"}
_FLOWS = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler", "FlowMatchLCMScheduler")


_EDM = ("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler")


class _Raw(Wrapped):
    """F of EDM: the first field of the network's output, or for v_prediction its negative."""

    def __init__(self, net: Callable[..., Any], sign: int) -> None:
        super().__init__(net)
        self.sign = sign

    def forward(self, x: Tensor, timestep: Tensor, **context: Any) -> Tensor:
        return self.sign * _sample(self.net(x, timestep, **context), x)


class _AtTimestep(Wrapped):
    """``net(x, t·count − offset).sample``; a variance that the network predicts beside it is left out."""

    def __init__(self, net: Callable[..., Any], count: int, offset: float) -> None:
        super().__init__(net)
        self.count, self.offset = count, offset

    def forward(self, x: Tensor, t: Tensor, **context: Any) -> Tensor:
        return _sample(self.net(x, (t * self.count - self.offset).expand(len(x)), **context), x)


def _sample(output: Any, x: Tensor) -> Tensor:
    """The first field of an output object, without a variance beside it."""
    y = output if isinstance(output, Tensor) else output[0]
    return y[:, : x.shape[1]] if y.ndim > 1 and y.shape[1] == 2 * x.shape[1] else y


def from_diffusers(
    net: Callable[..., Any],
    scheduler: Any,
    event_shape: tuple[int, ...],
    *,
    subspace: Subspace | None = None,
    shift: float | Tensor = 0.0,
    scale: float | Tensor = 1.0,
    context: Mapping[str, Any] | None = None,
) -> DiffusionModel:
    """Wrap a UNet or transformer of ``diffusers`` with the scheduler of its training.

    Args:
        net: called as ``net(x, timestep, **context)``; returns a tensor or an output with ``.sample``.
        scheduler: the scheduler of the training, with ``alphas_cumprod``, of EDM, or for flow matching.
        event_shape: shape of one sample, channels first.
        subspace, shift, scale: as in :class:`leastwork.DiffusionModel`; of a latent model, in the latent space.
        context: keyword arguments of the network, the same for every sample: ``class_labels``,
            ``encoder_hidden_states``, …, of batch size 1 where the network broadcasts them.

    Raises:
        ConfigError: the package is missing, the scheduler has no Gaussian path, the prediction type is unknown, the
            channels come last, or the network does not fit.
    """
    package("diffusers", "diffusers")
    config = getattr(scheduler, "config", None)
    if config is None or not hasattr(config, "num_train_timesteps"):
        raise ConfigError(f"scheduler={type(scheduler).__name__} is not of diffusers: pass e.g. a DDPMScheduler")
    context = {} if context is None else context
    _check_channels(net, event_shape)
    levels = _levels(scheduler)
    if levels is not None:
        raw = _Raw(net, -1 if config.prediction_type == "v_prediction" else 1)
        return from_edm(
            raw, levels, event_shape, predicts="raw", subspace=subspace, shift=shift, scale=scale, context=context
        )
    schedule, predicts, offset = _path(scheduler)
    wrapped = _AtTimestep(net, int(config.num_train_timesteps), offset)
    check_network(wrapped, event_shape, context, "net(x, timestep)")
    return DiffusionModel(wrapped, schedule, predicts, event_shape, subspace, shift, scale, context)


def _levels(scheduler: Any) -> EDMSchedule | None:
    """The noise levels of a scheduler whose network is preconditioned as in EDM and takes ln σ/4; otherwise None."""
    config, name = scheduler.config, type(scheduler).__name__
    if name in _EDM:
        return EDMSchedule(config.sigma_min, config.sigma_max, config.sigma_data, config.rho)
    continuous = getattr(config, "timestep_type", "discrete") == "continuous"
    if not continuous or getattr(config, "prediction_type", None) != "v_prediction":
        return None
    low, high = (getattr(config, end, None) for end in ("sigma_min", "sigma_max"))
    if low is None or high is None:
        raise ConfigError(
            f"{name} has timestep_type='continuous' without sigma_min and sigma_max, which are those of the training: "
            "give it both"
        )
    return EDMSchedule(low, high, sigma_data=1.0)


def _path(scheduler: Any) -> tuple[Schedule, Prediction, float]:
    """The schedule, the kind of prediction, and the offset in the timestep k = t·N − offset."""
    config, name = scheduler.config, type(scheduler).__name__
    kind = getattr(config, "prediction_type", None)
    if name in _FLOWS or (kind == "flow_prediction" and getattr(config, "use_flow_sigmas", False)):
        if getattr(config, "invert_sigmas", False):
            raise ConfigError(f"{name} has invert_sigmas=True, with time from noise to data: wrap it by VelocityModel")
        return LinearSchedule(), "velocity", 0.0
    if getattr(scheduler, "alphas_cumprod", None) is None:
        raise ConfigError(
            f"{name} has no alphas_cumprod, so alpha and sigma of the training are unknown: pass the scheduler of the "
            "training, such as DDPMScheduler, or write lw.DiffusionModel(net, schedule, ...) yourself"
        )
    if kind not in _PREDICTS:
        known = ", ".join(map(repr, _PREDICTS))
        raise ConfigError(f"{name} has prediction_type={kind!r}, which is none of {known}: pass the training's own")
    signal = _signal(scheduler)
    count = len(signal)
    keep = int((signal > 1e-12).sum())  # a last timestep without signal does not determine the data
    times = [(k + 1) / count for k in range(keep)]
    table = TabulatedSchedule(times, signal[:keep].sqrt().tolist(), (1 - signal[:keep]).sqrt().tolist())
    return table, _PREDICTS[kind], 1.0


def _signal(scheduler: Any) -> Tensor:
    """ᾱ_k, float64 (N,), of the betas where they are its own: 1 − ᾱ_0 has few digits left in float32."""
    theirs = scheduler.alphas_cumprod.double().cpu()
    betas = getattr(scheduler, "betas", None)
    if betas is not None:
        exact = torch.cumprod(1 - betas.double().cpu(), dim=0)
        if exact.shape == theirs.shape and torch.allclose(exact, theirs, rtol=1e-4, atol=1e-6):
            return exact
    return theirs


def _check_channels(net: Callable[..., Any], event_shape: tuple[int, ...]) -> None:
    channels = getattr(getattr(net, "config", None), "in_channels", None)
    if channels is None or not event_shape or event_shape[0] == channels:
        return
    if event_shape[-1] == channels:
        first = (channels, *event_shape[:-1])
        raise ConfigError(
            f"event_shape={event_shape} has its channels last, but the network takes {channels} channels first: pass "
            f"event_shape={first}, and samples in that order"
        )
    raise ConfigError(f"event_shape={event_shape} has {event_shape[0]} channels, but the network takes {channels}")
