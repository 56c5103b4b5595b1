"""Networks of ``diffusers`` with their schedulers: x_k = √ᾱ_k x_0 + √(1 − ᾱ_k) ε at timesteps k = 0 … N − 1.

    t = (k + 1)/N        ℓ(t) = ln ᾱ_k/(1 − ᾱ_k)        (Ho et al., NeurIPS 2020)
    t = σ, timestep Nσ,  α = 1 − σ                      flow matching (Esser et al., ICML 2024)
    timestep ln σ/4 in place of k                       EDM (:mod:`leastwork.adapters.edm`)

Between two timesteps the log-SNR is interpolated, and the network is evaluated at a fractional timestep, since its
embedding of time is smooth. Clipping or thresholding of samples, which some schedulers do, is not done here.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from leastwork.adapters.diffusers_network import AtTimestep, Pixels, check_channels, check_null, token_grid
from leastwork.adapters.edm import from_edm
from leastwork.adapters.wrapping import check_network, package
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


def from_diffusers(
    net: Callable[..., Any],
    scheduler: Any,
    event_shape: tuple[int, ...],
    *,
    subspace: Subspace | None = None,
    shift: float | Tensor = 0.0,
    scale: float | Tensor = 1.0,
    context: Mapping[str, Any] | None = None,
    null: Mapping[str, Any] | None = None,
    guidance_scale: float = 1.0,
    vae: nn.Module | None = None,
) -> DiffusionModel:
    """Wrap a UNet or transformer of ``diffusers`` with the scheduler of its training.

    Args:
        net: called as ``net(x, timestep=timestep, **context)``; returns a tensor or an output with ``.sample``.
        scheduler: the scheduler of the training, with ``alphas_cumprod``, of EDM, or for flow matching.
        event_shape: shape of one sample, channels first, (C, H, W); of tokens, as Flux has, channels last, (L, C).
        subspace, shift, scale: as in :class:`leastwork.DiffusionModel`; of a latent model, in the latent space.
        context: keyword arguments of the network: ``class_labels``, ``encoder_hidden_states``, …; tensors of one sample
            are repeated for a batch.
        null: the same arguments without condition, those that differ, for classifier-free guidance.
        guidance_scale: s in y_null + s (y_condition − y_null), which is then the model's prediction.
        vae: an autoencoder of the package; observables then see its decoded images, in [−1, 1], and samples stay
            latents.

    Raises:
        ConfigError: the package is missing, the scheduler has no Gaussian path, the prediction type is unknown, the
            channels come last, ``null`` does not fit the context, or the network does not fit.
    """
    package("diffusers", "diffusers")
    config = getattr(scheduler, "config", None)
    if config is None or not hasattr(config, "num_train_timesteps"):
        raise ConfigError(f"scheduler={type(scheduler).__name__} is not of diffusers: pass e.g. a DDPMScheduler")
    context = {} if context is None else context
    check_channels(net, event_shape)
    null = check_null(null, context, guidance_scale)
    decode = None if vae is None else Pixels(vae, token_grid(event_shape, context))
    levels = _levels(scheduler)
    if levels is not None:
        raw = AtTimestep(net, 1, 0.0, null, guidance_scale, -1 if config.prediction_type == "v_prediction" else 1)
        model = from_edm(
            raw, levels, event_shape, predicts="raw", subspace=subspace, shift=shift, scale=scale, context=context
        )
        return model if decode is None else replace(model, decode=decode)
    schedule, predicts, offset = _path(scheduler)
    wrapped = AtTimestep(net, int(config.num_train_timesteps), offset, null, guidance_scale)
    check_network(wrapped, event_shape, context, "net(x, timestep)")
    return DiffusionModel(wrapped, schedule, predicts, event_shape, subspace, shift, scale, context, decode)


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
