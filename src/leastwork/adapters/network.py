"""A network of one's own, whose class is in a Python file and whose weights are in a file of safetensors.

    model: {adapter: network, python: network.py, network: Net, weights: w.safetensors, event_shape: [2],
            predicts: noise, schedule: cosine, time: [0, 1000]}

The network's own time is a + (b − a) t, with [a, b] = ``time``: a at the data (t = 0) and b at the noise (t = 1). A
velocity points the way that this time runs; where that is from the noise to the data, b < a, its sign is changed here.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from leastwork.adapters.settings import ModelSettings, key
from leastwork.adapters.wrapping import Wrapped, check_network
from leastwork.errors import ConfigError, LeastworkError
from leastwork.geometry.euclidean import ZeroCentre
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.predictions import Prediction
from leastwork.models.velocity import StandardNormal, UniformAngles, VelocityModel
from leastwork.models.weights import fill
from leastwork.schedules.base import Schedule
from leastwork.schedules.files import schedule_from
from leastwork.support.text import brief, quoted
from leastwork.support.user_code import execute, named_in

__all__ = ["ADAPTERS", "NetworkSettings", "OwnNetwork", "as_tensor", "as_tensors"]

_SCHEDULES = {"cosine": "CosineSchedule", "linear": "LinearSchedule", "vp": "VPSchedule", "ve": "VESchedule"}

Call = Literal["x, t", "t, x", "concatenated"]


@dataclass(frozen=True, kw_only=True)
class NetworkSettings(ModelSettings):
    """Settings of every adapter of a network that a Python file defines; that file is executed."""

    runs_code: ClassVar[tuple[str, ...]] = ("python",)

    python: Path = key("a Python file that defines the network")
    network: str = key("the name of the class, or of the function, that makes the network", default="Net")
    options: dict[str, Any] | None = key("arguments of that class or function, as keys and values", default=None)
    weights: Path | None = key("a file of weights in the format of safetensors", default=None)
    event_shape: tuple[int, ...] = key("the shape of one sample, a list of whole numbers")
    shift: float | list[Any] = key("a number, or numbers of the shape of a sample", default=0.0)
    scale: float | list[Any] = key("a number, or numbers of the shape of a sample", default=1.0)
    context: dict[str, Any] | None = key("further arguments of every call, as keys and values", default=None)

    @property
    def label(self) -> str:
        return f"{self.network} of {self.python.name}"

    def net(self) -> Any:
        """The network with its weights.

        Raises:
            ConfigError: a file is missing, the class cannot be called, or the weights are of another network.
        """
        if not self.python.is_file():
            raise ConfigError(f"{self.python}: there is no such file, give its path relative to the run file")
        make = named_in(execute(self.python, beside=True), self.network, self.python)
        try:
            net = make if isinstance(make, nn.Module) and not self.options else make(**self.options or {})
        except LeastworkError:
            raise
        except Exception as error:
            raise ConfigError(
                f"{self.network} of {self.python} cannot be made with options {self.options or {}} "
                f"({brief(error)}): give its arguments as options, or, if it is itself the network and not what makes "
                "one, name a function that returns it"
            ) from error
        if self.weights is not None:
            if not isinstance(net, nn.Module):
                raise ConfigError(f"{self.network} of {self.python} is no nn.Module, so it takes no weights: leave out")
            fill(net, self.weights)
        return net.eval().requires_grad_(False) if isinstance(net, nn.Module) else net

    @property
    def units(self) -> dict[str, Any]:
        """Shift and scale as numbers or tensors."""
        return {"shift": as_tensor(self.shift), "scale": as_tensor(self.scale)}


@dataclass(frozen=True, kw_only=True)
class OwnNetwork(NetworkSettings):
    """A network without a package."""

    predicts: Prediction = key("what the network predicts")
    schedule: Literal["cosine", "linear", "vp", "ve"] | dict[str, Any] | None = key(
        "a schedule, as cosine or {name: vp, beta_min: 0.1}, or leave it out where only a velocity is known",
        default=None,
    )
    time: tuple[float, float] = key("the network's own time at the data and at the noise, two numbers", default=(0, 1))
    times: Literal["one", "batch", "column"] = key(
        "the shape of the network's time: one number, one for each sample of a batch, or a column", default="batch"
    )
    call: Call = key("how the network is called", default="x, t")
    zero_centre: bool = key("true for states whose points have their centroid at zero", default=False)
    mask: list[Any] | None = key("true for each real place of a padded network, false for its padding", default=None)
    periodic: bool = key("true for states that are angles in radians, modulo 2π", default=False)

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, self.time)) or self.time[0] == self.time[1]:
            raise ConfigError(f"time is {list(self.time)}: give two different finite numbers, as [0, 1]")

    def build(self) -> DiffusionModel | VelocityModel:
        context, mask = as_tensors(self.context), None if self.mask is None else torch.tensor(self.mask)
        wrapped = _OwnTime(self.net(), self.time, self.times, self.call, self.predicts == "velocity")
        check_network(wrapped, self.event_shape, context, self.call)
        if self.schedule is None:
            if self.predicts != "velocity" or self.zero_centre:
                raise ConfigError(
                    "'schedule' is missing in 'model': only a velocity without zero_centre can do without"
                )
            prior = UniformAngles() if self.periodic else StandardNormal()
            return VelocityModel(wrapped, self.event_shape, prior, context=context, mask=mask, **self.units)
        subspace = ZeroCentre() if self.zero_centre else None
        return DiffusionModel(
            wrapped, _schedule(self.schedule), self.predicts, self.event_shape, subspace, context=context, mask=mask,
            periodic=self.periodic, **self.units,
        )  # fmt: skip


class _OwnTime(Wrapped):
    """The network at its own time, and a velocity in ours."""

    def __init__(
        self, net: Callable[..., Any], time: tuple[float, float], times: str, call: Call, is_velocity: bool
    ) -> None:
        super().__init__(net)
        self.start, self.rate = time[0], time[1] - time[0]
        self.sign = -1 if is_velocity and self.rate < 0 else 1
        self.times, self.call = times, call

    def forward(self, x: Tensor, t: Tensor, **context: Any) -> Tensor:
        s = self.start + self.rate * t
        s = s if self.times == "one" else s.expand(len(x))
        s = s[:, None] if self.times == "column" or self.call == "concatenated" else s
        if self.call == "concatenated":
            y = self.net(torch.cat([x, s.expand(len(x), 1)], dim=-1), **context)
        else:
            y = self.net(s, x, **context) if self.call == "t, x" else self.net(x, s, **context)
        return y if self.sign > 0 else -y


def _schedule(given: str | Mapping[str, Any]) -> Schedule:
    parts = {"name": given} if isinstance(given, str) else dict(given)
    name = str(parts.get("name"))
    try:
        return schedule_from({**parts, "name": _SCHEDULES.get(name, name)})
    except (KeyError, TypeError) as error:
        raise ConfigError(
            f"schedule {dict(parts)} cannot be used ({brief(error)}): give cosine, linear, vp or ve, or such a name "
            "with its numbers, as {name: vp, beta_min: 0.1, beta_max: 20}"
        ) from error


def as_tensor(value: float | list[Any]) -> float | Tensor:
    """A number, or a tensor of a list."""
    return _tensor(value).to(torch.get_default_dtype()) if isinstance(value, list) else value


def as_tensors(context: Mapping[str, Any] | None) -> dict[str, Any]:
    """Arguments of a network, with a tensor for each list, in inner dictionaries too."""
    return {
        name: _tensor(one) if isinstance(one, list) else as_tensors(one) if isinstance(one, Mapping) else one
        for name, one in (context or {}).items()
    }


def _tensor(value: list[Any]) -> Tensor:
    try:
        return torch.tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"{quoted(value)} is no table of numbers ({brief(error)}): give rows of one length"
        ) from error


ADAPTERS: Mapping[str, type[ModelSettings]] = {"network": OwnNetwork}
