"""Checks of the schedule: α̇ and σ̇ are the slopes of α and σ, the log-SNR falls, no signal is left at t_max.

α̇ ≈ (α(t + h) − α(t − h))/2h        ℓ = 2 ln α/σ        memory at t_max: v α²/σ², v the data's variance
Of angles the memory is e^{−σ²}.
"""

import math

import torch
from torch import Tensor

from leastwork.checks.report import Check
from leastwork.checks.subject import Subject
from leastwork.models.base import is_periodic, is_scored
from leastwork.schedules.base import Schedule

__all__ = ["check_schedule"]

_STEP = 1e-6  # h of the finite differences
_TIMES = 201  # times that are checked
_SLOPE_ERROR = 1e-3  # largest error of a slope, relative to the largest slope nearby
_INVERSE_ERROR = 1e-5  # largest error of the inverse of the log-SNR
_WARNING_MEMORY = 0.01  # signal over noise at t_max above which there is a warning
_FAULT_MEMORY = 0.25  # the same for a fault


def check_schedule(subject: Subject) -> list[Check]:
    """Check the consistency of the schedule, and how much of the data is left at its end."""
    model = subject.model
    assert is_scored(model)
    wrong = _inconsistent(model.schedule)
    if wrong:
        return [Check("schedule", "fault", wrong)]
    first, last = model.schedule.log_snr(
        torch.tensor([model.schedule.t_max, model.schedule.t_min], dtype=torch.float64)
    ).tolist()
    name = type(model.schedule).__name__
    fine = Check("schedule", "ok", f"{name}, log-SNR from {first:.3g} to {last:.3g}, slopes as by finite differences")
    left = math.exp(-math.exp(-first)) if is_periodic(model) else math.exp(first) * subject.variance
    return [fine, _memory(left)]


def _inconsistent(schedule: Schedule) -> str:
    """An inconsistency of the schedule in words; empty if there is none."""
    low, high = schedule.t_min, schedule.t_max
    edge = 0.005 * (high - low)
    t = torch.linspace(low + edge, high - edge, _TIMES, dtype=torch.float64)
    for name, value, slope in (
        ("alpha", schedule.alpha, schedule.alpha_dot),
        ("sigma", schedule.sigma, schedule.sigma_dot),
    ):
        there = value(t)
        if not bool(torch.isfinite(there).all()) or not bool((there > 0).all()):
            return f"{name} is not positive and finite throughout [{low}, {high}]: mend it, or move t_min or t_max"
        measured = (value(t + _STEP) - value(t - _STEP)) / (2 * _STEP)
        off = (slope(t) - measured).abs() / measured.abs().clamp(min=1e-2 * float(measured.abs().median()) + 1e-6)
        worst = int(off.argmax())
        if not float(off[worst]) < _SLOPE_ERROR:
            return (
                f"{name}_dot is {float(slope(t)[worst]):.4g} at t = {float(t[worst]):.3g}, but {name} changes by "
                f"{float(measured[worst]):.4g} a unit of t there: mend the derivative"
            )
    log_snr = schedule.log_snr(t)
    if not bool((log_snr.diff() < 0).all()):
        return "the log-SNR does not fall with t, and t = 0 is the data: let alpha fall and sigma rise"
    return _inverse(schedule, t, log_snr)


def _inverse(schedule: Schedule, t: Tensor, log_snr: Tensor) -> str:
    direct = 2 * (schedule.alpha(t).log() - schedule.sigma(t).log())
    if float((direct - log_snr).abs().max()) > 1e-4:
        return "log_snr is not 2 ln(alpha/sigma): mend one of them"
    if float((schedule.time_of(log_snr) - t).abs().max()) > _INVERSE_ERROR:
        return "time_of is not the inverse of log_snr: mend one of them"
    return ""


def _memory(left: float) -> Check:
    if left < _WARNING_MEMORY:
        return Check("memory", "ok", f"signal over noise at t_max is {left:.1g}: the prior knows nothing of the data")
    words = (
        f"signal over noise at t_max is {left:.2g}, which the prior leaves out: choose a schedule that ends in more "
        "noise, or give the scale of the data by scale="
    )
    return Check("memory", "fault" if left > _FAULT_MEMORY else "warning", words)
