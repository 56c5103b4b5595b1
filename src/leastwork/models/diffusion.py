"""A pre-trained diffusion or flow-matching model: D(x, t) = E[x_0 | x_t = x] from any of five predictions.

The model lives in *network units* z: x = shift + scale · z are the *data units* of the user (nanometres, say).
Noise, score, guidance and work are computed in network units, where the schedule applies; observables are
evaluated, and samples returned, in data units. Work and weights do not depend on the choice of units.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import torch
from torch import Tensor, nn

from leastwork.errors import LeastworkError
from leastwork.geometry.euclidean import Subspace
from leastwork.geometry.state import EventShape, State, event_numel, flatten, inner, leaves, shapes, smap, unflatten
from leastwork.geometry.torus import noise_on_circle, uniform_angles, wrap
from leastwork.models.coefficients import Coefficients, gaussian_coefficients
from leastwork.models.context import arguments
from leastwork.models.contract import answered, asked, check_parts
from leastwork.models.latents import Decoder
from leastwork.models.mask import MaskLike, padded, padded_shapes, unmasked, unpadded
from leastwork.models.predictions import Moments, Prediction, from_data, to_data
from leastwork.models.units import Affine, ToData, check_units, is_identity, to_network_units
from leastwork.schedules.base import Schedule
from leastwork.support.above import above
from leastwork.support.text import quoted

__all__ = ["DiffusionModel"]


@dataclass(frozen=True)
class DiffusionModel:
    """A Gaussian-path model given by a network and its schedule.

    Args:
        net: called as ``net(x, t, **context)``; x: network units, (B, *event); t: scalar tensor in [0, 1] with
            t = 0 the data; returns the prediction, same structure as x.
        schedule: the schedule α and σ.
        predicts: kind of the network's output: "score", "noise", "data", "velocity" (α̇D + σ̇ε) or "v" (αε − σD).
        event_shape: shape of one sample, or a tuple of shapes for a state of several tensors.
        subspace: linear subspace of the states, such as ``ZeroCentre()``.
        shift, scale: numbers, or tensors that broadcast to an event; data units = shift + scale · network units.
        context: keyword arguments for a conditional network; a tensor of leading size 1 is expanded to the batch, and
            :class:`leastwork.PerSample` has a row for each sample.
        decode: for a latent model, in place of shift and scale: function from latents (B, *event) to data (B, ...).
            Samples stay latents; observables and regions see them decoded, in pieces and without a graph. Only methods
            with gradients of observables differentiate it ("scheduled", "loss", "adjoint-matching").
        encode: the exact inverse of ``decode``, encode(decode(z)) = z; with it samples are decoded data.
        mask: for a network that is padded, bools (N, ...) for the first axes of an event, True where it is real. States
            are then the real coordinates alone, (n, ...) in place of (N, ...), as are shift, scale and samples; only
            the network sees the padding, as zeros (:mod:`leastwork.models.mask`).
        periodic: whether states are angles, rad, with wrapped noise and a uniform prior (see below).

    Raises:
        LeastworkError: the prediction is unknown, the scale is not positive, there is an encoder alone, the mask does
            not fit, or angles have other noise than θ_0 + σε, a subspace or other units.

    Periodic models (Torsional Diffusion, Jing et al., NeurIPS 2022): θ_t = θ_0 + σε modulo 2π, α = 1. The chain runs on
    the line, of which the circle is the quotient: the network is asked at wrapped angles, so that score and D − x are
    periodic; h has to be, too, as it is if observables are. Then a step θ + b σ²(s + h) + c z commutes with turns by
    2π, and for functions of angles E_Q[φ dP/dQ] = E_P[φ] with dP/dQ the product of the Gaussian kernels of the steps on
    the line. W is the KL of these paths, turns counted; it is never below that of the wrapped paths, and equal to it
    where steps are short, c ≪ π. The prior is the same uniform one for both. Samples are in [−π, π).

    >>> import leastwork as lw
    >>> standard = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(1,))
    >>> standard.denoise(torch.ones(1, 1), 1e-3).round(decimals=3)
    tensor([[1.]])
    """

    net: Callable[..., Any]
    schedule: Schedule
    predicts: Prediction
    event_shape: EventShape
    subspace: Subspace | None = None
    shift: float | Tensor = 0.0
    scale: float | Tensor = 1.0
    context: Mapping[str, Any] = field(default_factory=dict)
    decode: ToData | None = None
    encode: Callable[[State], State] | None = None
    mask: MaskLike = None
    periodic: bool = False

    def __post_init__(self) -> None:
        if self.predicts not in get_args(Prediction):
            known = ", ".join(repr(kind) for kind in get_args(Prediction))
            raise LeastworkError(f"predicts={quoted(self.predicts)} is not a prediction: choose one of {known}")
        check_parts(self.net, self.context, self.schedule)
        if not isinstance(self.schedule, Schedule):
            raise LeastworkError(f"schedule={self.schedule!r} lacks alpha, sigma, … : pass e.g. VPSchedule(0.1, 20.0)")
        if self.predicts in ("score", "noise") and Moments.at(self.schedule, self.schedule.t_max).alpha == 0:
            name = type(self.schedule).__name__
            raise LeastworkError(
                f"predicts={quoted(self.predicts)} does not determine the data at t_max, where alpha = 0: "
                f"end the schedule before, {name}(t_max=0.999)"
            )
        mask, event_shape = unmasked(self.mask, self.event_shape)
        object.__setattr__(self, "mask", mask)
        object.__setattr__(self, "event_shape", event_shape)
        check_units(self.event_shape, self.scale, self.shift)
        if self.decode is None and self.encode is not None:
            raise LeastworkError("encode and decode belong together, as inverses: pass both, or decode alone")
        plain = is_identity(self.shift, self.scale)
        if self.decode is not None and not plain:
            raise LeastworkError("a decoder takes the place of shift and scale: leave them out, or put them into it")
        if self.periodic and not (plain and self.decode is None and self.subspace is None):
            raise LeastworkError("angles are in radians and have no centre: leave out shift, scale, decode, subspace")
        if self.periodic and (self.predicts in ("data", "v") or not _has_no_drift(self.schedule)):
            raise LeastworkError(
                f"predicts={quoted(self.predicts)} with {type(self.schedule).__name__} is not possible on angles, to "
                "which noise is added without a drift: take predicts='score' (or 'noise', 'velocity') and "
                "VESchedule(0.01 * pi, pi)"
            )

    def _repr_html_(self) -> str:
        return above("leastwork.models.summary", "model_table")(self)

    @property
    def noise_shape(self) -> EventShape:
        """Shape of the noise of one sample, the same as that of the sample."""
        return self.event_shape

    @property
    def interval(self) -> tuple[float, float]:
        """[t_min, t_max] of the schedule."""
        return self.schedule.t_min, self.schedule.t_max

    @property
    def has_score(self) -> bool:
        return True

    @property
    def angles(self) -> None:
        """None, since the states have no rotations."""
        return None

    @property
    def has_rotations(self) -> bool:
        return False

    @property
    def dimension(self) -> int:
        """Degrees of freedom of one sample."""
        if self.subspace is not None:
            return self.subspace.dimension(self.event_shape)
        return event_numel(self.event_shape)

    def project(self, x: State) -> State:
        """Projection onto the model's subspace."""
        return x if self.subspace is None else self.subspace.project(x)

    @property
    def units(self) -> ToData:
        """The map from network units to data units, or to latents if these are the samples."""
        return Affine(self.shift, self.scale) if self.decode is None or self.encode is None else Decoder(self.decode)

    @property
    def latent_decoder(self) -> Decoder | None:
        """The decoder through which functions of data see samples, if samples are latents."""
        return Decoder(self.decode) if self.decode is not None and self.encode is None else None

    def to_data_units(self, z: State) -> State:
        """x = shift + scale · z, or decode(z) if there is an encoder."""
        return self.units(z)

    def to_network_units(self, x: State) -> State:
        """z = (x − shift)/scale, or encode(x)."""
        return to_network_units(x, self.shift, self.scale) if self.encode is None else self.encode(x)

    def predict(self, x: State, t: float) -> State:
        """The network's own prediction at x in network units, projected onto the subspace."""
        return self.project(self._call(x, t))

    def _call(self, x: State, t: float) -> State:
        first, inside = leaves(x)[0], padded(smap(wrap, x) if self.periodic else x, self.mask)
        time = torch.tensor(t, dtype=first.dtype, device=first.device)
        found = asked(self.net, inside, time, arguments(self.context, first), x)
        return unpadded(answered(inside, found, padded_shapes(shapes(self.event_shape), self.mask), t), self.mask)

    def denoise(self, x: State, t: float) -> State:
        """D(x, t) = E[x_0 | x_t = x], network units, (B, *event)."""
        return self.project(to_data(self.predicts, self._call(x, t), x, Moments.at(self.schedule, t)))

    def as_prediction(self, kind: Prediction, x: State, t: float) -> State:
        """The prediction of the given kind at (x, t), converted from the network's own."""
        moments = Moments.at(self.schedule, t)
        prediction = self.predict(x, t)
        if kind == self.predicts:
            return prediction
        return from_data(kind, to_data(self.predicts, prediction, x, moments), x, moments)

    def score(self, x: State, t: float) -> State:
        """s(x, t) = ∇ ln p_t(x) = (αD − x)/σ², network units, (B, *event)."""
        return self.as_prediction("score", x, t)

    def velocity(self, x: State, t: float) -> State:
        """u(x, t) = α̇D + σ̇ε, the probability-flow ODE's dx/dt, network units, (B, *event)."""
        return self.as_prediction("velocity", x, t)

    def estimate(self, x: State, t: float) -> State:
        """The prediction that a step uses: D(x, t)."""
        return self.denoise(x, t)

    def endpoint(self, x: State, y: State, t: float) -> State:
        """The estimate of the state at t = 0: D itself, or as angles in [−π, π)."""
        return smap(wrap, y) if self.periodic else y

    def finish(self, x: State, t: float) -> State:
        """The last denoising step."""
        return self.endpoint(x, self.denoise(x, t), t)

    def coefficients(self, t: Tensor, kappa: float) -> Coefficients:
        """Drift and diffusion at times t, float64 (S+1,); infinite where the schedule is singular."""
        return gaussian_coefficients(self.schedule, t, kappa)

    def from_noise(self, noise: State) -> State:
        """States at t_max from standard normal noise."""
        if self.periodic:
            return smap(uniform_angles, noise)
        scale = self.prior_scale
        return smap(lambda leaf: scale * leaf, self.project(noise))

    def surprise(self, z: State) -> Tensor:
        """z-score of −ln(prior density) at states at t_max, (|z|² − d)/√(2d) in units of the prior, float64 (B,).

        All angles are alike to a uniform prior: the score is zero.
        """
        if self.periodic:
            return leaves(z)[0].new_zeros(len(leaves(z)[0]), dtype=torch.float64)
        z = smap(lambda leaf: leaf.to(torch.float64) / self.prior_scale, z)
        d = self.dimension
        return (inner(z, z) - d) / (2 * d) ** 0.5

    def noised(self, x0: State, t: float, random: torch.Generator) -> tuple[State, Tensor, Tensor]:
        """x_t of samples, the lever σ, (1, 1), and the noise ε, flat (B, d), for angles its mean over windings."""
        flat, sigma = flatten(x0), Moments.at(self.schedule, t).sigma
        noise = self.project(unflatten(torch.randn(flat.shape, generator=random).to(flat), x0))
        seen = noise_on_circle(flatten(noise), sigma) if self.periodic else flatten(noise)
        return self.add_noise(x0, noise, t), flat.new_full((1, 1), sigma), seen

    def expected_noise(self, x: State, y: State, t: float, lever: Tensor) -> Tensor:
        """ε̂ = (x − αD)/σ, flat, (B, d)."""
        m = Moments.at(self.schedule, t)
        return (flatten(x) - m.alpha * flatten(y)) / m.sigma

    def project_tangent(self, x: State, tangent: Tensor) -> Tensor:
        """Project a flat tangent, (B, d), onto the model's subspace."""
        return flatten(self.project(unflatten(tangent, x)))

    def add_noise(self, x0: State, noise: State, t: float) -> State:
        """x_t = α x_0 + σ ε, network units."""
        m = Moments.at(self.schedule, t)
        return smap(lambda a, b: m.alpha * a + m.sigma * b, x0, noise)

    @property
    def prior_scale(self) -> float:
        """Standard deviation of the prior at t_max."""
        return Moments.at(self.schedule, self.schedule.t_max).sigma

    def parameters(self) -> list[nn.Parameter]:
        """Parameters of the network; an empty list if it is a plain function."""
        return list(self.net.parameters()) if isinstance(self.net, nn.Module) else []


def _has_no_drift(schedule: Schedule) -> bool:
    ends = torch.tensor([schedule.t_min, schedule.t_max], dtype=torch.float64)
    return bool((schedule.alpha(ends) == 1).all())
