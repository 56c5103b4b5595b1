"""Default solver and time grid:

    flat states:       multistep, two fifths of the steps uniform in α²/(α² + σ²), two in α/(α + 3σ), one in ln α²/σ²
    flat, with churn:  Karras' levels, as in the samplers that have it
    velocity models:   multistep (Adams–Bashforth), times uniform in t
    rigid frames:      Euler, times uniform in t

Multistep steps with noise are of weak second order with one evaluation each, and their transitions are Gaussian given
the path so far, so that they have path weights. With 100 of them on this grid in the VP schedule, −ln p of a region of
9.4 k_BT is correct within 0.02 ± 0.01 k_BT, whereas 100 Euler steps uniform in t are 0.8 k_BT too low. Rotations have
only first-order steps; among these, Euler steps uniform in t have the smallest error in the width of the distribution.
"""

from leastwork.models.base import Model
from leastwork.sampling.solvers.churn import Churn
from leastwork.sampling.solvers.exponential import Exponential

__all__ = ["usual_grid", "usual_solver"]


def usual_solver(model: Model) -> str:
    """The name of the solver that fits a model."""
    return "euler" if model.has_rotations else "multistep"


def usual_grid(model: Model, solver: object) -> str:
    """The grid that fits a model and a solver: "karras" for churn, "signal" for exponential steps, or "uniform".

    Models of frames and flows have "uniform" with any solver.

    >>> import leastwork as lw
    >>> usual_grid(lw.VelocityModel(lambda x, t: x, event_shape=(1,)), Exponential())
    'uniform'
    """
    flat = model.has_score and not model.has_rotations
    if flat and isinstance(solver, Churn):
        return "karras"
    return "signal" if flat and isinstance(solver, Exponential) else "uniform"
