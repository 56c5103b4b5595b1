"""Protocol of a model: a frozen dataclass with the following properties and methods, whatever its kind.

Any class that has them is a model; no code outside this folder depends on the class of a model.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeGuard

import torch
from torch import Tensor, nn

from leastwork.geometry.euclidean import Subspace
from leastwork.geometry.state import EventShape, State
from leastwork.models.coefficients import Coefficients
from leastwork.models.units import ToData
from leastwork.models.velocity import Prior
from leastwork.schedules.angles import AngleSchedule
from leastwork.schedules.base import Schedule
from leastwork.support.arguments import refused

__all__ = ["Flow", "Model", "Scored", "as_model", "is_flow", "is_model", "is_periodic", "is_scored"]


class Model(Protocol):
    """A pre-trained model, from noise at t_max to data at t_min; states are in network units."""

    @property
    def net(self) -> Callable[..., Any]:
        """The network; ``dataclasses.replace(model, net=...)`` gives the same model with another network."""
        ...

    @property
    def event_shape(self) -> EventShape:
        """Shape of one sample."""
        ...

    @property
    def noise_shape(self) -> EventShape:
        """Shape of the noise of one sample."""
        ...

    @property
    def dimension(self) -> int:
        """Degrees of freedom of one sample."""
        ...

    @property
    def interval(self) -> tuple[float, float]:
        """[t_min, t_max] on which the model may be used."""
        ...

    @property
    def has_score(self) -> bool:
        """Whether the model has a score, and so an SDE: it is then :class:`Scored`, otherwise a :class:`Flow`."""
        ...

    @property
    def angles(self) -> AngleSchedule | None:
        """The schedule σ_R of the rotations, or None if the states have no rotations."""
        ...

    @property
    def has_rotations(self) -> bool:
        """Whether the states are rigid frames."""
        ...

    @property
    def prior_scale(self) -> float:
        """Standard deviation of a coordinate of the noise at t_max."""
        ...

    @property
    def units(self) -> ToData:
        """The map from network units to data units; an ``Affine`` can be saved."""
        ...

    def from_noise(self, noise: State) -> State:
        """States at t_max from standard normal noise, (B, *noise)."""
        ...

    def surprise(self, z: State) -> Tensor:
        """z-score of −ln(prior density) at states at t_max, float64 (B,)."""
        ...

    def project(self, x: State) -> State:
        """Project a state onto the model's subspace, if there is one."""
        ...

    def estimate(self, x: State, t: float) -> State:
        """y(x, t), used by a step: the denoiser D or the velocity; for frames, D and the score of the rotations."""
        ...

    def endpoint(self, x: State, y: State, t: float) -> State:
        """The model's estimate of the state at t = 0, from y(x, t)."""
        ...

    def finish(self, x: State, t: float) -> State:
        """The sample from the state of the last step at t: after one denoising step, or for a flow unchanged."""
        ...

    def velocity(self, x: State, t: float) -> State:
        """dx/dt of the probability-flow ODE."""
        ...

    def coefficients(self, t: Tensor, kappa: float) -> Coefficients:
        """Drift and diffusion at times t, float64 (S+1,), at noise level κ."""
        ...

    def to_data_units(self, z: State) -> State:
        """The state in data units, in which observables are evaluated."""
        ...

    def to_network_units(self, x: State) -> State:
        """The state in network units."""
        ...

    def parameters(self) -> list[nn.Parameter]:
        """Parameters of the network; an empty list if it is a plain function."""
        ...


class Scored(Model, Protocol):
    """A model that has a score, since it was trained on noised data; noise can be added to a state again."""

    @property
    def schedule(self) -> Schedule:
        """The schedule α and σ; for frames, that of the positions."""
        ...

    @property
    def subspace(self) -> Subspace | None:
        """The linear subspace of the states, or None; for frames, that of the positions."""
        ...

    def predict(self, x: State, t: float) -> State:
        """The network's own output, which depends on x through the network only."""
        ...

    def score(self, x: State, t: float) -> State:
        """∇ ln p_t(x)."""
        ...

    def denoise(self, x: State, t: float) -> State:
        """D(x, t) = E[x_0 | x_t = x]."""
        ...

    def noised(self, x0: State, t: float, random: torch.Generator) -> tuple[State, Tensor, Tensor]:
        """Samples with the noise of time t, the levers (1, ·) of the coordinates, −lever · conditional score (B, ·).

        The lever of a coordinate is g/√|dℓ/dt|: with t uniform in the log-SNR ℓ, ½∫|lever·h|² dℓ is the work of h. For
        Gaussian noise the lever is σ, and the last result is the noise itself.
        """
        ...

    def expected_noise(self, x: State, y: State, t: float, lever: Tensor) -> Tensor:
        """−lever · score, (B, ·), the model's estimate of the noise; y: ``estimate(x, t)``."""
        ...

    def project_tangent(self, x: State, tangent: Tensor) -> Tensor:
        """Project a flat tangent at x, (B, ·), onto the model's subspace, if there is one."""
        ...


class Flow(Model, Protocol):
    """A model that has only a velocity and a prior density."""

    @property
    def prior(self) -> Prior:
        """The density at t_max."""
        ...

    @property
    def scale(self) -> float | Tensor:
        """Length of one network unit in data units."""
        ...


def is_model(value: object) -> TypeGuard[Model]:
    """Whether an object has the properties and methods of a model."""
    return all(hasattr(value, name) for name in ("net", "event_shape", "has_score", "estimate", "coefficients"))


def as_model(value: object) -> Model:
    """The model that an argument is.

    Raises:
        LeastworkError: it is none.
    """
    if not is_model(value):
        raise refused(
            "model", value, "give a model: wrap a network as lw.DiffusionModel(...) or lw.VelocityModel(...), and load "
            "a name or a folder by lw.load_model(...)"
        )  # fmt: skip
    return value


def is_scored(model: Model) -> TypeGuard[Scored]:
    """Whether a model has a score; narrows its type."""
    return model.has_score


def is_flow(model: Model) -> TypeGuard[Flow]:
    """Whether a model has only a velocity and a prior density; narrows its type."""
    return not model.has_score


def is_periodic(model: Model) -> bool:
    """Whether states are angles, rad, equal modulo 2π; a kind of model without ``periodic`` has none."""
    return bool(getattr(model, "periodic", False))
