"""The guided generation process, dx = (A x + B y + E h) dt + G dW̄, run from t_max down to t_min.

y is the prediction of the model that a step uses; A, B, E and G follow from the schedule and the noise level κ
(:mod:`leastwork.models.coefficients`). The positions of rigid frames follow this equation. For a rotation, y is its
score s, and it turns by −½(1+κ²) g_R² (s + h) dt + κ g_R dW̄ in its own frame.
"""

from dataclasses import dataclass

from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.state import State
from leastwork.models.base import Model
from leastwork.models.coefficients import Coefficients

__all__ = ["Coefficients", "Process"]


@dataclass(frozen=True)
class Process:
    """The generation process of a model at noise level κ (0 for the ODE).

    Raises:
        LeastworkError: κ < 0, or κ > 0 for a VelocityModel, which has no SDE.
    """

    model: Model
    kappa: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.kappa < float("inf"):
            raise LeastworkError(f"kappa={self.kappa} must be a finite number >= 0 (1: reverse SDE, 0: ODE)")
        if self.kappa > 0 and not self.model.has_score:
            raise LeastworkError(
                "a VelocityModel has no score and so no SDE: use process='ode', in a run file sampling: {process: ode}"
            )

    @property
    def interval(self) -> tuple[float, float]:
        """[t_min, t_max] on which the model may be used."""
        return self.model.interval

    def coefficients(self, t: Tensor) -> Coefficients:
        """Drift and diffusion at times t, float64 (S+1,); infinite where the schedule is singular."""
        return self.model.coefficients(t, self.kappa)

    def evaluate(self, x: State, t: float) -> State:
        """y(x, t): the denoiser D, or the velocity u; for frames, D of the positions and the score of the rotations."""
        return self.model.estimate(x, t)

    def endpoint(self, x: State, y: State, t: float) -> State:
        """The model's estimate of the state at t = 0 from y(x, t): D itself, or for a flow x − t u."""
        return self.model.endpoint(x, y, t)

    def prior(self, noise: State) -> State:
        """States at t_max from standard normal noise."""
        return self.model.from_noise(noise)

    def project(self, x: State) -> State:
        """Project a state onto the model's subspace, if there is one."""
        return self.model.project(x)
