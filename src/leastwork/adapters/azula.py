"""Denoisers of ``azula``: a network whose posterior mean is E[x_0 | x_t], x_t = α_t x_0 + σ_t z, with t = 0 the data.

    D(x, t) = denoiser(x, t).mean        α, σ = denoiser.schedule(t)

Time has the same direction as here; the derivatives of α and σ, which the package does not give, come from autograd.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from leastwork.adapters.network import NetworkSettings, as_tensors
from leastwork.adapters.settings import ModelSettings
from leastwork.adapters.wrapping import Wrapped, check_network, package
from leastwork.errors import ConfigError
from leastwork.geometry.euclidean import Subspace
from leastwork.models.diffusion import DiffusionModel
from leastwork.schedules.base import Schedule
from leastwork.schedules.function import FunctionSchedule
from leastwork.schedules.gaussian import VESchedule

__all__ = ["ADAPTERS", "AzulaSettings", "from_azula"]


class _PosteriorMean(Wrapped):
    """``denoiser(x, t).mean``."""

    def forward(self, x: Tensor, t: Tensor, **context: Any) -> Tensor:
        return self.net(x, t, **context).mean


def from_azula(
    denoiser: nn.Module,
    event_shape: tuple[int, ...],
    *,
    subspace: Subspace | None = None,
    shift: float | Tensor = 0.0,
    scale: float | Tensor = 1.0,
    context: Mapping[str, Any] | None = None,
) -> DiffusionModel:
    """Wrap a denoiser of ``azula``.

    Args:
        denoiser: a ``Denoiser``, which has the schedule.
        event_shape: shape of one sample.
        subspace, shift, scale: as in :class:`leastwork.DiffusionModel`.
        context: keyword arguments of the denoiser, such as ``label``; :class:`leastwork.PerSample` has a row for each
            sample.

    Raises:
        ConfigError: the package is missing, the object is not a denoiser, or the denoiser does not fit.
    """
    denoise = package("azula.denoise", "azula")
    if not isinstance(denoiser, denoise.Denoiser):
        raise ConfigError(
            f"{type(denoiser).__name__} is not an azula Denoiser: wrap the network first, "
            "KarrasDenoiser(net, VPSchedule())"
        )
    context = {} if context is None else context
    wrapped = _PosteriorMean(denoiser)
    check_network(wrapped, event_shape, context, "denoiser(x, t).mean")
    return DiffusionModel(wrapped, _schedule(denoiser.schedule), "data", event_shape, subspace, shift, scale, context)


@dataclass(frozen=True, kw_only=True)
class AzulaSettings(NetworkSettings):
    """A denoiser of ``azula``: ``network`` names the function that makes it, with its schedule."""

    def build(self) -> DiffusionModel:
        package("azula.denoise", "azula")  # asked for before the user's file imports it
        return from_azula(self.net(), self.event_shape, context=as_tensors(self.context), **self.units)


ADAPTERS: Mapping[str, type[ModelSettings]] = {"azula": AzulaSettings}


def _schedule(theirs: Any) -> Schedule:
    noise = package("azula.noise", "azula")
    if not isinstance(theirs, noise.Schedule):
        raise ConfigError(f"schedule={theirs!r} is not of azula: give the denoiser one, such as azula.noise.VPSchedule")
    if type(theirs) is noise.VESchedule:
        return VESchedule(theirs.sigma_min, theirs.sigma_max)
    return FunctionSchedule(lambda t: theirs(t)[0], lambda t: theirs(t)[1], t_min=0.0)
