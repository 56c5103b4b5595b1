"""The unguided probability-flow ODE, both ways: dx/dt = u(x, t), by Heun's rule (Song et al., ICLR 2021).

Forward, it encodes data as noise; backward it returns them. No denoising at the end, so that the two are inverse.
"""

from itertools import pairwise

import torch

from leastwork.errors import LeastworkError
from leastwork.geometry.state import State, leaves, shapes, smap
from leastwork.process import Model, Process, time_grid
from leastwork.sampling import evaluating

__all__ = ["transport"]


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
    found = tuple(tuple(leaf.shape[1:]) for leaf in leaves(x))
    if found != shapes(model.event_shape):
        raise LeastworkError(f"x has event shape {found}, the model {shapes(model.event_shape)}: pass (B, *event)")
    times = time_grid(Process(model, kappa=0.0), steps, t_grid).tolist()
    with torch.no_grad(), evaluating(model):
        if forward:
            return _heun(model, model.to_network_units(x), times[::-1])
        return model.to_data_units(_heun(model, x, times))


def _heun(model: Model, x: State, times: list[float]) -> State:
    for t, t_next in pairwise(times):
        dt = t_next - t
        u = model.velocity(x, t)
        predicted = smap(lambda a, b, dt=dt: a + dt * b, x, u)
        u_next = model.velocity(predicted, t_next)
        x = smap(lambda a, b, c, dt=dt: a + 0.5 * dt * (b + c), x, u, u_next)
    return x
