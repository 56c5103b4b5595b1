"""Transport by the unguided probability-flow ODE, dx/dt = u(x, t), with Heun's rule (Song et al., ICLR 2021).

Forward, it carries data to noise; backward, noise to data. There is no denoising at the end, so the two directions are
inverse to each other.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from leastwork.errors import LeastworkError, NonFiniteError
from leastwork.geometry.state import State, all_finite, as_state, leaves, shapes, smap
from leastwork.geometry.torus import wrap
from leastwork.models.base import Model, as_model, is_periodic
from leastwork.models.placement import evaluating, placement
from leastwork.sampling.grids import time_grid
from leastwork.sampling.process import Process
from leastwork.support.arguments import yes_or_no

__all__ = ["SUBSTEPS", "carry_forward", "prior_distance", "transport"]

SUBSTEPS = 2  # Heun steps between two times; with 100 times, the error in models of the plane is then 10⁻⁴


def transport(model: Model, x: State, *, forward: bool = True, steps: int = 100, t_grid: str = "uniform") -> State:
    """Carry given states from data to noise, or back.

    Args:
        model: a DiffusionModel or VelocityModel.
        x: states (B, *event), in data units if ``forward``, else in network units at t_max.
        forward: whether to go from data (t_min) to noise (t_max); otherwise back.
        steps, t_grid: number of steps and time grid, as in :func:`leastwork.sample`.

    Returns:
        State: the states at the other end, in network units at t_max if ``forward``, else in data units; angles are
            in [−π, π).

    Raises:
        LeastworkError: x has another event shape than the model.

    >>> import leastwork as lw
    >>> flow = lw.VelocityModel(lambda x, t: x, event_shape=(1,))
    >>> transport(flow, torch.ones(1, 1)).round(decimals=3)  # e
    tensor([[2.7180]])
    """
    model, x, forward = as_model(model), as_state("x", x), yes_or_no("forward", forward)
    _check_shape(model, x)
    times = time_grid(Process(model, kappa=0.0), steps, t_grid).tolist()
    with torch.no_grad(), evaluating(model.net):
        if forward:
            x = model.to_network_units(x)
        *_, x = _heun(model, x, times[::-1] if forward else times)
        x = smap(wrap, x) if is_periodic(model) else x
        return x if forward else model.to_data_units(x)


def carry_forward(model: Model, points: State, times: Sequence[float] | Tensor) -> State:
    """Carry given data along the probability-flow ODE towards the noise, and return them at given times.

    Args:
        model: a DiffusionModel or VelocityModel.
        points: data in data units, (M, *event); they are projected onto the model's subspace and taken as states at
            t_min.
        times: times within the model's interval, in any order, (T,).

    Returns:
        State: x_t of every point at every time, network units, (T, M, *event), on the device and in the precision of
            the network's parameters.

    Raises:
        NonFiniteError: a point became NaN or infinite on its way; the message names the point and the time.
        LeastworkError: the points have another event shape than the model, or times lie outside its interval.

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
    """Distance of given data from typical noise after transport to t_max, one z-score for each point.

    The score is that of −ln(prior density); for a normal prior it is (|z|² − d)/√(2d), with z in units of the prior's
    standard deviation. Samples of the model itself have scores of the order of one, most below 3; at a score of 10 the
    model can hardly produce the point.

    Args:
        model: a DiffusionModel or VelocityModel.
        points: data in data units, (M, *event).
        steps: number of steps of the flow to the noise, uniform in t.

    Returns:
        Tensor: the scores, float64 (M,).

    Raises:
        NonFiniteError, LeastworkError: as in :func:`carry_forward`.

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
    """Yield the state at each of the times, starting from x at the first."""
    yield x
    for t, t_next in pairwise(times):
        dt = t_next - t
        u = model.velocity(x, t)
        predicted = smap(lambda a, b, dt=dt: a + dt * b, x, u)
        u_next = model.velocity(predicted, t_next)
        x = smap(lambda a, b, c, dt=dt: a + 0.5 * dt * (b + c), x, u, u_next)
        yield x
