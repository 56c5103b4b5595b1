"""Density of a flow by the instantaneous change of variables (Chen et al., NeurIPS 2018):

    ln p(x) = ln p_prior(x_1) + ∫₀¹ ∇·F(x_t, t) dt,      dx/dt = F from x_0 = x

with F = u for the model and F = u − h for the guided flow, since generation runs from t = 1 to 0. Up to 16 dimensions
the divergence is exact; beyond, it is Hutchinson's estimate v·(∂F/∂x)v with random signs v (Grathwohl et al., FFJORD,
ICLR 2019), which leaves ln p unbiased. The integrals are taken by the classical Runge–Kutta rule.

The ODE has no path measure, hence no work and no certificate. But the ratio of two densities at x gives weights under
which averages over guided samples are those of the model:

    ln dP/dQ (x) = ln p(x) − ln q(x)        E_q[φ dP/dQ] = E_p[φ].
"""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeAlias

import torch
from torch import Tensor

from leastwork.errors import LeastworkError, NonFiniteError
from leastwork.geometry.state import State, flatten, leaves, shapes, take, unflatten
from leastwork.guidance.base import Guidance
from leastwork.models.base import Flow, Model, is_flow
from leastwork.models.placement import evaluating
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.grids import time_grid
from leastwork.sampling.process import Process
from leastwork.support.random import generator

__all__ = ["EXACT_UP_TO", "flow_weights", "log_prob", "with_flow_weights"]

EXACT_UP_TO = 16
"""Number of dimensions up to which the divergence is exact by default: it takes one backward pass per dimension."""

Field: TypeAlias = Callable[[Tensor, float], tuple[Tensor, Tensor]]


def log_prob(
    model: Model,
    x: State,
    guidance: Guidance | None = None,
    *,
    steps: int = 100,
    t_grid: str | Tensor = "uniform",
    exact: bool | None = None,
    probes: int = 1,
    seed: int = 0,
    batch_size: int = 4096,
) -> Tensor:
    """ln p(x) of a flow, or ln q(x) of a guided one.

    Args:
        model: a VelocityModel.
        x: samples in data units, (n, *event).
        guidance: added velocity h; it is differentiated with respect to x.
        steps, t_grid: number of steps and time grid of the integration, as in :func:`leastwork.sample`; a step takes
            four network evaluations.
        exact: whether to sum the divergence over all coordinates; by default up to 16 dimensions.
        probes: number of random sign vectors in Hutchinson's estimate. Each sample keeps its own along its path; the
            variance of ln p falls as 1/probes.
        seed: seed of the random signs, which do not depend on the batch size.
        batch_size: number of samples in memory at a time.

    Returns:
        Tensor: ln of the density in data units, nats, float64 (n,).

    Raises:
        LeastworkError: the model is not a VelocityModel, x has another event shape, or autograd cannot differentiate
            the velocity.
        NonFiniteError: some results are not finite; the message names the first sample.

    >>> import leastwork as lw
    >>> flow = lw.VelocityModel(lambda x, t: x, event_shape=(1,))  # x_1 = e x_0
    >>> round(log_prob(flow, torch.zeros(1, 1)).item(), 4)  # 1 − ½ ln 2π
    0.0811
    """
    if not is_flow(model):
        raise LeastworkError(
            f"{type(model).__name__} ends by a denoising step and so has no density: pass a VelocityModel"
        )
    found = tuple(tuple(leaf.shape[1:]) for leaf in leaves(x))
    if found != shapes(model.event_shape):
        raise LeastworkError(f"x has event shape {found}, the model {shapes(model.event_shape)}: pass (n, *event)")
    if probes < 1 or batch_size < 1:
        raise LeastworkError(f"probes={probes}, batch_size={batch_size}: both must be at least 1")
    process = Process(model, kappa=0.0)
    times = time_grid(process, steps, t_grid).tolist()[::-1]
    n, d = len(leaves(x)[0]), model.dimension
    exact = d <= EXACT_UP_TO if exact is None else exact
    signs = None
    if not exact:
        signs = 2.0 * torch.randint(2, (n, probes, d), generator=generator(seed, "divergence")) - 1.0
    parts: list[Tensor] = []
    with evaluating(model.net):
        for start in range(0, n, batch_size):
            piece = slice(start, start + batch_size)
            z = model.to_network_units(take(x, piece))
            field = _field(process, guidance, z, None if signs is None else signs[piece].unbind(dim=1))
            end, volume = _runge_kutta(field, flatten(z).detach(), times)
            parts.append(model.prior.log_prob(unflatten(end, z)).to(torch.float64) + volume)
    value = torch.cat(parts) - _log_volume_of_units(model)
    bad = (~value.isfinite()).nonzero()
    if len(bad):
        raise NonFiniteError(
            f"ln p is not finite for {len(bad)} of {n} samples, the first is {int(bad[0])}: take more steps"
        )
    return value


def flow_weights(model: Model, guidance: Guidance, x: State, **how: Any) -> Tensor:
    """ln dP/dQ of samples of a guided flow, from the two densities at x, float64 (n,).

    Above 16 dimensions the log-weights have the noise of Hutchinson's estimate. They are unbiased, but the weights
    themselves are not, and averages treat the noise as a spread of the weights. Pass ``exact=True`` to avoid it.

    Args:
        model: a VelocityModel.
        guidance: the guidance with which x was drawn.
        x: samples in data units, (n, *event), drawn by the ODE with a step error below their statistical error.
        how: further arguments of :func:`log_prob`.

    >>> import leastwork as lw
    >>> flow = lw.VelocityModel(lambda x, t: x, event_shape=(1,))
    >>> class Push:
    ...     through_network = False
    ...     def __call__(self, x, t, denoised):
    ...         return torch.ones_like(x)
    >>> x = torch.tensor([[0.0], [0.6321]])  # q is p moved by 1 − 1/e
    >>> flow_weights(flow, Push(), x).round(decimals=2)
    tensor([ 1.4800, -1.4800], dtype=torch.float64)
    """
    return log_prob(model, x, **how) - log_prob(model, x, guidance, **how)


def with_flow_weights(ensemble: Ensemble, model: Model, guidance: Guidance, **how: Any) -> Ensemble:
    """The ensemble with ln dP/dQ in ``log_weight``, so that ``ess`` and ``mean(fn, under="model")`` work.

    These weights are ratios of densities, not of path measures: the ensemble still has no work and no certificate.

    Args:
        ensemble: samples of ``model`` with ``guidance``, drawn by ``process="ode"``.
        how: further arguments of :func:`log_prob`.

    Raises:
        LeastworkError: the ensemble comes from the SDE, which has path weights.
    """
    if ensemble.ledger.action is None:
        raise LeastworkError("this ensemble has path weights already, or was not drawn by process='ode'")
    log_weight = flow_weights(model, guidance, ensemble.x, **how)
    return replace(ensemble, ledger=replace(ensemble.ledger, log_weight=log_weight))


def _field(process: Process, guidance: Guidance | None, like: State, signs: tuple[Tensor, ...] | None) -> Field:
    """(x, t) -> F (B, d) and its divergence, float64 (B,)."""

    def field(flat: Tensor, t: float) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            flat = flat.detach().requires_grad_()
            state = unflatten(flat, like)
            u = process.evaluate(state, t)
            if not flatten(u).requires_grad:
                raise LeastworkError(
                    "the velocity is cut off from x, so it has no divergence: remove detach() or no_grad() from the net"
                )
            value = flatten(u)
            if guidance is not None:
                value = value - flatten(guidance(state, t, process.endpoint(state, u, t)))
            return value.detach(), _divergence(value, flat, signs)

    return field


def _divergence(value: Tensor, flat: Tensor, signs: tuple[Tensor, ...] | None) -> Tensor:
    def pull(output: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(output.sum(), flat, retain_graph=True, materialize_grads=True)
        return gradient.to(torch.float64)

    if signs is None:
        return torch.stack([pull(value[:, i])[:, i] for i in range(value.shape[1])]).sum(dim=0)
    estimates = [(pull((value * v.to(value)).sum(dim=1)) * v.to(flat.device)).sum(dim=1) for v in signs]
    return torch.stack(estimates).mean(dim=0)


def _runge_kutta(field: Field, x: Tensor, times: list[float]) -> tuple[Tensor, Tensor]:
    """The final state of the path, and ∫ ∇·F dt along it."""
    volume = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for t, t_next in pairwise(times):
        dt, middle = t_next - t, 0.5 * (t + t_next)
        k1, v1 = field(x, t)
        k2, v2 = field(x + 0.5 * dt * k1, middle)
        k3, v3 = field(x + 0.5 * dt * k2, middle)
        k4, v4 = field(x + dt * k3, t_next)
        x = x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        volume = volume + dt / 6 * (v1 + 2 * v2 + 2 * v3 + v4)
    return x, volume


def _log_volume_of_units(model: Flow) -> float:
    """ln |∂x/∂z| of the change from network units z to data units x."""
    if not isinstance(model.scale, Tensor):
        return model.dimension * math.log(model.scale)
    log_scale = model.scale.to(torch.float64).log()
    return sum(float(log_scale.expand(shape).sum()) for shape in shapes(model.event_shape))
