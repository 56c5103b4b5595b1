"""A pre-trained diffusion model of rigid frames: Gaussian noise on positions, Brownian motion on rotations.

    p_t = α p_0 + σ ε        R_t = R_0 exp(ω̂), ω̂ of variance σ_R(t)² a coordinate (igso3)

    dp = [f p − ½(1+κ²) g² (s_p + h_p)] dt + κ g dW̄        dR = R (−½(1+κ²) g_R² (s_R + h_R) dt + κ g_R dW̄)^

with g_R² = dσ_R²/dt (Yim et al., ICML 2023; BioEmu: Lewis et al., Science 389, eadv9817, 2025). The network gives both
scores; rotations are in the residue's own frame.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from leastwork.errors import LeastworkError
from leastwork.geometry import igso3
from leastwork.geometry.euclidean import ZeroCentre
from leastwork.geometry.frames import Frames, Tangent, flat_tangent, tangent_from
from leastwork.geometry.rotations import exp, uniform
from leastwork.geometry.state import State, shapes
from leastwork.models.coefficients import Coefficients, gaussian_coefficients
from leastwork.models.context import arguments
from leastwork.models.contract import answered, asked, check_parts
from leastwork.models.mask import MaskLike, padded, padded_shapes, unmasked, unpadded
from leastwork.models.predictions import Moments
from leastwork.models.units import ToData, check_units
from leastwork.schedules.angles import AngleSchedule
from leastwork.schedules.base import Schedule
from leastwork.support.above import above

__all__ = ["FrameModel"]

_NO_VELOCITY = "frames cannot be carried by transport: draw them with process='ode'"


@dataclass(frozen=True)
class FrameModel:
    """A model of N rigid frames, given by a network for its two scores.

    Args:
        net: called as ``net((p, R), t, **context)``; p: positions in network units, (B, N, 3), R: (B, N, 3, 3), t:
            scalar tensor in [0, 1] with t = 0 the data; returns the scores of positions, world frame, and of
            rotations, own frame, (B, N, 3) each.
        schedule: the schedule α and σ of the positions.
        angles: the schedule σ_R of the rotations, rad.
        residues: number N of frames.
        scale: length of one network unit in data units.
        subspace: ``ZeroCentre()`` if the positions are centred.
        context: keyword arguments for a conditional network; a tensor of leading size 1 is expanded to the batch, and
            :class:`leastwork.PerSample` has a row for each sample.
        mask: for a network that is padded, bools (N,), True for residues that are real. States are then these residues
            alone; only the network sees the others, at the origin and not rotated (:mod:`leastwork.models.mask`).

    Raises:
        LeastworkError: a size, the scale, the schedule or the mask cannot be used.
    """

    net: Callable[..., Any]
    schedule: Schedule
    angles: AngleSchedule
    residues: int
    scale: float = 1.0
    subspace: ZeroCentre | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    mask: MaskLike = None

    def __post_init__(self) -> None:
        check_parts(self.net, self.context, self.schedule)
        mask, (real, *_) = unmasked(self.mask, (self.residues,))
        object.__setattr__(self, "mask", mask)
        object.__setattr__(self, "residues", real)
        if self.residues < 1:
            raise LeastworkError(f"residues={self.residues}: a model of frames has at least one")
        if not isinstance(self.schedule, Schedule):
            raise LeastworkError(f"schedule={self.schedule!r} lacks alpha, sigma, … : pass e.g. VPSchedule(0.1, 20.0)")
        if Moments.at(self.schedule, self.schedule.t_max).alpha == 0:
            raise LeastworkError("a score does not fix the data at t_max, where alpha = 0: end the schedule before")
        check_units(self.event_shape, self.scale)

    @property
    def event_shape(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of the positions and of the rotations."""
        return (self.residues, 3), (self.residues, 3, 3)

    def _repr_html_(self) -> str:
        return above("leastwork.models.summary", "model_table")(self)

    @property
    def noise_shape(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of the noise of positions and of rotations."""
        return (self.residues, 3), (self.residues, 3)

    @property
    def interval(self) -> tuple[float, float]:
        """[t_min, t_max] of the schedule."""
        return self.schedule.t_min, self.schedule.t_max

    @property
    def has_score(self) -> bool:
        return True

    @property
    def has_rotations(self) -> bool:
        return True

    @property
    def dimension(self) -> int:
        """Degrees of freedom of one sample."""
        return 6 * self.residues - (0 if self.subspace is None else 3)

    def project(self, x: State) -> State:
        """States or tangents, with centred positions if the model has centred positions."""
        if self.subspace is None:
            return x
        centred = self.subspace.project(x[0])
        assert isinstance(centred, Tensor)
        return centred, x[1]

    @property
    def units(self) -> ToData:
        """The map from network units to data units."""
        return self.to_data_units

    def to_data_units(self, z: State) -> State:
        return z if self.scale == 1.0 else (self.scale * z[0], z[1])

    def to_network_units(self, x: State) -> State:
        return x if self.scale == 1.0 else (x[0] / self.scale, x[1])

    def score(self, x: State, t: float) -> Tangent:
        """∇ ln p_t of positions and rotations, (B, N, 3) each."""
        time, inside = torch.tensor(t, dtype=x[0].dtype, device=x[0].device), padded(x, self.mask)
        found = asked(self.net, inside, time, arguments(self.context, x[0]), x)
        found = answered(inside, found, padded_shapes(shapes(self.noise_shape), self.mask), t)
        shift, turn = self.project(unpadded(found, self.mask))
        return shift, turn

    def estimate(self, x: State, t: float) -> tuple[Tensor, Tensor]:
        """The prediction that a step uses: the denoised positions D, and the score of the rotations."""
        m = Moments.at(self.schedule, t)
        shift, turn = self.score(x, t)
        return (x[0] + m.sigma**2 * shift) / m.alpha, turn

    def endpoint(self, x: State, y: State, t: float) -> Frames:
        """The estimate of the state at t = 0: D, and R exp(σ_R² s_R), which is correct to first order in the angle."""
        return y[0], x[1] @ exp(self._angle(t) ** 2 * y[1])

    def denoise(self, x: State, t: float) -> Frames:
        """The estimate of the state at t = 0 from (x, t)."""
        return self.endpoint(x, self.estimate(x, t), t)

    def _angle(self, t: float) -> float:
        return float(self.angles.sigma(torch.tensor(t, dtype=torch.float64)))

    def finish(self, x: State, t: float) -> Frames:
        """The last denoising step."""
        return self.denoise(x, t)

    def predict(self, x: State, t: float) -> Tangent:
        """The network's own output, both scores."""
        return self.score(x, t)

    def velocity(self, x: State, t: float) -> State:
        raise LeastworkError(_NO_VELOCITY)

    def surprise(self, z: State) -> Tensor:
        raise LeastworkError(_NO_VELOCITY)

    def coefficients(self, t: Tensor, kappa: float) -> Coefficients:
        """Drift and diffusion of positions at times t, float64 (S+1,); infinite where the schedule is singular."""
        return gaussian_coefficients(self.schedule, t, kappa)

    @property
    def prior_scale(self) -> float:
        """Standard deviation of the positions' prior at t_max."""
        return Moments.at(self.schedule, self.schedule.t_max).sigma

    def from_noise(self, noise: State) -> Frames:
        """Frames at t_max from standard normal noise: Gaussian positions and uniform rotations."""
        shift, turn = self.project(noise)
        return self.prior_scale * shift, uniform(turn)

    def noised(self, x0: State, t: float, random: torch.Generator) -> tuple[Frames, Tensor, Tensor]:
        """Frames with the noise of time t, the lever of each coordinate, and −lever · (conditional score), flat.

        The lever of a coordinate is g/√|dℓ/dt|: with t uniform in the log-SNR ℓ, ½∫|lever·h|² dℓ is the work of h. For
        positions the lever is σ; for rotations it follows from the growth of their noise with ℓ.

        Returns:
            the frames, (1, 6N) levers, and (B, 6N).
        """
        m = Moments.at(self.schedule, t)
        epsilon = torch.randn(x0[0].shape, generator=random, dtype=torch.float64).to(x0[0])
        if self.subspace is not None:
            epsilon = self.project((epsilon, epsilon))[0]
        rotation, conditional = igso3.noised(x0[1], self._angle(t), random)
        x = (m.alpha * x0[0] + m.sigma * epsilon, rotation)
        levers = torch.full((6 * self.residues,), self._lever(t)).to(epsilon)
        levers[: 3 * self.residues] = m.sigma
        return x, levers[None], -(levers * flat_tangent((-epsilon / m.sigma, conditional)))

    def expected_noise(self, x: State, y: State, t: float, lever: Tensor) -> Tensor:
        """−lever · score, flat (B, 6N); y: the estimate at x."""
        m = Moments.at(self.schedule, t)
        shift = (m.alpha * y[0] - x[0]) / m.sigma**2
        return -lever * torch.cat([shift.flatten(1), y[1].flatten(1)], dim=1)

    def project_tangent(self, x: State, tangent: Tensor) -> Tensor:
        """A flat tangent, (B, 6N), with centred positions if the model has centred positions."""
        shift, turn = self.project(tangent_from(tangent))
        return flat_tangent((shift, turn))

    def _lever(self, t: float) -> float:
        """g_R/√|dℓ/dt|."""
        time = torch.tensor(t, dtype=torch.float64)
        alpha, sigma = self.schedule.alpha(time), self.schedule.sigma(time)
        rate = 2 * (self.schedule.alpha_dot(time) / alpha - self.schedule.sigma_dot(time) / sigma)
        return float((self.angles.diffusion_squared(time) / rate.abs()).sqrt())

    def parameters(self) -> list[nn.Parameter]:
        """Parameters of the network; an empty list if it is a plain function."""
        return list(self.net.parameters()) if isinstance(self.net, nn.Module) else []
