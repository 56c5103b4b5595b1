"""Time grids: uniform in t, in log-SNR, in Karras' power of the noise, or dense where signal and noise are alike."""

import math

import numpy as np
import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.models.base import is_scored
from leastwork.sampling.process import Process
from leastwork.schedules.base import Schedule
from leastwork.schedules.edm import EDMSchedule
from leastwork.support.arguments import refused, whole

__all__ = ["check_grid", "time_grid"]

_GRIDS = ("uniform", "log-snr", "balanced", "signal", "karras")
_KARRAS_RHO = 7.0  # ρ of Karras' grid if the schedule has none
_LARGEST_LOG_SNR = 9.0  # |log-SNR| at which a grid starts or ends if the schedule's own end is infinite


def time_grid(process: Process, steps: int, spacing: str | Tensor = "uniform") -> Tensor:
    """Times from t_max down to t_min, float64, (steps + 1,).

    Args:
        process: the process, with its time interval and schedule.
        steps: number of steps S.
        spacing: "uniform": uniform in t. "log-snr": uniform in ℓ = ln α²/σ²; if α(t_max) = 0 the first step goes from
            t_max to ℓ = −9, and if σ(t_min) = 0 the last step starts at ℓ = 9. "balanced": half of the steps uniform
            in ℓ and half in α²/(α² + σ²), which resolves the times at which samples choose a basin. "signal": one
            fifth of the steps uniform in ℓ, two fifths in α²/(α² + σ²) and two fifths in α/(α + 3σ), which resolves
            the times at which structures form. "karras": uniform in (σ/α)^{1/ρ}, with the schedule's own ρ, or 7
            (Karras et al., arXiv:2206.00364, equation 5, whose N levels are S + 1 here, and whose last step to σ = 0 is
            the denoising step). Or a tensor of decreasing times.

    Raises:
        LeastworkError: steps is below 1, the spacing is unknown, or the times do not decrease within [t_min, t_max].

    >>> import leastwork as lw
    >>> process = Process(lw.VelocityModel(lambda x, t: x, event_shape=(1,)), kappa=0.0)
    >>> time_grid(process, 4).tolist()
    [1.0, 0.75, 0.5, 0.25, 0.0]
    """
    low, high = process.interval
    if isinstance(spacing, Tensor):
        times = spacing.to(torch.float64).cpu()
        inside = times.ndim == 1 and len(times) >= 2 and float(times[0]) <= high and float(times[-1]) >= low
        if not inside or not bool((times.diff() < 0).all()):
            levels = is_scored(process.model) and isinstance(process.model.schedule, EDMSchedule)
            hint = ": noise levels become times by schedule.times(levels)" if levels else ""
            raise LeastworkError(f"t_grid must hold at least two times that decrease within [{low}, {high}]{hint}")
        return times
    check_grid(spacing)
    steps = whole("steps", steps)
    if spacing == "uniform":
        return torch.linspace(high, low, steps + 1, dtype=torch.float64)
    if not is_scored(process.model):
        raise LeastworkError("a VelocityModel has no log-SNR: use t_grid='uniform' or pass the times")
    schedule = process.model.schedule
    first, last = schedule.log_snr(torch.tensor([high, low], dtype=torch.float64)).tolist()
    leaps = [
        math.isinf(first),
        math.isinf(last),
    ]  # from t_max to the first finite value, and from the last to t_min
    if any(leaps) and steps <= sum(leaps):
        return torch.linspace(high, low, steps + 1, dtype=torch.float64)
    ends = (-_LARGEST_LOG_SNR if leaps[0] else first, _LARGEST_LOG_SNR if leaps[1] else last)
    count = steps - sum(leaps)
    log_snr = _karras(*ends, count, _rho(schedule)) if spacing == "karras" else _log_snr(*ends, count, spacing)
    times = schedule.time_of(log_snr)
    times = torch.cat([times.new_tensor([high] * leaps[0]), times, times.new_tensor([low] * leaps[1])])
    times[0], times[-1] = high, low  # exactly: the inverse of the log-SNR has rounding errors
    return times


def check_grid(spacing: object) -> None:
    """Raise an error for a spacing that is neither the name of a grid nor a tensor of times."""
    if not (isinstance(spacing, Tensor) or (isinstance(spacing, str) and spacing in _GRIDS)):
        raise refused(
            "t_grid",
            spacing,
            "choose 'uniform', 'log-snr', 'balanced', 'signal', 'karras', or a tensor of times",
        )


def _rho(schedule: Schedule) -> float:
    return schedule.rho if isinstance(schedule, EDMSchedule) else _KARRAS_RHO


def _karras(first: float, last: float, steps: int, rho: float) -> Tensor:
    """Rising log-SNR ℓ, (steps + 1,), uniform in e^{−ℓ/2ρ}."""
    even = torch.linspace(0.0, 1.0, steps + 1, dtype=torch.float64)
    high, low = math.exp(-first / (2 * rho)), math.exp(-last / (2 * rho))
    return -2 * rho * (high + (low - high) * even).log()


def _log_snr(first: float, last: float, steps: int, spacing: str) -> Tensor:
    """Rising log-SNR ℓ, (steps + 1,), uniform in ℓ or in a weighted mean of ℓ and other measures."""
    even = torch.linspace(0.0, 1.0, steps + 1, dtype=torch.float64)
    if spacing == "log-snr":
        return first + (last - first) * even
    fine = torch.linspace(first, last, 20_001, dtype=torch.float64)
    basins, structures = fine.sigmoid(), (0.5 * fine - math.log(3.0)).sigmoid()  # α²/(α² + σ²) and α/(α + 3σ)
    parts = ((0.5, fine), (0.5, basins)) if spacing == "balanced" else ((0.2, fine), (0.4, basins), (0.4, structures))
    gone = sum(weight * (part - part[0]) / (part[-1] - part[0]) for weight, part in parts)
    assert isinstance(gone, Tensor)
    return torch.from_numpy(np.interp(even.numpy(), gone.numpy(), fine.numpy()))
