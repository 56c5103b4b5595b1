"""Schedule from any two functions, x_t = α(t) x_0 + σ(t) ε, with derivatives by automatic differentiation.

    ℓ(t) = 2 ln α(t)/σ(t) falls with t;  t(ℓ) by bisection, to the precision of float64

It serves paths for which :mod:`leastwork.schedules.gaussian` has no schedule.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from leastwork.errors import ConfigError
from leastwork.schedules.base import check_interval
from leastwork.schedules.remembered import FromMoments
from leastwork.schedules.table import TabulatedSchedule
from leastwork.support.text import brief

__all__ = ["FunctionSchedule"]

Function: TypeAlias = Callable[[Tensor], Tensor]

_HALVINGS = 60  # halvings of [0, 1] in the bisection, down to the spacing of float64
_PROBES = 101  # times at which the functions are checked
_LEAST_LOG_SNR = -20.0  # a log-SNR at which nothing of the data is left


@dataclass(frozen=True, eq=False)
class FunctionSchedule(FromMoments):
    """α and σ given as functions of a float64 tensor of times, differentiable by autograd.

    Args:
        alpha_of: function α(t), (…) -> (…), positive; it may be zero at t_max.
        sigma_of: function σ(t), (…) -> (…), positive on the interval.
        t_min: time at which sampling ends.
        t_max: time at which sampling starts.

    Raises:
        ConfigError: α or σ is no function in torch with a derivative, is not finite or not positive, or the log-SNR
            does not fall.

    >>> trigonometric = FunctionSchedule(lambda t: torch.cos(1.5 * t), lambda t: torch.sin(1.5 * t))
    >>> t = torch.tensor([0.2, 0.5], dtype=torch.float64)
    >>> torch.allclose(trigonometric.alpha_dot(t), -1.5 * torch.sin(1.5 * t))
    True
    >>> torch.allclose(trigonometric.time_of(trigonometric.log_snr(t)), t)
    True
    """

    alpha_of: Function
    sigma_of: Function
    t_min: float = 1e-3
    t_max: float = 1.0

    def __post_init__(self) -> None:
        check_interval(self.t_min, self.t_max)
        t = torch.linspace(self.t_min, self.t_max, _PROBES, dtype=torch.float64)
        for name in ("alpha_of", "sigma_of"):
            _check_function(name, getattr(self, name), t)
        alpha, sigma, *slopes = self._moments(t)
        inner = torch.stack([alpha, sigma, *slopes])[:, :-1]
        if not bool(torch.isfinite(inner).all()) or not bool((inner[:2] > 0).all()) or not bool(alpha[-1] >= 0):
            raise ConfigError(
                f"alpha and sigma must be positive, and smooth, within [{self.t_min}, {self.t_max}]: "
                "move t_min or t_max away from where they are not"
            )
        if not bool((self.log_snr(t).diff() < 0).all()):
            raise ConfigError(
                "alpha/sigma does not fall with t, although t = 0 is the data: if the path runs from noise to data, "
                "give the functions of 1 - t"
            )

    def log_snr(self, t: Tensor) -> Tensor:
        alpha, sigma, *_ = self._at(t)
        return 2 * (alpha.log() - sigma.log())

    def time_of(self, log_snr: Tensor) -> Tensor:
        low, high = torch.full_like(log_snr, self.t_min), torch.full_like(log_snr, self.t_max)
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            above = 2 * (self.alpha_of(middle).log() - self.sigma_of(middle).log()) > log_snr
            low, high = torch.where(above, middle, low), torch.where(above, high, middle)
        return torch.where(log_snr.isneginf(), self.t_max, 0.5 * (low + high))

    def table(self, knots: int = 2000) -> TabulatedSchedule:
        """The schedule as a table, which has a file form; if α(t_max) = 0, the table ends where the log-SNR is −20.

        >>> straight = FunctionSchedule(lambda t: 1 - t, lambda t: t)
        >>> t = torch.tensor([0.1, 0.7], dtype=torch.float64)
        >>> bool((straight.table().alpha(t) - straight.alpha(t)).abs().max() < 1e-6)
        True
        """
        first, last = self.log_snr(torch.tensor([self.t_min, self.t_max], dtype=torch.float64)).tolist()
        even = torch.linspace(first, max(last, _LEAST_LOG_SNR), knots, dtype=torch.float64)
        t = self.time_of(even)
        t = torch.cat([t, torch.linspace(float(t[0]), float(t[-1]), knots, dtype=torch.float64)]).unique()
        t = t[torch.cat([torch.tensor([True]), t.diff() > 1e-9])]
        return TabulatedSchedule(t.tolist(), self.alpha(t).tolist(), self.sigma(t).tolist())

    def _moments(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        with torch.enable_grad():
            time = t.detach().clone().requires_grad_()
            alpha, sigma = self.alpha_of(time), self.sigma_of(time)
            return alpha.detach(), sigma.detach(), _slope(alpha, time), _slope(sigma, time)


def _check_function(name: str, function: Function, t: Tensor) -> None:
    """Raise unless a function returns a float64 tensor of the shape of t, which has a derivative if it is no constant.

    Raises:
        ConfigError: the function fails, or returns something else.
    """
    remedy = "write it with torch, for tensors of any shape, or make a TabulatedSchedule of its values"
    try:
        with torch.enable_grad():
            value: object = function(t.clone().requires_grad_())
    except Exception as error:
        raise ConfigError(f"{name}(t) raised {type(error).__name__} ({brief(error)}): {remedy}") from error
    if not isinstance(value, Tensor):
        raise ConfigError(f"{name}(t) returns a {type(value).__name__}: {remedy}; a constant is torch.ones_like(t)")
    if value.shape != t.shape or not value.is_floating_point():
        raise ConfigError(
            f"{name}(t) returns {value.dtype} of shape {tuple(value.shape)} for t of shape {tuple(t.shape)}: {remedy}"
        )
    if not value.requires_grad and bool((value != value[0]).any()):
        raise ConfigError(f"{name}(t) has no derivative, as it leaves torch or detaches t: {remedy}")


def _slope(value: Tensor, time: Tensor) -> Tensor:
    """d value/d time, element by element; zero for a constant."""
    if not value.requires_grad:
        return torch.zeros_like(time)
    (slope,) = torch.autograd.grad(value.sum(), time, allow_unused=True)
    return torch.zeros_like(time) if slope is None else slope
