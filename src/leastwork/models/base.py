"""What the library asks of a model: a frozen dataclass with these properties and methods, whatever its kind.

A kind of model of one's own is a class that has them; nothing outside this folder asks of which class a model is.
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

__all__ = ["Flow", "Model", "Scored", "is_flow", "is_scored"]


class Model(Protocol):
    """A pre-trained model, from noise at t_max to data at t_min; states are in network units."""

    @property
    def net(self) -> Callable[..., Any]:
        """The network; ``dataclasses.replace(model, net=...)`` is the same model with another one."""
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
        """Whether it has a score, and so an SDE: it is :class:`Scored` then, and else a :class:`Flow`."""
        ...

    @property
    def angles(self) -> AngleSchedule | None:
        """σ_R of its rotations, or None where its states have none."""
        ...

    @property
    def has_rotations(self) -> bool:
        """Whether its states are rigid frames."""
        ...

    @property
    def prior_scale(self) -> float:
        """Standard deviation of a coordinate of the noise at t_max; of a prior of one's own, its unit."""
        ...

    @property
    def units(self) -> ToData:
        """The map from network units to data units, an ``Affine`` where a file can hold it."""
        ...

    def from_noise(self, noise: State) -> State:
        """States at t_max from standard normal noise, (B, *noise)."""
        ...

    def surprise(self, z: State) -> Tensor:
        """z-score of −ln(prior density) at states at t_max, float64 (B,)."""
        ...

    def project(self, x: State) -> State:
        """Onto the model's subspace, if it lives on one."""
        ...

    def estimate(self, x: State, t: float) -> State:
        """y(x, t), which a step takes: the denoiser D, or a velocity; of frames D and the score of rotations."""
        ...

    def endpoint(self, x: State, y: State, t: float) -> State:
        """What is expected at t = 0, from y(x, t)."""
        ...

    def finish(self, x: State, t: float) -> State:
        """The sample that the last step's state at t becomes: by one denoising step, or of a flow as it is."""
        ...

    def velocity(self, x: State, t: float) -> State:
        """dx/dt of the probability-flow ODE."""
        ...

    def coefficients(self, t: Tensor, kappa: float) -> Coefficients:
        """Drift and diffusion at times t, float64 (S+1,), at noise level κ."""
        ...

    def to_data_units(self, z: State) -> State:
        """The state as observables see it."""
        ...

    def to_network_units(self, x: State) -> State:
        """The state as the network sees it."""
        ...

    def parameters(self) -> list[nn.Parameter]:
        """Parameters of the network, none if it is a plain function."""
        ...


class Scored(Model, Protocol):
    """A model that has a score: it was made by adding noise, which can be added again."""

    @property
    def schedule(self) -> Schedule:
        """α and σ, of positions where there are rotations too."""
        ...

    @property
    def subspace(self) -> Subspace | None:
        """The linear subspace on which the model lives, of positions where there are rotations too."""
        ...

    def predict(self, x: State, t: float) -> State:
        """The network's own output, which contains x only by way of the network."""
        ...

    def score(self, x: State, t: float) -> State:
        """∇ ln p_t(x)."""
        ...

    def denoise(self, x: State, t: float) -> State:
        """D(x, t), the expected end of the state at (x, t)."""
        ...

    def noised(self, x0: State, t: float, random: torch.Generator) -> tuple[State, Tensor, Tensor]:
        """Samples carried to t, the lever of each coordinate on the work, (1, ·), and lever · −(conditional score).

        The lever of a coordinate is g/√|dℓ/dt|, so that with t uniform in the log-SNR ℓ half its square times |h|² is
        the work of h; of Gaussian noise it is σ, and what is returned last the noise itself, (B, ·).
        """
        ...

    def expected_noise(self, x: State, y: State, t: float, lever: Tensor) -> Tensor:
        """lever · −(score), (B, ·), what the model expects of the noise; y: ``estimate(x, t)``."""
        ...

    def project_tangent(self, x: State, tangent: Tensor) -> Tensor:
        """A flat tangent at x, (B, ·), on the model's subspace, if it lives on one."""
        ...


class Flow(Model, Protocol):
    """A model of which nothing but the velocity and the prior density is known."""

    @property
    def prior(self) -> Prior:
        """The density at t_max."""
        ...

    @property
    def scale(self) -> float | Tensor:
        """Length of one network unit in data units."""
        ...


def is_scored(model: Model) -> TypeGuard[Scored]:
    """Whether a model has a score, so that a type checker knows it too."""
    return model.has_score


def is_flow(model: Model) -> TypeGuard[Flow]:
    """Whether a model is nothing but a velocity and a prior density, so that a type checker knows it too."""
    return not model.has_score
