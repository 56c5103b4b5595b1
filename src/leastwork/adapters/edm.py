"""Networks of EDM, which take x = x_0 + σ ε and the noise level σ (Karras et al., NeurIPS 2022, arXiv:2206.00364).

    "data"     D(x, σ)
    "raw"      D = c_skip x + c_out F(c_in x, c_noise),   c_skip = σ_d²/n², c_out = σ σ_d/n, c_in = 1/n, n² = σ² + σ_d²
    "noise"    D = x − σ ε(x, σ)

The library carries z = x/n, in units of σ_d (:mod:`leastwork.schedules.edm`), and only the network sees x. For a raw
network x is never formed: c_in x = z, and −F is a v prediction of z, so that nothing cancels at any σ.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from leastwork.adapters.network import NetworkSettings, as_tensors
from leastwork.adapters.settings import ModelSettings, key
from leastwork.adapters.wrapping import Wrapped, check_network
from leastwork.errors import ConfigError, LeastworkError
from leastwork.geometry.euclidean import Subspace, ZeroCentre
from leastwork.models.contract import HALF
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.predictions import Prediction
from leastwork.models.weights import fill
from leastwork.schedules.edm import EDMSchedule
from leastwork.support.text import quoted

__all__ = ["ADAPTERS", "Conditioning", "EDMSettings", "Predicts", "from_edm"]

Predicts: TypeAlias = Literal["data", "raw", "noise"]
Conditioning: TypeAlias = Literal["log", "relative", "sigma"]

_PREDICTS: dict[str, Prediction] = {"data": "data", "raw": "v", "noise": "noise"}
_ROOM = 1e-3  # by which a schedule may exceed the network's range, which is often in float32


@dataclass(frozen=True)
class Reading:
    """What a network is taken to return, and what it is told of the noise."""

    predicts: Predicts
    sigma_data: float
    conditioning: Conditioning

    def noise_input(self, level: Tensor) -> Tensor:
        """The noise level as the network takes it, float64."""
        if self.predicts != "raw" or self.conditioning == "sigma":
            return level
        return (level if self.conditioning == "log" else level / self.sigma_data).log() / 4


class EDMNetwork(Wrapped):
    """The network at the library's own states z and times t: D/σ_d, the v prediction −F, or ε.

    Args:
        net: the network.
        schedule: the levels in EDM's units, with σ_d.
        reading: what the network returns and takes.
    """

    def __init__(self, net: Callable[..., Any], schedule: EDMSchedule, reading: Reading) -> None:
        super().__init__(net)
        self.schedule, self.reading = schedule, reading

    def forward(self, z: Tensor, t: Tensor, **context: Any) -> Tensor:
        level = self.schedule.level(t.double())
        noise_input = self.reading.noise_input(level).to(z).expand(len(z))
        if self.reading.predicts == "raw":
            return -self.net(z, noise_input, **context)
        y = self.net(self._x(z, level), noise_input, **context)
        if isinstance(y, Tensor) and y.dtype in HALF and z.dtype not in HALF:
            raise LeastworkError(
                f"the network returns {str(y.dtype).removeprefix('torch.')}, which is too coarse for work and weights: "
                "let its last sum be in float32, and only its layers in half precision"
            )
        return y / self.schedule.sigma_data if self.reading.predicts == "data" else y

    def _x(self, z: Tensor, level: Tensor) -> Tensor:
        """x = n z, z in units of σ_d."""
        return z * (level**2 + self.schedule.sigma_data**2).sqrt().to(z)


def from_edm(
    net: Callable[..., Any],
    schedule: EDMSchedule,
    event_shape: tuple[int, ...],
    *,
    predicts: Predicts = "data",
    conditioning: Conditioning = "log",
    weights: str | Path | None = None,
    subspace: Subspace | None = None,
    shift: float | Tensor = 0.0,
    scale: float | Tensor = 1.0,
    context: Mapping[str, Any] | None = None,
) -> DiffusionModel:
    """Wrap a network of the EDM family.

    Args:
        net: called as ``net(x, σ, **context)``; x: (B, *event) in EDM's units, σ: (B,); or, for "raw", as
            ``net(c_in x, c_noise, **context)``.
        schedule: the range of σ and σ_d of the training, in EDM's units, and ρ.
        event_shape: shape of one sample.
        predicts: what the network returns: "data", D(x, σ), as the precond classes of EDM; "raw", F, without the
            preconditioning; or "noise", ε(x, σ).
        conditioning: what a raw network takes as c_noise: "log", ln σ/4; "relative", ln(σ/σ_d)/4, as AlphaFold 3; or
            "sigma", σ itself.
        weights: a file of safetensors that is loaded into the network.
        subspace: as in :class:`leastwork.DiffusionModel`.
        shift, scale: numbers, or tensors that broadcast to an event; data units = shift + scale · EDM's units.
        context: keyword arguments of the network, such as ``class_labels``.

    Returns:
        DiffusionModel: one unit of its network is σ_d; its ``schedule`` has the same times as the given one, in that
        unit.

    Raises:
        ConfigError: the network has another σ_d or does not know all levels, the weights are not its own, or it does
            not fit.
        LeastworkError: the network returns D or ε in half precision.

    >>> import leastwork as lw
    >>> model = from_edm(lambda x, sigma: 0 * x, lw.EDMSchedule(0.002, 80.0, 0.5), (2,))  # all data are zero
    >>> bool(lw.sample(model, 8, steps=18, t_grid="karras").x.abs().max() < 1e-6)
    True
    """
    if predicts not in _PREDICTS:
        raise ConfigError(
            f"predicts={quoted(predicts)} is not what an EDM network returns: choose 'data', 'raw', 'noise'"
        )
    if conditioning not in ("log", "relative", "sigma"):
        raise ConfigError(f"conditioning={quoted(conditioning)} is unknown: choose 'log', 'relative', 'sigma'")
    if not isinstance(schedule, EDMSchedule):
        raise ConfigError(
            f"schedule={quoted(schedule)} is no EDMSchedule: pass lw.EDMSchedule(sigma_min, sigma_max, …)"
        )
    _check_range(net, schedule)
    if weights is not None:
        if not isinstance(net, nn.Module):
            raise ConfigError("weights are loaded into an nn.Module, and this network is a function: leave them out")
        fill(net, Path(weights))
    context = {} if context is None else context
    wrapped = EDMNetwork(net, schedule, Reading(predicts, schedule.sigma_data, conditioning))
    called = "net(c_in x, c_noise)" if predicts == "raw" else "net(x, sigma)"
    for t in (0.5, schedule.t_min, schedule.t_max):
        level = float(schedule.level(torch.tensor(t, dtype=torch.float64)))
        check_network(wrapped, event_shape, context, f"{called} at sigma = {level:.4g}", t)
    unit = schedule.sigma_data
    return DiffusionModel(
        wrapped, schedule.standardised(), _PREDICTS[predicts], event_shape, subspace, shift, scale * unit, context
    )


def _check_range(net: Any, schedule: EDMSchedule) -> None:
    """Compare the schedule with what the network says of itself, as the classes of EDM do."""
    own = getattr(net, "sigma_data", None)
    if own is not None and abs(float(own) / schedule.sigma_data - 1) > _ROOM:
        raise ConfigError(
            f"the network has sigma_data={float(own):.4g}, and the schedule {schedule.sigma_data:.4g}: pass "
            f"EDMSchedule(…, sigma_data={float(own):.4g})"
        )
    low, high = (getattr(net, name, None) for name in ("sigma_min", "sigma_max"))
    below = low is not None and schedule.sigma_min < float(low) * (1 - _ROOM)
    above = high is not None and schedule.sigma_max > float(high) * (1 + _ROOM)
    if below or above:
        known = f"[{0 if low is None else float(low):.4g}, {float('inf') if high is None else float(high):.4g}]"
        raise ConfigError(
            f"the schedule asks for σ in [{schedule.sigma_min:.4g}, {schedule.sigma_max:.4g}], but the network knows "
            f"{known}: give the schedule a range within"
        )


@dataclass(frozen=True, kw_only=True)
class EDMSettings(NetworkSettings):
    """A network of the EDM family that a Python file defines, with weights in safetensors."""

    sigma_min: float = key("the least noise level, above 0", default=0.002, gt=0)
    sigma_max: float = key("the largest noise level, above 0", default=80.0, gt=0)
    sigma_data: float = key("the standard deviation of the training data, above 0", default=0.5, gt=0)
    rho: float = key("the exponent of Karras' levels, above 0", default=7.0, gt=0)
    predicts: Predicts = key("what the network returns", default="data")
    conditioning: Conditioning = key("what a raw network takes as noise level", default="log")
    zero_centre: bool = key("true for states whose points have their centroid at zero", default=False)

    def build(self) -> DiffusionModel:
        schedule = EDMSchedule(self.sigma_min, self.sigma_max, self.sigma_data, self.rho)
        return from_edm(
            self.net(), schedule, self.event_shape, predicts=self.predicts, conditioning=self.conditioning,
            subspace=ZeroCentre() if self.zero_centre else None, context=as_tensors(self.context), **self.units,
        )  # fmt: skip


ADAPTERS: Mapping[str, type[ModelSettings]] = {"edm": EDMSettings}
