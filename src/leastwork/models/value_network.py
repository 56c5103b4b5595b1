"""A value network V(x, t) and its gradient in x, side by side in one pass.

    V = ρ (v(τ)·z_L + b·τ)    z_l = z_{l−1} + φ(W_l z_{l−1} + b_l + U_l τ),  z_1 = φ(W_1 x̂ + b_1 + U_1 τ)    φ = SiLU

    x̂ = (x − α m)/√(α²s² + σ²)        ρ = α s̄/√(α²s̄² + σ²)

m and s are mean and standard deviation of the data, coordinate by coordinate, s̄ the root mean square of s; τ are
smooth steps in the log-SNR. The factor ρ, the correlation of x_t and x_0, makes V vanish with the signal, as it must.
A network with a focus, a small part of space that matters, sees tanh(x̂′/2) beside x̂, where x̂′ has mean and standard
deviation of that part: at the scale of the data it would be a blur.
The gradient is written out, so that training differentiates it once more by one ordinary backward pass. Time enters
as α and σ, so that the network outlives its schedule.
"""

from copy import deepcopy
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from leastwork.errors import LeastworkError
from leastwork.models.networks import seeded_linear, usual_width

__all__ = ["ValueNetwork", "ValueWithGradient", "value_and_gradient"]

_STEPS = torch.linspace(-9.0, 12.0, 8)  # log-SNR at the middle of each smooth step


@runtime_checkable
class ValueWithGradient(Protocol):
    """A network that knows its own gradient; any other is differentiated by autograd."""

    def value_and_gradient(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]: ...


def value_and_gradient(network: nn.Module, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """V (B,) and ∇ₓV (B, d) of any network ``V = network(x, alpha, sigma)``.

    Args:
        network: V, (B, d) -> (B,).
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
        dimension: coordinates d of a state.
        width: units of each hidden layer; by default 64, more above 8 and above 64 dimensions.
        depth: hidden layers.
        seed: of the first weights; the global generator is not touched.
        focus: whether it also looks at a part of space, set by :meth:`focus_on`.

    >>> network = ValueNetwork(2)
    >>> network(torch.randn(3, 2), torch.tensor(0.8), torch.tensor(0.6))  # the head starts at zero
    tensor([0., 0., 0.], grad_fn=<...>)
    """

    mean: Tensor
    std: Tensor
    focus_mean: Tensor
    focus_std: Tensor
    steps: Tensor

    def __init__(
        self, dimension: int, width: int | None = None, depth: int = 3, seed: int = 0, focus: bool = False
    ) -> None:
        super().__init__()
        width = usual_width(dimension) if width is None else width
        if min(dimension, width, depth) < 1:
            raise LeastworkError(f"ValueNetwork({dimension}, {width}, {depth}): every size must be at least 1")
        self.config: dict[str, Any] = {"dimension": dimension, "width": width, "depth": depth, "focus": focus}
        self.focus = focus
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("std", torch.ones(dimension))
        if focus:
            self.register_buffer("focus_mean", torch.zeros(dimension))
            self.register_buffer("focus_std", torch.ones(dimension))
        self.register_buffer("steps", _STEPS.clone(), persistent=False)
        self.first = seeded_linear(generator, (1 + focus) * dimension, width)
        self.hidden = nn.ModuleList(seeded_linear(generator, width, width) for _ in range(depth - 1))
        self.time = seeded_linear(generator, len(_STEPS), depth * width, bias=False)
        self.head = seeded_linear(generator, len(_STEPS), width)  # v(τ)
        self.offset = seeded_linear(generator, len(_STEPS), 1, bias=False)
        for parameter in (*self.head.parameters(), *self.offset.parameters()):
            nn.init.zeros_(parameter)

    @torch.no_grad()
    def standardise(self, mean: Tensor, std: Tensor) -> "ValueNetwork":
        """Set m and s, (d,) each, from data in network units; a coordinate that never moves keeps scale 1."""
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 1e-6 * std.max(), std, 1.0))
        return self

    @torch.no_grad()
    def focus_on(self, mean: Tensor, std: Tensor) -> "ValueNetwork":
        """Set mean and standard deviation of the part of space that matters, (d,) each, in network units."""
        self.focus_mean.copy_(mean)
        self.focus_std.copy_(torch.where(std > 1e-6 * std.max(), std, 1.0))
        return self

    @torch.no_grad()
    def look_along(self, direction: Tensor, generator: torch.Generator) -> "ValueNetwork":
        """Let every unit of the first layer see one direction (d,) of standardised space, others half as well."""
        strength = 2 * torch.randn(len(self.first.weight), 1, generator=generator).to(self.first.weight)
        self.first.weight.mul_(0.5).add_(strength * (direction / direction.norm()).to(strength))
        return self

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """V, (B,); x: (B, d); alpha, sigma: scalars or (B,)."""
        return self.value_and_gradient(x, alpha, sigma)[0]

    def head_response(self, x: Tensor, alpha: Tensor, sigma: Tensor, direction: Tensor) -> Tensor:
        """∂(u·∇V)/∂v for directions u: (B, d) -> (B, width), the derivative of ρ z_L along u."""
        _, rho, stretch, _, slopes = self._hidden(x, alpha, sigma)
        tangent = slopes[0] * linear(direction.repeat(1, 1 + self.focus) * stretch, self.first.weight)
        for layer, slope in zip(self.hidden, slopes[1:], strict=True):
            tangent = tangent + slope * (layer(tangent) - layer.bias)
        return rho * tangent

    def head_times(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """(τ, 1), (T, 9): v(τ) is linear in it."""
        tau = self._tau(alpha.reshape(-1, 1).to(self.std), sigma.reshape(-1, 1).to(self.std))
        return torch.cat([tau, torch.ones_like(tau[:, :1])], dim=1)

    def with_head(self, change: Tensor) -> "ValueNetwork":
        """A copy with v changed by (9, width): one row for each entry of (τ, 1)."""
        other = deepcopy(self)
        with torch.no_grad():
            other.head.weight.add_(change[:-1].T)
            other.head.bias.add_(change[-1])
        return other

    def value_and_gradient(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """V (B,) and ∇ₓV (B, d)."""
        features, rho, stretch, tau, slopes = self._hidden(x, alpha, sigma)
        v = self.head(tau)
        value = (features * v).sum(dim=1) + (rho * self.offset(tau)).squeeze(1)
        g = rho * v
        for layer, slope in zip(reversed(self.hidden), reversed(slopes[1:]), strict=True):
            g = g + (g * slope) @ layer.weight
        pull = ((g * slopes[0]) @ self.first.weight) * stretch
        return value, pull.unflatten(1, (1 + self.focus, -1)).sum(dim=1) if self.focus else pull

    def _hidden(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, list[Tensor]]:
        """ρ z_L, ρ, derivatives of the inputs to x, τ and the slopes φ′ of all layers."""
        alpha, sigma = alpha.reshape(-1, 1).to(x), sigma.reshape(-1, 1).to(x)
        stretch = (alpha.square() * self.std.square() + sigma.square()).rsqrt()
        inputs = (x - alpha * self.mean) * stretch
        if self.focus:
            finer = 0.5 * (alpha.square() * self.focus_std.square() + sigma.square()).rsqrt()
            near = torch.tanh((x - alpha * self.focus_mean) * finer)
            inputs = torch.cat([inputs, near], dim=1)
            stretch = torch.cat([stretch.expand_as(near), finer * (1 - near.square())], dim=1)
        mean_square = self.std.square().mean()
        rho = alpha * mean_square.sqrt() / (alpha.square() * mean_square + sigma.square()).sqrt()
        tau = self._tau(alpha, sigma)
        biases = self.time(tau).chunk(len(self.hidden) + 1, dim=1)
        a = linear(inputs, self.first.weight, self.first.bias) + biases[0]
        z, slopes = silu(a), [_silu_slope(a)]
        for layer, bias in zip(self.hidden, biases[1:], strict=True):
            a = layer(z) + bias
            z = z + silu(a)
            slopes.append(_silu_slope(a))
        return rho * z, rho, stretch, tau, slopes

    def _tau(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        log_snr = 2 * (alpha * self.std.square().mean().sqrt() / sigma).clamp(1e-9, 1e9).log()
        return torch.sigmoid((log_snr - self.steps) / 1.5)


def _silu_slope(a: Tensor) -> Tensor:
    s = torch.sigmoid(a)
    return s * (1 + a * (1 - s))
