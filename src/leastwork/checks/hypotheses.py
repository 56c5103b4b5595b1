"""Hypotheses about a network: what it is given as state and as time, and what it returns.

    x = α x_0 + σ ε        D = p · output + q · x        σ' = u σ/α        n² = σ'² + σ_d²

The state is x as the model carries it, x/α as networks of EDM take it (Karras et al., arXiv:2206.00364), or x u/(α n),
which EDM calls c_in x; u is the unit of length in which the network knows the data, 1 but for models of ``from_edm``.
The time is t in either direction, in one or in a thousand steps, or a function of the noise level σ'. The output is
one of five predictions of either sign, or F of EDM's preconditioning, D = c_skip x + c_out F. Each of them gives D by
two numbers, p and q, which depend on t alone.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, get_args, runtime_checkable

from leastwork.models.diffusion import DiffusionModel
from leastwork.models.predictions import Moments, Prediction, data_weights

__all__ = ["EDMLike", "Given", "Hypothesis", "declared_hypothesis", "hypotheses", "unit_of"]

Input: TypeAlias = Literal["x", "x/α", "c_in x"]
Output: TypeAlias = Prediction | Literal["raw"]

_USUAL_SIGMA_DATA = (0.5, 1.0, 16.0)  # of EDM, k-diffusion and AlphaFold 3
_SCALED = 0.9  # α at t_max below which states differ from their unscaled form x/α


class _Reading(Protocol):
    """What a network of EDM is declared to return and to take as noise level."""

    @property
    def predicts(self) -> str: ...
    @property
    def sigma_data(self) -> float: ...
    @property
    def conditioning(self) -> str: ...


@runtime_checkable
class EDMLike(Protocol):
    """A wrapped network of EDM: the bare network, called as net(x, (B,), **context), and how it is declared."""

    net: Callable[..., Any]
    reading: _Reading


@dataclass(frozen=True)
class _Time:
    """A convention of time.

    Args:
        words: the convention in words.
        remedy: what to give the network of a DiffusionModel.
        remedy_of_sigma: what to give a network that ``from_edm`` calls with σ.
        value: its value at t, reversed t, the noise level σ' and σ_d.
    """

    words: str
    remedy: str
    remedy_of_sigma: str
    value: Callable[[float, float, float, float], float]


_LEVEL = "schedule.sigma(t) / schedule.alpha(t)"
_TIMES: Mapping[str, _Time] = {
    "t": _Time("its time is that of the schedule", "t", "schedule.times(sigma)", lambda t, back, level, s: t),
    "reversed": _Time(
        "its time runs from noise to data", "low + high - t, that is 1 - t", "1 - schedule.times(sigma)",
        lambda t, back, level, s: back,
    ),
    "thousand": _Time(
        "its time is in a thousand steps", "1000 t", "1000 * schedule.times(sigma)",
        lambda t, back, level, s: 1000 * t,
    ),
    "reversed thousand": _Time(
        "its time is in a thousand steps from noise to data", "1000 (low + high - t), that is 1000 (1 - t)",
        "1000 * (1 - schedule.times(sigma))", lambda t, back, level, s: 1000 * back,
    ),
    "noise level": _Time("its time is the noise level σ/α", _LEVEL, "sigma", lambda t, back, level, s: level),
    "log noise level": _Time(
        "its time is ln(σ/α)", f"({_LEVEL}).log()", "sigma.log()", lambda t, back, level, s: math.log(level)
    ),
    "c_noise": _Time(
        "its time is c_noise = ln(σ/α)/4", f"({_LEVEL}).log() / 4", "sigma.log() / 4",
        lambda t, back, level, s: math.log(level) / 4,
    ),
    "log-SNR": _Time(
        "its time is the log-SNR ln(α²/σ²)", "schedule.log_snr(t)", "-2 * sigma.log()",
        lambda t, back, level, s: -2 * math.log(level),
    ),
    "relative": _Time(
        "its time is c_noise = ln(σ/σ_d)/4", "", "(sigma / schedule.sigma_data).log() / 4",
        lambda t, back, level, s: math.log(level / s) / 4,
    ),
}  # fmt: skip
_CONDITIONING = {"c_noise": "log", "relative": "relative", "noise level": "sigma"}  # of from_edm, for raw networks


@dataclass(frozen=True)
class Given:
    """What a network is given: the state, the time, and σ_d where they depend on it."""

    state: Input = "x"
    time: str = "t"
    sigma_data: float = 1.0

    def scale(self, m: Moments, unit: float) -> float:
        """The number by which x is multiplied."""
        if self.state == "x":
            return 1.0
        return unit / m.alpha / (1.0 if self.state == "x/α" else math.hypot(unit * m.sigma / m.alpha, self.sigma_data))

    def time_at(self, t: float, m: Moments, model: DiffusionModel) -> float:
        """The time that the network is given."""
        low, high = model.interval
        return _TIMES[self.time].value(t, low + high - t, unit_of(model) * m.sigma / m.alpha, self.sigma_data)


@dataclass(frozen=True)
class Hypothesis:
    """What a network is given, what it returns, and with which sign."""

    given: Given
    output: Output
    sign: int = 1

    def weights(self, m: Moments, unit: float) -> tuple[float, float]:
        """(p, q) with D = p · output + q · x."""
        level = unit * m.sigma / m.alpha
        if self.output == "raw":
            ratio = self.given.sigma_data / math.hypot(level, self.given.sigma_data)
            return ratio * level / unit, ratio**2 / m.alpha
        if self.given.state == "x":
            p, q = data_weights(self.output, m)
            return self.sign * p, q
        p, q = data_weights(self.output, Moments(1.0, level, 0.0, 1.0))
        return self.sign * p / unit, q / m.alpha

    def departures(self, declared: "Hypothesis") -> int:
        """In how many respects it differs from the declaration."""
        a, b = self.given, declared.given
        changes = (self.output != declared.output, self.sign != declared.sign, a.state != b.state, a.time != b.time)
        return sum(changes) + (self.output == "raw" == declared.output and a.sigma_data != b.sigma_data)

    @property
    def of_edm(self) -> str:
        """The arguments by which ``from_edm`` takes such a network as it is; empty if it does not."""
        if self.output == "raw":
            conditioning, sigma_data = _CONDITIONING[self.given.time], f"{self.given.sigma_data:.3g}"
            return f"predicts='raw', conditioning={conditioning!r} and sigma_data={sigma_data}"
        plain = self.given.state == "x/α" and self.given.time == "noise level" and self.sign > 0
        return f"predicts={self.output!r}" if plain and self.output in ("data", "noise") else ""

    def declaration(self) -> str:
        """The hypothesis as the arguments by which a model is declared."""
        return self.of_edm or f"predicts={self.output!r}"

    def words(self, model: DiffusionModel) -> str:
        """The hypothesis and its remedy in words."""
        time = _TIMES[self.given.time]
        if self.of_edm:
            how = self.of_edm
            return f"it is a network of EDM with {how}: wrap it by leastwork.adapters.from_edm with these"
        declared, of_edm = declared_hypothesis(model), isinstance(model.net, EDMLike)
        parts: list[str] = []
        todo: list[str] = []
        if self.output != declared.output:
            parts.append(f"it predicts {self.output!r}")
            todo.append(f"set predicts={'noise' if of_edm and self.output == 'score' else self.output!r}")
        if self.given.state == "x/α" and not of_edm:
            parts.append("it takes x/α")
            todo.append("give it x / schedule.alpha(t)")
            todo += {"score": ["divide its output by schedule.alpha(t)"],
                     "v": ["multiply its output by schedule.alpha(t)"]}.get(self.output, [])  # fmt: skip
        if self.given.time != ("noise level" if of_edm else "t"):
            parts.append(time.words.replace("σ/α", "σ") if of_edm else time.words)
            todo.append(f"give it {time.remedy_of_sigma if of_edm else time.remedy}")
        if of_edm and self.output == "score":
            todo.append(f"return {'-' if self.sign > 0 else ''}sigma times its output")
        elif self.sign < 0:
            parts.append("its output has the other sign")
            todo.append("return its negative")
        return f"{' and '.join(parts)}: {', '.join(todo)}"


def unit_of(model: DiffusionModel) -> float:
    """The unit of length in which a bare network knows the data, over the model's own."""
    return model.net.reading.sigma_data if isinstance(model.net, EDMLike) else 1.0


def declared_hypothesis(model: DiffusionModel) -> Hypothesis:
    """How the model is declared."""
    if not isinstance(model.net, EDMLike):
        return Hypothesis(Given(), model.predicts)
    reading = model.net.reading
    if reading.predicts != "raw":
        return Hypothesis(Given("x/α", "noise level", reading.sigma_data), _output(reading.predicts))
    time = next(name for name, one in _CONDITIONING.items() if one == reading.conditioning)
    return Hypothesis(Given("c_in x", time, reading.sigma_data), "raw")


def _output(predicts: str) -> Output:
    return "data" if predicts == "data" else "noise"


def hypotheses(model: DiffusionModel, spread: float) -> Iterator[Hypothesis]:
    """All that are tried, those of one ``given`` one after another.

    Args:
        model: the model.
        spread: standard deviation of its data, network units, which σ_d should be.
    """
    unit, of_edm = unit_of(model), isinstance(model.net, EDMLike)
    plain = [name for name in _TIMES if name != "relative"]
    for time in plain if not of_edm else ():
        yield from _predictions(Given("x", time), get_args(Prediction))
    if model.periodic:
        return
    scaled = Moments.at(model.schedule, model.schedule.t_max).alpha < _SCALED
    for time in [*plain, "relative"] if of_edm else plain if scaled else ():
        yield from _predictions(Given("x/α", time, unit), ("data", "noise", "score") if of_edm else _OF_LEVEL)
    for sigma_data in sorted({*_USUAL_SIGMA_DATA, unit, float(f"{unit * spread:.2g}")}):
        for time in _CONDITIONING:
            yield Hypothesis(Given("c_in x", time, sigma_data), "raw")


_OF_LEVEL: tuple[Prediction, ...] = ("data", "noise", "score", "v")  # where α = 1, a velocity dx/dσ is the noise


def _predictions(given: Given, kinds: tuple[Prediction, ...]) -> Iterator[Hypothesis]:
    for kind in kinds:
        yield Hypothesis(given, kind)
        yield Hypothesis(given, kind, -1)
