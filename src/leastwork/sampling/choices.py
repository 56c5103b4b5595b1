"""Sampling choices: process, solver, steps, device and precision, checked once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.guidance.base import Guidance, as_guidance
from leastwork.models.base import Model, as_model
from leastwork.models.contract import refuse_half
from leastwork.models.placement import moved
from leastwork.sampling.grids import check_grid, time_grid
from leastwork.sampling.process import Process
from leastwork.sampling.solvers import SolverLike, as_solver
from leastwork.sampling.solvers.usual import usual_grid, usual_solver
from leastwork.sampling.stepping import Sampler, StepInfo
from leastwork.support.arguments import number, refused, whole
from leastwork.support.text import nearest

__all__ = ["LAW", "USUAL", "Choices", "ProcessName", "check_device"]

LAW = ("process", "solver", "steps", "t_grid", "kappa")
"""Names of the choices that determine the distribution of the samples."""

ProcessName: TypeAlias = Literal["sde", "ode"]

_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


@dataclass(frozen=True, eq=False)
class Choices:
    """The sampling arguments of :func:`leastwork.sample`, where each is explained.

    Raises:
        LeastworkError: a choice cannot be used; the message has its name, its value and the remedy.

    >>> Choices(steps=50).law
    {'process': 'sde', 'solver': None, 'steps': 50, 't_grid': None, 'kappa': None}
    """

    process: ProcessName = "sde"
    solver: SolverLike | None = None
    steps: int = 100
    t_grid: str | Tensor | None = None
    kappa: float | None = None
    batch_size: int = 1024
    device: torch.device | str | None = None
    dtype: torch.dtype | None = None
    callback: Callable[[StepInfo], None] | None = None

    def __post_init__(self) -> None:
        if self.process not in ("sde", "ode"):
            raise refused("process", self.process, "choose 'sde' or 'ode'")
        if self.solver is not None:
            as_solver(self.solver)
        whole("steps", self.steps, most=1_000_000)
        if self.t_grid is not None:
            check_grid(self.t_grid)
        whole("batch_size", self.batch_size)
        if self.kappa is not None:
            kappa = number("kappa", self.kappa, "give a positive finite number, or leave it out", least=0.0)
            if self.process == "ode" and kappa:
                raise refused("kappa", kappa, "the ODE has no noise, so leave it out, or take process='sde'")
            if self.process == "sde" and not kappa:
                raise refused("kappa", kappa, "it must be positive for the SDE; take process='ode' for no noise")
        if self.device is not None:
            check_device(self.device)
        if self.dtype is not None and self.dtype not in _DTYPES:
            raise refused("dtype", self.dtype, "give a torch dtype of real numbers, such as torch.float32")
        if self.callback is not None and not callable(self.callback):
            raise refused("callback", self.callback, "give a function that takes a StepInfo, or leave it out")

    @classmethod
    def of(cls, given: Mapping[str, Any], names: tuple[str, ...] | None = None) -> "Choices":
        """The choices given by keyword.

        Args:
            given: values by name.
            names: names of the choices that may be given; by default all.

        Raises:
            LeastworkError: a name is unknown, or a value cannot be used.
        """
        known = names or tuple(one.name for one in fields(cls))
        unknown = next((name for name in given if name not in known), None)
        if unknown is not None:
            raise LeastworkError(f"{unknown}= is no choice of sampling{nearest(unknown, known)}")
        return cls(**given)

    @property
    def given(self) -> dict[str, Any]:
        """The choices as keywords of :func:`leastwork.sample`, those without a value left out."""
        every = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in every.items() if value is not None}

    @property
    def law(self) -> dict[str, Any]:
        """The choices that determine the distribution of the samples, by name."""
        return {name: getattr(self, name) for name in LAW}

    def place(self, model: Model) -> Model:
        """The model on the chosen device and in the chosen precision."""
        return moved(as_model(model), self.device, self.dtype)

    def sampler(self, model: Model, guidance: Guidance | None = None) -> Sampler:
        """The sampler of a model, with its tabulated steps, with or without guidance.

        Raises:
            LeastworkError: choices that do not fit the model, or a network in half precision.
        """
        refuse_half(as_model(model).parameters())
        guidance = None if guidance is None else as_guidance(guidance)
        process = Process(model, 0.0 if self.process == "ode" else 1.0 if self.kappa is None else float(self.kappa))
        solver = as_solver(usual_solver(model) if self.solver is None else self.solver)
        spacing = usual_grid(model, solver) if self.t_grid is None else self.t_grid
        times = time_grid(process, self.steps, spacing)
        return Sampler(process, solver.steps(process, times), guidance, solver.evaluations)

    def has_least_work(self, model: Model) -> bool:
        """Whether the samples have path weights at κ = 1, for which least-work guidance is defined."""
        plain = self.process == "sde" and self.kappa in (None, 1)
        if not plain:
            return False
        steps = self.sampler(model).steps
        return steps.has_density and not steps.chain

    def fitting(self, model: Model) -> "Choices":
        """The choices of a fit: those of the SDE where samples are drawn by another chain, such as with churn."""
        return replace(self, solver=None, t_grid=None) if self.chain(model) else self

    def chain(self, model: Model) -> str:
        """The chain in words if its noise is not that of an SDE or ODE, as with churn; empty if it is."""
        return self.sampler(model).steps.chain


USUAL = Choices()
"""The default choices."""


def check_device(device: object) -> torch.device:
    """The device.

    Raises:
        LeastworkError: this machine has no such device.
    """
    try:
        if not isinstance(device, str | torch.device | int) or isinstance(device, bool):
            raise TypeError
        there = torch.device(device)
        torch.empty(0, device=there)
    except (TypeError, RuntimeError, AssertionError, NotImplementedError, ImportError):
        there = None
    if there is None or there.type == "meta":
        raise refused("device", device, "give one that this machine has, such as 'cpu' or 'cuda'")
    return there
