"""Denoisers of ``k_diffusion``, called as ``model(x, σ, **extra)``, which return D(x, σ) whatever is inside them.

    K.Denoiser (EDM's preconditioning), K.external.VDenoiser, CompVisDenoiser, OpenAIDenoiser, …

The package itself is not imported: a wrapper of the same kind from another package will do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from leastwork.adapters.edm import from_edm
from leastwork.adapters.network import NetworkSettings, as_tensors
from leastwork.adapters.settings import ModelSettings, key
from leastwork.errors import ConfigError
from leastwork.geometry.euclidean import Subspace, ZeroCentre
from leastwork.models.diffusion import DiffusionModel
from leastwork.schedules.edm import EDMSchedule

__all__ = ["ADAPTERS", "KDiffusionSettings", "from_k_diffusion"]


def from_k_diffusion(
    denoiser: Callable[..., Tensor],
    event_shape: tuple[int, ...],
    *,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    sigma_data: float | None = None,
    rho: float = 7.0,
    subspace: Subspace | None = None,
    shift: float | Tensor = 0.0,
    scale: float | Tensor = 1.0,
    context: Mapping[str, Any] | None = None,
) -> DiffusionModel:
    """Wrap a denoiser of ``k_diffusion``.

    Args:
        denoiser: called as ``denoiser(x, σ, **context)``; x: (B, *event), σ: (B,).
        event_shape: shape of one sample.
        sigma_min, sigma_max, sigma_data: as in :class:`leastwork.EDMSchedule`; by default those that the denoiser has.
        rho: ρ of Karras' levels.
        subspace, shift, scale: as in :func:`leastwork.adapters.from_edm`.
        context: keyword arguments of the denoiser, ``extra_args`` of the package's samplers.

    Raises:
        ConfigError: a level is neither given nor known to the denoiser, or the denoiser does not fit.
    """
    given = {"sigma_min": sigma_min, "sigma_max": sigma_max, "sigma_data": sigma_data}
    found = {name: getattr(denoiser, name, None) if one is None else one for name, one in given.items()}
    missing = [name for name, one in found.items() if one is None]
    if missing:
        raise ConfigError(
            f"the {type(denoiser).__name__} has no {' and no '.join(missing)}: give those of the training, as "
            f"{missing[0]}=…"
        )
    levels = {name: float(one) for name, one in found.items() if one is not None}
    schedule = EDMSchedule(**levels, rho=rho)
    return from_edm(
        denoiser, schedule, event_shape, subspace=subspace, shift=shift, scale=scale, context=context
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class KDiffusionSettings(NetworkSettings):
    """A denoiser of ``k_diffusion``: ``network`` names the function that makes it, around its inner model."""

    sigma_min: float | None = key("the least noise level, above 0", default=None, gt=0)
    sigma_max: float | None = key("the largest noise level, above 0", default=None, gt=0)
    sigma_data: float | None = key("the standard deviation of the training data, above 0", default=None, gt=0)
    rho: float = key("the exponent of Karras' levels, above 0", default=7.0, gt=0)
    zero_centre: bool = key("true for states whose points have their centroid at zero", default=False)

    def build(self) -> DiffusionModel:
        return from_k_diffusion(
            self.net(), self.event_shape, sigma_min=self.sigma_min, sigma_max=self.sigma_max,
            sigma_data=self.sigma_data, rho=self.rho, subspace=ZeroCentre() if self.zero_centre else None,
            context=as_tensors(self.context), **self.units,
        )  # fmt: skip


ADAPTERS: Mapping[str, type[ModelSettings]] = {"k_diffusion": KDiffusionSettings}
