"""Checks of the flow dx/dt = u(x, t): data carried to the noise and back return, and are distributed like the prior.

error = |x − x′| / |x − x̄|        (Heun's rule, 50 steps)

The comparison with the prior uses the maximum mean discrepancy (Gretton et al., J. Mach. Learn. Res. 13, 723, 2012).
"""

from dataclasses import replace
from typing import Any

import torch

from leastwork.checks.report import Check
from leastwork.checks.subject import Subject, flat
from leastwork.errors import LeastworkError
from leastwork.geometry.state import State, all_finite, smap
from leastwork.geometry.torus import wrap
from leastwork.models.base import is_periodic
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.velocity import StandardNormal, VelocityModel
from leastwork.sampling.process import Process
from leastwork.sampling.transport import transport
from leastwork.statistics.discrepancy import maximum_mean_discrepancy
from leastwork.statistics.estimate import Estimate

__all__ = ["check_direction", "check_round_trip"]

_ROUND_TRIPS = 64  # states that are carried there and back
_SMALL_ERROR = 0.05  # error of the round trip up to which all is well
_LARGE_ERROR = 0.5  # error of the round trip from which there is a fault
_ENCODED = 256  # data that are carried to the noise
_STEPS = 50  # steps of Heun's rule
_SIGMAS = 5.0  # standard errors of MMD² within which distributions agree
_SMALL_MMD = 0.01  # MMD² up to which distributions agree
_FITTING_MMD = 0.03  # MMD² below which a hypothesis is named; the largest possible is about a half
_CLEAR = 2.0  # factor by which the MMD² of such a hypothesis must be smaller


def check_round_trip(subject: Subject) -> Check:
    """Carry data to noise and back, or without data carry noise to data and back."""
    model = subject.model
    grid: dict[str, Any] = {"steps": _STEPS, "t_grid": "log-snr" if isinstance(model, DiffusionModel) else "uniform"}
    try:
        if subject.data is not None:
            start = model.to_data_units(smap(lambda leaf: leaf[:_ROUND_TRIPS], subject.data))
            back = transport(model, transport(model, start, **grid), forward=False, **grid)
        else:
            start = Process(model, 0.0).prior(subject.noise("round trip", _ROUND_TRIPS))
            back = transport(model, transport(model, start, forward=False, **grid), **grid)
    except LeastworkError as error:
        return Check("round trip", "fault", f"the flow cannot be followed ({error})")
    a, b = flat(start), flat(back)
    error = float((wrap(a - b) if is_periodic(model) else a - b).norm() / (a - a.mean(dim=0)).norm().clamp(min=1e-12))
    where = "data to noise and back" if subject.data is not None else "noise to data and back"
    if error < _SMALL_ERROR:
        return Check("round trip", "ok", f"{where} by the ODE: error {error:.1g} of the spread")
    words = (
        f"{where} by the ODE: error {error:.2g} of the spread in {_STEPS} steps; the velocity is not smooth, so take "
        "more steps, or check time, prediction and schedule"
    )
    return Check("round trip", "warning" if error < _LARGE_ERROR else "fault", words)


def check_direction(subject: Subject) -> Check:
    """Check that data are carried to the prior; if not, try the other direction of time and sign of the velocity."""
    model = subject.model
    assert isinstance(model, VelocityModel)
    if subject.data is None:
        return Check(
            "direction", "skipped", "give data, and the direction of time is checked by carrying them to noise"
        )
    declared = _distance(subject, model)
    if declared.value < max(_SIGMAS * declared.stderr, _SMALL_MMD):
        return Check("direction", "ok", f"carried to the noise, data are like the prior (MMD² {declared})")
    flipped = replace(model, data_at_one=not model.data_at_one)
    others = {
        f"its time runs the other way: set data_at_one={flipped.data_at_one}": flipped,
        "its velocity has the other sign: return its negative": _Negative.of(model),
        "its time runs the other way, but not its velocity: give it 1 - t": _Negative.of(flipped),
    }
    distances = {words: _distance(subject, other).value for words, other in others.items()}
    if not min(distances.values()) < _FITTING_MMD:
        wider = {words: _distance(subject, other) for words, other in _wider(subject, model).items()}
        distances |= {words: one.value for words, one in wider.items() if one.value < _SMALL_MMD}
    best = min(distances, key=lambda words: distances[words])
    found = f"carried to the noise, data are unlike the prior (MMD² {declared})"
    if distances[best] * _CLEAR < declared.value and distances[best] < _FITTING_MMD:
        return Check("direction", "fault", f"{found}, but less so ({distances[best]:.2g}) if {best}")
    words = f"{found}: check the prior, the units (shift=, scale=) and that these are the data it was trained on"
    return Check("direction", "warning", words)


def _distance(subject: Subject, model: VelocityModel) -> Estimate:
    """Squared MMD of encoded data and the prior; infinite if encoded data are not finite."""
    assert subject.data is not None
    x = model.to_data_units(smap(lambda leaf: leaf[:_ENCODED], subject.data))
    z = transport(model, x, steps=_STEPS)
    prior = model.prior.from_noise(subject.noise("direction", 4 * _ENCODED))
    if not bool(all_finite(z).all()):
        return Estimate(float("inf"), 0.0)
    target = flat(prior)
    bandwidth = float((target[::2] - target[1::2]).norm(dim=1).median())
    return maximum_mean_discrepancy(flat(z), target, max(bandwidth, 1e-12))


def _wider(subject: Subject, model: VelocityModel) -> dict[str, VelocityModel]:
    """The model with a normal prior as wide as its encoded data, in either direction of time, with its words."""
    found: dict[str, VelocityModel] = {}
    for one in (model, replace(model, data_at_one=not model.data_at_one)):
        assert subject.data is not None
        if model.periodic:
            continue
        x = model.to_data_units(smap(lambda leaf: leaf[:_ENCODED], subject.data))
        spread = float(f"{float(flat(transport(one, x, steps=_STEPS)).std()):.2g}")
        if 0 < spread < float("inf"):
            flipped = "" if one is model else f" and data_at_one={one.data_at_one}"
            words = f"its prior is as wide as that: pass prior=lw.StandardNormal({spread:g}){flipped}"
            found[words] = replace(one, prior=StandardNormal(spread))
    return found


class _Negative(torch.nn.Module):
    """The negative velocity −u, with the same parameters."""

    def __init__(self, model: VelocityModel) -> None:
        super().__init__()
        self.net = model.net

    def forward(self, x: State, t: torch.Tensor, **context: object) -> State:
        return smap(torch.neg, self.net(x, t, **context))

    @classmethod
    def of(cls, model: VelocityModel) -> VelocityModel:
        return replace(model, net=cls(model))
