"""A continuous normalizing flow: dx/dt = u(x, t), with x(1) from a prior (Chen et al., NeurIPS 2018).

There is only a velocity, hence no score and no SDE: guidance is an added velocity, and its cost is the kinetic action.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from leastwork.errors import LeastworkError
from leastwork.geometry.state import EventShape, State, event_numel, inner, leaves, shapes, smap
from leastwork.geometry.torus import uniform_angles, wrap
from leastwork.models.coefficients import Coefficients, flow_coefficients
from leastwork.models.context import arguments
from leastwork.models.contract import answered, asked, check_parts
from leastwork.models.mask import MaskLike, padded, padded_shapes, unmasked, unpadded
from leastwork.models.units import Affine, check_units, is_identity, to_data_units, to_network_units
from leastwork.schedules.base import check_interval
from leastwork.support.above import above
from leastwork.support.arguments import number, yes_or_no
from leastwork.support.random import generator

__all__ = ["Prior", "StandardNormal", "UniformAngles", "VelocityModel"]

_PRIOR_DRAWS = 4096  # draws of the prior, for the z-scores of −ln(prior density)


@runtime_checkable
class Prior(Protocol):
    """The density at t = 1, as a push-forward of standard normal noise."""

    def from_noise(self, noise: State) -> State: ...
    def log_prob(self, x: State) -> Tensor: ...


@dataclass(frozen=True)
class StandardNormal:
    """N(0, scale²) in every coordinate.

    >>> StandardNormal().log_prob(torch.zeros(1, 2)).item() + torch.log(torch.tensor(2 * torch.pi)).item()
    0.0
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        if not number("scale", self.scale, "give the standard deviation of the prior, above 0") > 0:
            raise LeastworkError(f"scale={self.scale}: give the standard deviation of the prior, above 0")

    def from_noise(self, noise: State) -> State:
        return smap(lambda leaf: self.scale * leaf, noise)

    def log_prob(self, x: State) -> Tensor:
        d = sum(leaf[0].numel() for leaf in leaves(x))
        normalisation = torch.tensor(2 * torch.pi * self.scale**2, dtype=torch.float64).log().item()
        return -0.5 * inner(x, x) / self.scale**2 - 0.5 * d * normalisation


@dataclass(frozen=True)
class UniformAngles:
    """Independent uniform angles, rad: the prior of a flow on the torus, whose states are angles in [−π, π).

    >>> UniformAngles().from_noise(torch.tensor([[0.0, 9.0]]))
    tensor([[0.0000, 3.1416]])
    """

    def from_noise(self, noise: State) -> State:
        return smap(uniform_angles, noise)

    def log_prob(self, x: State) -> Tensor:
        d = sum(leaf[0].numel() for leaf in leaves(x))
        return leaves(x)[0].new_full((len(leaves(x)[0]),), -d * math.log(2 * math.pi))


@dataclass(frozen=True)
class VelocityModel:
    """A general continuous normalizing flow given by its velocity network.

    Args:
        net: called as ``net(x, t, **context)``, returns dx/dt; x: (B, *event); t: scalar tensor, t = 0 the data.
        event_shape: shape of one sample.
        prior: the density at t = 1; ``UniformAngles()`` for a flow on the torus, whose network is asked at angles
            in [−π, π), so that the velocity is periodic.
        data_at_one: True if the network's own time runs from noise at 0 to data at 1; then u(x, t) = −net(x, 1 − t).
        shift, scale: numbers, or tensors that broadcast to an event; data units = shift + scale · network units.
        context: keyword arguments for a conditional network; a tensor of leading size 1 is expanded to the batch, and
            :class:`leastwork.PerSample` has a row for each sample.
        mask: for a network that is padded, as in :class:`leastwork.DiffusionModel`.

    >>> flow = VelocityModel(lambda x, t: x, event_shape=(2,))
    >>> flow.velocity(torch.ones(1, 2), 0.5)
    tensor([[1., 1.]])
    """

    net: Callable[..., Any]
    event_shape: EventShape
    prior: Prior = field(default_factory=StandardNormal)
    data_at_one: bool = False
    shift: float | Tensor = 0.0
    scale: float | Tensor = 1.0
    context: Mapping[str, Any] = field(default_factory=dict)
    t_min: float = 0.0
    t_max: float = 1.0
    mask: MaskLike = None

    def __post_init__(self) -> None:
        check_parts(self.net, self.context)
        check_interval(self.t_min, self.t_max)
        yes_or_no("data_at_one", self.data_at_one)
        if not isinstance(self.prior, Prior):
            raise LeastworkError(f"prior={self.prior!r} lacks from_noise or log_prob: pass e.g. StandardNormal()")
        mask, event_shape = unmasked(self.mask, self.event_shape)
        object.__setattr__(self, "mask", mask)
        object.__setattr__(self, "event_shape", event_shape)
        check_units(self.event_shape, self.scale, self.shift)
        if self.periodic and not is_identity(self.shift, self.scale):
            raise LeastworkError("angles are in radians: leave out shift and scale")

    def _repr_html_(self) -> str:
        return above("leastwork.models.summary", "model_table")(self)

    @property
    def noise_shape(self) -> EventShape:
        """Shape of the noise of one sample, the same as that of the sample."""
        return self.event_shape

    @property
    def interval(self) -> tuple[float, float]:
        """[t_min, t_max]."""
        return self.t_min, self.t_max

    @property
    def has_score(self) -> bool:
        return False

    @property
    def angles(self) -> None:
        """None, since the states have no rotations."""
        return None

    @property
    def has_rotations(self) -> bool:
        return False

    @property
    def periodic(self) -> bool:
        """Whether states are angles, rad."""
        return isinstance(self.prior, UniformAngles)

    @property
    def prior_scale(self) -> float:
        """Standard deviation of a coordinate of the prior, its attribute ``scale``, or 1 if it has none."""
        return float(getattr(self.prior, "scale", 1.0))

    @property
    def dimension(self) -> int:
        """Degrees of freedom of one sample."""
        return event_numel(self.event_shape)

    def velocity(self, x: State, t: float) -> State:
        """u(x, t) = dx/dt in network units, (B, *event)."""
        first, inside = leaves(x)[0], padded(smap(wrap, x) if self.periodic else x, self.mask)
        time = torch.tensor(1 - t if self.data_at_one else t, dtype=first.dtype, device=first.device)
        found = asked(self.net, inside, time, arguments(self.context, first), x)
        u = unpadded(answered(inside, found, padded_shapes(shapes(self.event_shape), self.mask), t), self.mask)
        return smap(torch.neg if self.data_at_one else torch.clone, u)  # it may write its next output to the same place

    @property
    def units(self) -> Affine:
        """The map from network units to data units."""
        return Affine(self.shift, self.scale)

    def project(self, x: State) -> State:
        """The state itself, since a flow has no subspace."""
        return x

    def estimate(self, x: State, t: float) -> State:
        """The prediction that a step uses: u(x, t)."""
        return self.velocity(x, t)

    def endpoint(self, x: State, y: State, t: float) -> State:
        """The estimate of the state at t = 0: the end of the straight line, x − t u."""
        return self.finish(smap(lambda a, b: a - t * b, x, y), t)

    def finish(self, x: State, t: float) -> State:
        """The state itself, since the ODE ends at the data; angles in [−π, π)."""
        return smap(wrap, x) if self.periodic else x

    def coefficients(self, t: Tensor, kappa: float) -> Coefficients:
        """Drift and diffusion at times t, float64 (S+1,)."""
        return flow_coefficients(t)

    def from_noise(self, noise: State) -> State:
        """States at t_max from standard normal noise."""
        return self.prior.from_noise(noise)

    def surprise(self, z: State) -> Tensor:
        """z-score of −ln(prior density), relative to draws of the prior, float64 (B,); zero for a uniform prior."""
        if self.periodic:
            return leaves(z)[0].new_zeros(len(leaves(z)[0]), dtype=torch.float64)
        like, draw = leaves(z)[0], generator(0, "prior distance")
        noise = tuple(torch.randn(_PRIOR_DRAWS, *shape, generator=draw).to(like) for shape in shapes(self.event_shape))
        typical = -self.prior.log_prob(self.prior.from_noise(noise if isinstance(z, tuple) else noise[0])).double()
        return (-self.prior.log_prob(z).double() - typical.mean()) / typical.std()

    def to_data_units(self, z: State) -> State:
        """x = shift + scale · z."""
        return to_data_units(z, self.shift, self.scale)

    def to_network_units(self, x: State) -> State:
        """z = (x − shift)/scale."""
        return to_network_units(x, self.shift, self.scale)

    def parameters(self) -> list[nn.Parameter]:
        """Parameters of the network; an empty list if it is a plain function."""
        return list(self.net.parameters()) if isinstance(self.net, nn.Module) else []
