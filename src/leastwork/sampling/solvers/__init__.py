"""Solvers: each turns a process and a time grid into a table of the coefficients of one-step formulas."""

from collections.abc import Mapping
from typing import Protocol, TypeAlias

from torch import Tensor

from leastwork.sampling.process import Process
from leastwork.sampling.solvers.churn import Churn
from leastwork.sampling.solvers.euler import Euler
from leastwork.sampling.solvers.exponential import Exponential
from leastwork.sampling.solvers.heun import Heun
from leastwork.sampling.solvers.steps import Steps
from leastwork.support.arguments import refused

__all__ = ["Churn", "Euler", "Exponential", "Heun", "Solver", "SolverLike", "Steps", "as_solver", "solver_names"]


class Solver(Protocol):
    """Turns a process and S+1 decreasing times into the coefficients of S steps."""

    @property
    def evaluations(self) -> int:
        """Number of network evaluations in each step."""
        ...

    def steps(self, process: Process, times: Tensor) -> Steps: ...


SolverLike: TypeAlias = str | Solver

_BY_NAME: dict[str, Solver] = {
    "euler": Euler(),
    "heun": Heun(),
    "exponential": Exponential(order=1),
    "multistep": Exponential(order=2),
    "churn": Churn(),
}


def solver_names() -> Mapping[str, Solver]:
    """The solvers of the library by name."""
    return _BY_NAME


def as_solver(solver: SolverLike) -> Solver:
    """The solver of a name; a solver object is returned as it is.

    >>> as_solver("multistep")
    Exponential(order=2, evaluations=1)
    """
    found = _BY_NAME.get(solver) if isinstance(solver, str) else solver
    if found is None or not (callable(getattr(found, "steps", None)) and hasattr(found, "evaluations")):
        raise refused("solver", solver, f"choose one of {', '.join(map(repr, _BY_NAME))}, or give a Solver")
    return found
