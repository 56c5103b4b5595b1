"""Value network V(x, t), which computes its gradient by x in the same pass:

    V = ρ (v(τ)·z_L + b·τ)    z_l = z_{l−1} + φ(W_l z_{l−1} + b_l + U_l τ),  z_1 = φ(W_1 q + b_1 + U_1 τ)    φ = SiLU

    ρ = α s̄/√(α²s̄² + σ²) · 1/(1 + e^{−(ℓ + 8)/0.25})        ℓ = ln α²s̄²/σ²

q are the inputs that a view computes from the state: standardised coordinates or invariants
(:mod:`leastwork.networks.coordinates`). The state is either the denoised state D(x_t, t), standardised by the data, or
x_t itself, standardised by data and noise; the gradient is by the one that is used. s̄² is the mean variance of the
data over coordinates, and τ are smooth steps in the log-SNR. The factor ρ contains the correlation of x_t and x_0, so
that V vanishes with the signal, as the exact V does. Below a log-SNR of −8, x_t has a thousandth of a nat of
information on x_0 and steps are wide; there V is set to zero, since errors of the network would cost work. The gradient
is written out, so that training needs one ordinary backward pass. Time enters through α and σ, so the network does not
depend on the parametrisation of time. For rigid frames the signal-to-noise ratio of the rotations, which have a noise
schedule of their own, is added to α²s̄²/σ² (:class:`leastwork.networks.frames.Turns`).
"""

from copy import deepcopy
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from leastwork.errors import LeastworkError
from leastwork.networks.angles import Angles, moments_on_circle
from leastwork.networks.coordinates import Coordinates, View
from leastwork.networks.frames import FrameEntries, FrameInvariants, Turns
from leastwork.networks.invariants import Invariants
from leastwork.networks.perceptron import seeded_linear, usual_width

__all__ = ["ValueNetwork", "ValueWithGradient", "sees_denoised", "value_and_gradient"]

_SMOOTHING = 0.05  # noise level, in units of s̄, at which the distances of a denoised state are smoothed
_INVARIANT_WIDTH = 128  # default number of units in a hidden layer of a network of invariants
_CUTOFF, _CUTOFF_WIDTH = -8.0, 0.25  # log-SNR below which V vanishes, and the width of the transition
_STEPS = torch.linspace(-9.0, 12.0, 8)  # log-SNR at the middle of each smooth step


@runtime_checkable
class ValueWithGradient(Protocol):
    """A network that computes its own gradient; any other network is differentiated by autograd."""

    def value_and_gradient(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]: ...


def sees_denoised(network: nn.Module) -> bool:
    """Whether a network takes denoised states: its attribute ``denoised``, or False if it has none."""
    return bool(getattr(network, "denoised", False))


def value_and_gradient(network: nn.Module, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """V (B,) and ∇ₓV (B, d) of any network ``V = network(x, alpha, sigma)``.

    Args:
        network: the network of V, (B, d) -> (B,).
        x: flat states, network units, (B, d).
        alpha, sigma: scalars, or (B,) for a time per sample.
    """
    if isinstance(network, ValueWithGradient):
        return network.value_and_gradient(x, alpha, sigma)
    ambient = torch.is_grad_enabled()
    with torch.enable_grad():
        x = x if ambient and x.requires_grad else x.detach().requires_grad_()
        value = network(x, alpha, sigma)
        (gradient,) = torch.autograd.grad(value.sum(), x, create_graph=ambient)
    return (value, gradient) if ambient else (value.detach(), gradient)


class ValueNetwork(nn.Module):
    """V(x, t) of flat states.

    Args:
        dimension: number of coordinates d of a state.
        width: number of units in each hidden layer; by default 64, more above 8 and above 64 dimensions, and 128 for
            invariants.
        depth: number of hidden layers.
        seed: seed of the initial weights; the global generator is not used.
        focus: whether the inputs also resolve a small part of space, set by :meth:`focus_on`.
        invariant: whether states are d/3 points in space and the inputs are invariants under rotations and shifts.
        frames: whether states are d/12 rigid frames, positions and rotations, so that the gradient is a tangent
            (B, d/2).
        denoised: whether the network takes D(x_t, t) rather than x_t.
        angles: whether states are d angles, of whose cosines and sines V is a function.
        turns: number of entries in the table of the rotations' signal, set by :meth:`know_turns`; 0 for none.

    Raises:
        LeastworkError: a size is below one, or a focus is combined with invariants or angles.

    >>> network = ValueNetwork(2)
    >>> network(torch.randn(3, 2), torch.tensor(0.8), torch.tensor(0.6))  # the head starts at zero
    tensor([0., 0., 0.], grad_fn=<...>)
    """

    power: Tensor
    steps: Tensor

    def __init__(
        self,
        dimension: int,
        width: int | None = None,
        depth: int = 3,
        seed: int = 0,
        focus: bool = False,
        invariant: bool = False,
        frames: bool = False,
        denoised: bool = False,
        angles: bool = False,
        turns: int = 0,
    ) -> None:
        super().__init__()
        width = (_INVARIANT_WIDTH if invariant or frames else usual_width(dimension)) if width is None else width
        if min(dimension, width, depth) < 1:
            raise LeastworkError(f"ValueNetwork({dimension}, {width}, {depth}): every size must be at least 1")
        if invariant and (focus or dimension % 3):
            raise LeastworkError("an invariant network takes points in space, 3 coordinates each, and has no focus")
        if frames and (focus or dimension % 12 or (invariant and dimension < 24)):
            raise LeastworkError(
                "a network of frames has 12 coordinates each, no focus, and two frames to be invariant"
            )
        if angles and (focus or invariant or frames):
            raise LeastworkError("a network of angles has no focus, no invariants and no frames")
        if turns and (turns < 2 or not frames):
            raise LeastworkError(f"turns={turns}: only a network of frames has rotations, in a table of 2 or more")
        self.config: dict[str, Any] = {
            "dimension": dimension,
            "width": width,
            "depth": depth,
            "focus": focus,
            "invariant": invariant,
            "frames": frames,
            "denoised": denoised,
        }
        self.config |= ({"angles": True} if angles else {}) | ({"turns": turns} if turns else {})
        self.denoised = denoised
        self.view = Angles(dimension) if angles else _view(dimension, focus, invariant, frames)
        self.turns = Turns(turns) if turns else None
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("power", torch.ones(()))
        self.register_buffer("steps", _STEPS.clone(), persistent=False)
        self.first = seeded_linear(generator, self.view.count, width)
        self.hidden = nn.ModuleList(seeded_linear(generator, width, width) for _ in range(depth - 1))
        self.time = seeded_linear(generator, len(_STEPS), depth * width, bias=False)
        self.head = seeded_linear(generator, len(_STEPS), width)  # v(τ)
        self.offset = seeded_linear(generator, len(_STEPS), 1, bias=False)
        for parameter in (*self.head.parameters(), *self.offset.parameters()):
            nn.init.zeros_(parameter)

    @torch.no_grad()
    def standardise(self, x0: Tensor) -> "ValueNetwork":
        """Take the scale of the view, and s̄, from data in network units, (n, d)."""
        self.view.standardise(x0)
        if isinstance(self.view, Angles):
            variance = self.view.variance(x0)
        else:
            variance = (x0[:, : x0.shape[1] // 4] if self.config["frames"] else x0).var(dim=0).mean()  # of positions
        self.power.copy_(variance if float(variance) > 0 else torch.ones(()))
        return self

    def focus_on(self, points: Tensor) -> "ValueNetwork":
        """Take the scale of the part of space that matters from points in it, network units, (M, d)."""
        assert isinstance(self.view, Coordinates)
        self.view.focus_on(points)
        return self

    def know_turns(self, log_snr: Tensor, signal: Tensor) -> "ValueNetwork":
        """Take ln SNR of the rotations at values of ln α²/σ² that rise in equal steps, (turns,) each."""
        assert self.turns is not None
        self.turns.ends.copy_(log_snr[[0, -1]])
        self.turns.signal.copy_(signal)
        return self

    @torch.no_grad()
    def look_along(self, x0: Tensor, tilt: Tensor, generator: torch.Generator) -> "ValueNetwork":
        """Align the first layer with the direction in which a tilt moves the inputs; others get half the weight.

        Args:
            x0: data in network units, (n, d).
            tilt: e^r/Z − 1 of each datum, (n,).
            generator: generator of the weight of the direction in each unit.
        """
        one = x0.new_ones(1, 1)
        seen = [self._seen(part, one, 0 * one).values for part in x0.split(8192)]
        direction = tilt.to(x0) @ torch.cat(seen) / len(x0)
        if float(direction.norm()) > 0:
            strength = 2 * torch.randn(len(self.first.weight), 1, generator=generator).to(self.first.weight)
            self.first.weight.mul_(0.5).add_(strength * (direction / direction.norm()).to(strength))
        return self

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """V, (B,), at x (B, d), the denoised or the noisy state; alpha and sigma are scalars or (B,)."""
        features, rho, _, tau, _ = self._hidden(x, alpha, sigma)
        return self._value(features, rho, tau)

    def head_response(self, x: Tensor, alpha: Tensor, sigma: Tensor, direction: Tensor) -> Tensor:
        """∂(u·∇V)/∂v for directions u: (B, d) -> (B, width), the derivative of ρ z_L along u."""
        _, rho, seen, _, slopes = self._hidden(x, alpha, sigma)
        tangent = slopes[0] * linear(self.view.push(seen, direction), self.first.weight)
        for layer, slope in zip(self.hidden, slopes[1:], strict=True):
            tangent = tangent + slope * (layer(tangent) - layer.bias)
        return rho * tangent

    def head_times(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """(τ, 1), (T, 9), in which v(τ) is linear."""
        tau = self._tau(*self._with_turns(*self._moments(alpha, sigma, self.power)))
        return torch.cat([tau, torch.ones_like(tau[:, :1])], dim=1)

    def with_head(self, change: Tensor) -> "ValueNetwork":
        """A copy with v changed by (9, width): one row for each entry of (τ, 1)."""
        other = deepcopy(self)
        change = change.to(self.power)
        with torch.no_grad():
            other.head.weight.add_(change[:-1].T)
            other.head.bias.add_(change[-1])
        return other

    def value_and_gradient(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """V (B,) and ∇ₓV (B, d), or for frames (B, d/2)."""
        features, rho, seen, tau, slopes = self._hidden(x, alpha, sigma)
        g = rho * self.head(tau)
        for layer, slope in zip(reversed(self.hidden), reversed(slopes[1:]), strict=True):
            g = g + (g * slope) @ layer.weight
        return self._value(features, rho, tau), self.view.pull(seen, (g * slopes[0]) @ self.first.weight)

    def _value(self, features: Tensor, rho: Tensor, tau: Tensor) -> Tensor:
        return (features * self.head(tau)).sum(dim=1) + (rho * self.offset(tau)).squeeze(1)

    def _hidden(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Any, Tensor, list[Tensor]]:
        """ρ z_L, ρ, the values of the view, τ and the slopes φ′ of all layers."""
        alpha, sigma = self._moments(alpha, sigma, x)
        seen = self._seen(x, alpha, sigma)
        alpha, sigma = self._with_turns(alpha, sigma)
        log_snr = self._log_snr(alpha, sigma)
        rho = alpha * self.power.sqrt() / (alpha.square() * self.power + sigma.square()).sqrt()
        rho = rho * torch.sigmoid((log_snr - _CUTOFF) / _CUTOFF_WIDTH)
        tau = self._tau(alpha, sigma)
        biases = self.time(tau).chunk(len(self.hidden) + 1, dim=1)
        z, slope = _silu(linear(seen.values, self.first.weight, self.first.bias) + biases[0])
        slopes = [slope]
        for layer, bias in zip(self.hidden, biases[1:], strict=True):
            more, slope = _silu(layer(z) + bias)
            z = z + more
            slopes.append(slope)
        return rho * z, rho, seen, tau, slopes

    def _moments(self, alpha: Tensor, sigma: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """α and σ, (1, 1) or (B, 1); of angles those of the points of the circle."""
        alpha, sigma = alpha.reshape(-1, 1).to(like), sigma.reshape(-1, 1).to(like)
        return moments_on_circle(sigma) if isinstance(self.view, Angles) else (alpha, sigma)

    def _with_turns(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """α, and the σ for which α²s̄²/σ² is the signal-to-noise ratio of positions and rotations together."""
        if self.turns is None:
            return alpha, sigma
        ratio = (alpha / sigma).clamp(1e-9, 1e9).square()
        return alpha, alpha * (ratio + self.turns(ratio.log()).exp() / self.power).rsqrt()

    def _seen(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Any:
        if not self.denoised:
            return self.view(x, alpha, sigma)
        return self.view(x, torch.ones_like(alpha[:1]), _SMOOTHING * self.power.sqrt().reshape(1, 1))

    def _tau(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        return torch.sigmoid((self._log_snr(alpha, sigma) - self.steps) / 1.5)

    def _log_snr(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        return 2 * (alpha * self.power.sqrt() / sigma).clamp(1e-9, 1e9).log()


def _view(dimension: int, focus: bool, invariant: bool, frames: bool) -> View:
    if frames:
        return (FrameInvariants if invariant else FrameEntries)(dimension // 12)
    return Invariants(dimension // 3) if invariant else Coordinates(dimension, focus)


def _silu(a: Tensor) -> tuple[Tensor, Tensor]:
    """φ(a) = a s and φ′(a) = s (1 + a (1 − s)), s the sigmoid."""
    s = torch.sigmoid(a)
    return silu(a), s * (1 + a * (1 - s))
