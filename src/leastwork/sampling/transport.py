"""The unguided probability-flow ODE, both ways: dx/dt = u(x, t), by Heun's rule (Song et al., ICLR 2021).

Forward, it encodes data as noise; backward it returns them. No denoising at the end, so that the two are inverse.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from leastwork.errors import LeastworkError, NonFiniteError
from leastwork.geometry.state import State, all_finite, leaves, shapes, smap
from leastwork.models.base import Model
from leastwork.models.placement import evaluating, placement
from leastwork.sampling.grids import time_grid
from leastwork.sampling.process import Process

__all__ = ["SUBSTEPS", "carry_forward", "prior_distance", "transport"]

SUBSTEPS = 2  # of Heun's rule between two times; 100 times then leave an error of 10⁻⁴ in plane models


def transport(model: Model, x: State, *, forward: bool = True, steps: int = 100, t_grid: str = "uniform") -> State:
    """Carry given states from data to noise, or back.

    Args:
        model: a DiffusionModel or VelocityModel.
        x: data units (B, *event) if ``forward``, else network units at t_max.
        forward: from data (t_min) to noise (t_max), or back.
        steps, t_grid: as in :func:`leastwork.sample`.

    Returns:
        State: network units at t_max if ``forward``, else data units.

    Raises:
        LeastworkError: x has another event shape than the model.

    >>> import leastwork as lw
    >>> flow = lw.VelocityModel(lambda x, t: x, event_shape=(1,))
    >>> transport(flow, torch.ones(1, 1)).round(decimals=3)  # e
    tensor([[2.7180]])
    """
    _check_shape(model, x)
    times = time_grid(Process(model, kappa=0.0), steps, t_grid).tolist()
    with torch.no_grad(), evaluating(model.net):
        if forward:
            *_, x = _heun(model, model.to_network_units(x), times[::-1])
            return x
        *_, x = _heun(model, x, times)
        return model.to_data_units(x)


def carry_forward(model: Model, points: State, times: Sequence[float] | Tensor) -> State:
    """Where given data are along the probability-flow ODE, from data to noise.

    Args:
        model: a DiffusionModel or VelocityModel.
        points: data units, (M, *event); taken as the states at t_min, onto the model's subspace.
        times: (T,), in any order, within the model's interval.

    Returns:
        State: x_t of every point at every time, network units, (T, M, *event), where and in what precision the
        network's parameters are.

    Raises:
        NonFiniteError: a point became NaN or infinite on its way; names it and the time.
        LeastworkError: points of another event shape than the model's, or times outside its interval.

    >>> import leastwork as lw
    >>> flow = lw.VelocityModel(lambda x, t: x, event_shape=(1,))
    >>> carry_forward(flow, torch.ones(1, 1), [0.0, 0.01, 0.02]).flatten()
    tensor([1.0000, 1.0101, 1.0202])
    """
    _check_shape(model, points)
    process = Process(model, kappa=0.0)
    low, high = process.interval
    wanted = torch.as_tensor(times, dtype=torch.float64).flatten().tolist()
    if not wanted or not low <= min(wanted) <= max(wanted) <= high:
        raise LeastworkError(
            f"times must hold at least one time and lie within [{low}, {high}], where the model is used"
        )
    knots = sorted({low, *wanted})
    fine = [a + (b - a) * i / SUBSTEPS for a, b in pairwise(knots) for i in range(SUBSTEPS)] + knots[-1:]
    device, dtype = placement(model)
    start = process.project(model.to_network_units(smap(lambda leaf: leaf.to(device, dtype), points)))
    found: dict[float, State] = {}
    with torch.no_grad(), evaluating(model.net):
        for t, x in zip(fine, _heun(model, start, fine), strict=True):
            finite = all_finite(x)
            if not bool(finite.all()):
                raise NonFiniteError(
                    f"guiding point {int((~finite).nonzero()[0, 0])} is not finite at t = {t:.4g} of the flow to the "
                    "noise: leave it out, or check that it is in the model's units"
                )
            found[t] = x
    return smap(lambda *at: torch.stack(at), *(found[t] for t in wanted))


def prior_distance(model: Model, points: State, steps: int = 100) -> Tensor:
    """How far from typical noise given data end up, as one z-score a point.

    The score is that of −ln(prior density), of a normal prior (|z|² − d)/√(2d) with z in units of the prior's standard
    deviation. What the model itself produces scores of the order of one, most of it below 3; a score of 10 says that
    the model can hardly produce that point.

    Args:
        model: a DiffusionModel or VelocityModel.
        points: data units, (M, *event).
        steps: of the flow to the noise, uniform in t.

    Returns:
        Tensor: float64, (M,).

    Raises:
        NonFiniteError, LeastworkError: as :func:`carry_forward`.

    >>> import leastwork as lw
    >>> model = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(2,))
    >>> prior_distance(model, torch.tensor([[1.0, 1.0], [9.0, 9.0]])).round()
    tensor([ 0., 80.], dtype=torch.float64)
    """
    times = time_grid(Process(model, kappa=0.0), steps).flip(0)
    z = smap(lambda leaf: leaf[-1], carry_forward(model, points, times))
    return model.surprise(z)


def _check_shape(model: Model, x: State) -> None:
    if model.has_rotations:
        raise LeastworkError("frames cannot be carried by transport: draw them with process='ode'")
    found = tuple(tuple(leaf.shape[1:]) for leaf in leaves(x))
    if found != shapes(model.event_shape):
        raise LeastworkError(f"x has event shape {found}, the model {shapes(model.event_shape)}: pass (B, *event)")


def _heun(model: Model, x: State, times: Sequence[float]) -> Iterator[State]:
    """The state at every one of the times, x at the first of them."""
    yield x
    for t, t_next in pairwise(times):
        dt = t_next - t
        u = model.velocity(x, t)
        predicted = smap(lambda a, b, dt=dt: a + dt * b, x, u)
        u_next = model.velocity(predicted, t_next)
        x = smap(lambda a, b, c, dt=dt: a + 0.5 * dt * (b + c), x, u, u_next)
        yield x
