"""Protocol of a schedule, α(t), σ(t) and their derivatives, and the drift and diffusion that follow from them."""

from dataclasses import fields
from numbers import Real
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.support.arguments import refused

__all__ = ["Schedule", "check_interval", "check_numbers", "diffusion_squared", "drift"]


@runtime_checkable
class Schedule(Protocol):
    """α, σ, their derivatives, the log-SNR and its inverse, as functions of a float64 tensor t."""

    @property
    def t_min(self) -> float: ...
    @property
    def t_max(self) -> float: ...
    def alpha(self, t: Tensor) -> Tensor: ...
    def sigma(self, t: Tensor) -> Tensor: ...
    def alpha_dot(self, t: Tensor) -> Tensor: ...
    def sigma_dot(self, t: Tensor) -> Tensor: ...
    def log_snr(self, t: Tensor) -> Tensor: ...
    def time_of(self, log_snr: Tensor) -> Tensor: ...


def drift(schedule: Schedule, t: Tensor) -> Tensor:
    """f = α̇/α of the forward process dx = f x dt + g dW."""
    return schedule.alpha_dot(t) / schedule.alpha(t)


def diffusion_squared(schedule: Schedule, t: Tensor) -> Tensor:
    """g² = 2σσ̇ − 2(α̇/α)σ² of the forward process dx = f x dt + g dW."""
    sigma = schedule.sigma(t)
    return 2 * sigma * schedule.sigma_dot(t) - 2 * drift(schedule, t) * sigma**2


def check_numbers(schedule: Any) -> None:
    """Raise unless all fields of a schedule are numbers, and its interval is one."""
    for one in fields(schedule):
        value = getattr(schedule, one.name)
        if isinstance(value, bool) or not isinstance(value, Real | Tensor):
            raise refused(one.name, value, f"give {type(schedule).__name__} a number")
    check_interval(schedule.t_min, schedule.t_max)


def check_interval(t_min: float, t_max: float) -> None:
    """Raise unless 0 <= t_min < t_max <= 1."""
    for name, value in (("t_min", t_min), ("t_max", t_max)):
        if isinstance(value, bool) or not isinstance(value, Real | Tensor):
            raise refused(name, value, "give a number between 0 and 1")
    if not 0 <= t_min < t_max <= 1:
        raise LeastworkError(f"the interval [t_min, t_max] = [{t_min}, {t_max}] must satisfy 0 <= t_min < t_max <= 1")
