"""The solver and the grid where none is asked for.

    flat states:       multistep, two fifths of the steps uniform in α²/(α² + σ²), two in α/(α + 3σ), one in ln α²/σ²
    velocity models:   multistep (Adams–Bashforth), times uniform in t
    rigid frames:      Euler, times uniform in t

Multistep steps with noise are of second order in law at one evaluation each, and their transitions are Gaussian given
the path so far, so that they have path weights. On this grid 100 of them leave −ln p of a region of 9.4 k_BT within
0.02 ± 0.01 k_BT in the VP schedule, where 100 Euler steps uniform in t are 0.8 k_BT too low. Rotations know steps of
first order alone, and of these Euler's on uniform times err least in width.
"""

from leastwork.models.base import Model
from leastwork.sampling.solvers.exponential import Exponential

__all__ = ["usual_grid", "usual_solver"]


def usual_solver(model: Model) -> str:
    """The name of the solver that fits a model."""
    return "euler" if model.has_rotations else "multistep"


def usual_grid(model: Model, solver: object) -> str:
    """The grid that fits a model and a solver: "signal" for exponential steps of flat states, or "uniform".

    >>> import leastwork as lw
    >>> usual_grid(lw.VelocityModel(lambda x, t: x, event_shape=(1,)), Exponential())
    'uniform'
    """
    flat = model.has_score and not model.has_rotations
    return "signal" if flat and isinstance(solver, Exponential) else "uniform"
