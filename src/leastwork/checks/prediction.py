"""Check of the prediction and the direction of time: the error of denoising under every hypothesis.

    x = α x_0 + σ ε        error(hypothesis) = ⟨ |D_hypothesis(x, t) − x_0|² / d m(ℓ) ⟩ over log-SNRs ℓ,
    m(ℓ) = v/(1 + v α²/σ²)

m is the error of the best linear estimate from the data's mean variance v, so that a trained network has an error below
about 1 and a wrong hypothesis an error above 1. The hypotheses are five predictions with either sign, and time as
declared, reversed, in a thousand steps, or given as the noise level σ/α, its logarithm, c_noise = ln(σ/α)/4 (Karras et
al., arXiv:2206.00364) or the log-SNR. A hypothesis is named only if an output of zero would be worse under it, so that
what a network says counts. A network that has readings of its own, such as one of EDM, is tried in those instead. If
the declaration does not fit, the data may have another unit or centre than the network's.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol, get_args, runtime_checkable

import torch
from torch import Tensor

from leastwork.checks.report import Check
from leastwork.checks.subject import Subject, flat
from leastwork.checks.units import other_units
from leastwork.geometry.state import State, smap
from leastwork.geometry.torus import noise_on_circle
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.predictions import Moments, Prediction, to_data

__all__ = ["check_prediction", "denoising_errors"]

_LOG_SNRS = (-3.0, -1.5, 0.0, 1.5, 3.0)  # ln of the variance of the signal over that of the noise
_CLEAR = 1.05  # factor by which the error of another hypothesis must be smaller
_SIGMAS = 5.0  # standard errors by which it must be smaller: 3·10⁻⁷ false alarms for each hypothesis
_SHARE = 0.5  # share of the squared change of D by which the error must fall
_ALIKE = 1.02  # ratio of errors up to which hypotheses count as equally good
_FITS = 1.3  # error, in units of the linear estimate's, below which a hypothesis is named
_POOR = 1.3  # error, in the same unit, above which a network says little of the data
_LINEAR = 1.02  # error, in the same unit, of a linear network, which Gaussian data allow
_HOPELESS = 10.0  # error, in the same unit, above which there is a fault
_SCALED = 0.9  # α at t_max below which states differ from their unscaled form x/α
_TELLS = 0.95  # part of the error of an output of zero below which a network says something under a hypothesis
_LEVELS: Mapping[str, tuple[str, str, Callable[[float], float]]] = {
    "noise level": ("the noise level σ/α", "schedule.sigma(t) / schedule.alpha(t)", lambda level: level),
    "log noise level": ("ln(σ/α)", "(schedule.sigma(t) / schedule.alpha(t)).log()", math.log),
    "c_noise": (
        "c_noise = ln(σ/α)/4",
        "(schedule.sigma(t) / schedule.alpha(t)).log() / 4",
        lambda level: math.log(level) / 4,
    ),
    "log-SNR": ("the log-SNR ln(α²/σ²)", "schedule.log_snr(t)", lambda level: -2 * math.log(level)),
}  # what a network may take as its time: words, remedy, and its value at a noise level


@runtime_checkable
class Readable(Protocol):
    """A wrapped network that knows in which other ways its output may be read, such as one of EDM."""

    @property
    def words(self) -> str:
        """How the network is declared."""
        ...

    def readings(self, spread: float) -> Mapping[str, Callable[..., Tensor]]:
        """Other readings by their words, functions (x, t, **context) -> D in network units; spread: of the data."""
        ...


@dataclass(frozen=True)
class Hypothesis:
    """A kind of prediction, a sign, and a direction or unit of time; or the words of a reading of the network's own."""

    predicts: Prediction
    time: str = "declared"
    sign: int = 1
    reading: str = ""

    def words(self, model: DiffusionModel) -> str:
        """The hypothesis and its remedy in words."""
        if self.reading:
            return f"{self.reading}: wrap it by from_edm with these"
        if self.time == "level of x":
            return "it takes x/α and the noise level σ/α, as networks of EDM: wrap it by leastwork.adapters.from_edm"
        parts = [] if self.predicts == model.predicts else [f"it predicts {self.predicts!r}"]
        todo = [] if self.predicts == model.predicts else [f"set predicts={self.predicts!r}"]
        if self.time == "reversed":
            parts.append("its time runs from noise to data")
            todo.append("give it low + high - t, that is 1 - t")
        if self.time == "thousand":
            parts.append("its time is in a thousand steps")
            todo.append("give it 1000 t")
        if self.time in _LEVELS:
            told, remedy, _ = _LEVELS[self.time]
            parts.append(f"its time is {told}")
            todo.append(f"give it {remedy}")
        if self.sign < 0:
            parts.append("its output has the other sign")
            todo.append("return its negative")
        return f"{' and '.join(parts)}: {', '.join(todo)}"


def check_prediction(subject: Subject) -> Check:
    """Check that the declared prediction and direction of time have the least denoising error."""
    model = subject.model
    assert isinstance(model, DiffusionModel)
    if subject.data is None:
        return Check("prediction", "skipped", "give data, and prediction, time and units are checked by denoising them")
    if subject.variance <= 1e-12:
        return Check("prediction", "fault", "all data are alike: give samples of what the model was trained on")
    tried = denoising_errors(subject, subject.data)
    declared = Hypothesis(model.predicts)
    silent = {h.predicts: float(trial.error.mean()) for h, trial in tried.items() if h.time == "silent"}
    every = {h: float(trial.error.mean()) for h, trial in tried.items() if h.time != "silent"}
    means = {h: e for h, e in every.items() if h == declared or h.reading or e < _TELLS * silent[h.predicts]}
    best = _simplest(means, model)
    mine, least = means[declared], means[best]
    nothing = _says_nothing(subject, least, best) if mine >= _POOR or best != declared else ""
    if nothing:
        return Check("prediction", "fault", nothing)
    declared_errors = lambda data: denoising_errors(subject, data, only=declared)[declared].error  # noqa: E731
    other = other_units(subject, tried[declared].error, declared_errors)
    if other is not None and other.error < least:
        return other.check
    if least * _CLEAR < mine and least < _FITS and _is_clear(tried[declared], tried[best]):
        return Check(
            "prediction",
            "fault",
            f"declared {_declaration(model)}, but the errors of denoising are {mine / least:.2g} times smaller "
            f"if {best.words(model)}",
        )
    if mine < _POOR:
        return Check(
            "prediction",
            "ok",
            f"{_declaration(model)} denoises the data, with {mine:.2f} times the error of a linear estimate",
        )
    return Check(
        "prediction",
        "fault" if mine > _HOPELESS else "warning",
        f"the network denoises the data {mine:.3g} times worse than a linear estimate, whatever it predicts: "
        "check that the data are the ones it was trained on, in the same units and order, and that the schedule is too",
    )


def _declaration(model: DiffusionModel) -> str:
    return model.net.words if isinstance(model.net, Readable) else f"predicts={model.predicts!r}"


def _says_nothing(subject: Subject, least: float, best: Hypothesis) -> str:
    """A sentence about a network that returns its input or the same at all states; empty if it does neither."""
    x = subject.noise("prediction", 16)
    outputs = [flat(subject.ask(smap(torch.clone, x), subject.at(place))) for place in (0.1, 0.5, 0.9)]
    if all(bool((output == output[0]).all()) for output in outputs):
        return (
            "the network returns the same at all x, which denoises these data under no prediction: look at what it "
            "returns, and whether its weights were loaded"
        )
    same = all(
        any(torch.allclose(output, sign * flat(x), rtol=1e-5, atol=1e-8) for sign in (1, -1)) for output in outputs
    )
    if same and (least > _LINEAR or best.sign < 0):
        return "the network returns its input, which denoises these data under no prediction: look at what it returns"
    return ""


def _simplest(means: dict[Hypothesis, float], model: DiffusionModel) -> Hypothesis:
    """Among the hypotheses with about the least error, the one closest to the declaration."""
    least = min(means.values())
    near = [h for h, mean in means.items() if mean <= _ALIKE * least]
    return min(near, key=lambda h: (_departures(h, model), means[h]))


def _departures(h: Hypothesis, model: DiffusionModel) -> int:
    """In how many respects a hypothesis differs from the declaration."""
    if h.reading:
        return 1
    return (h.predicts != model.predicts) + (h.time != "declared") + (h.sign < 0)


def _is_clear(declared: "_Trial", other: "_Trial") -> bool:
    """Whether the other hypothesis is right beyond doubt.

    D is the mean of x_0 given x, so that ⟨|D′ − x_0|²⟩ = ⟨|D − x_0|²⟩ + ⟨|D′ − D|²⟩ for any D′. So the error falls by
    the whole squared change if the other hypothesis is right, and rises by it if the declared one is.
    """
    gain = declared.error - other.error
    if not bool(torch.isfinite(gain).all()):
        return True
    doubt = _SIGMAS * float(gain.std()) / len(gain) ** 0.5
    return float(gain.mean()) > max(doubt, _SHARE * float(other.change.mean()))


@dataclass(frozen=True)
class _Trial:
    """For every sample, (n,): |D′ − x_0|² of a hypothesis and |D′ − D|² to the declared D, over the linear error."""

    error: Tensor
    change: Tensor
    times: int = 1

    def __add__(self, other: "_Trial") -> "_Trial":
        return _Trial(self.error + other.error, self.change + other.change, self.times + other.times)


def denoising_errors(subject: Subject, data: State, only: Hypothesis | None = None) -> dict[Hypothesis, _Trial]:
    """The error of every hypothesis, in units of the linear estimate's.

    Args:
        subject: the model.
        data: network units, (n, *event).
        only: the declaration, if no other hypothesis is to be tried.
    """
    model = subject.model
    assert isinstance(model, DiffusionModel)
    wanted = flat(data)
    n, variance = len(wanted), max(float(wanted.var(dim=0).mean()), 1e-12)
    dimension = model.dimension / wanted.shape[1]  # on a subspace, some directions have no error
    noise = smap(lambda leaf: leaf[:n], subject.noise("prediction"))
    sums: dict[Hypothesis, _Trial] = {}
    times = _times(model, variance)
    for t in times:
        m = Moments.at(model.schedule, t)
        x = smap(lambda a, b, m=m: m.alpha * a + m.sigma * b, data, noise)
        if model.periodic:  # x_0 of all windings that lead to x, which is x_0 where there is little noise
            wanted = flat(x) - m.sigma * noise_on_circle(flat(noise), m.sigma)
        linear = dimension * variance / (1 + variance * m.alpha**2 / m.sigma**2) * len(times)
        declared = flat(model.denoise(x, t))
        for hypothesis, output in _outputs(subject, x, t) if only is None else [(only, subject.ask(x, t))]:
            denoised = flat(model.project(to_data(hypothesis.predicts, output, x, m)))
            error, change = ((denoised - other).square().mean(dim=1) / linear for other in (wanted, declared))
            trial = _Trial(error.nan_to_num(math.inf, math.inf), change.nan_to_num(math.inf, math.inf))
            sums[hypothesis] = sums[hypothesis] + trial if hypothesis in sums else trial
    return {hypothesis: trial for hypothesis, trial in sums.items() if trial.times == len(times)}


def _times(model: DiffusionModel, variance: float) -> list[float]:
    """Times within the schedule at which signal and noise are of similar size."""
    ends = model.schedule.log_snr(torch.tensor([model.schedule.t_max, model.schedule.t_min], dtype=torch.float64))
    wanted = torch.tensor(_LOG_SNRS, dtype=torch.float64) - math.log(variance)
    return model.schedule.time_of(wanted.clamp(float(ends[0]), float(ends[1]))).tolist()


def _outputs(subject: Subject, x: State, t: float) -> Iterator[tuple[Hypothesis, State]]:
    low, high = subject.interval
    model = subject.model
    assert isinstance(model, DiffusionModel)
    m = Moments.at(model.schedule, t)
    level = m.sigma / m.alpha
    for kind in get_args(Prediction):
        yield Hypothesis(kind, "silent"), smap(torch.zeros_like, x)
    if isinstance(model.net, Readable):
        yield Hypothesis(model.predicts), subject.ask(x, t)
        for words, reading in model.net.readings(subject.variance**0.5).items():
            try:
                yield Hypothesis("data", reading=words), replace(subject, model=replace(model, net=reading)).ask(x, t)
            except Exception:  # a network may refuse what it is not for, which excludes the reading
                continue
        return
    if Moments.at(model.schedule, high).alpha < _SCALED:
        with suppress(Exception):  # as below
            yield Hypothesis("data", "level of x"), subject.ask(smap(lambda leaf: leaf / m.alpha, x), level)
    times = {"declared": t, "reversed": low + high - t, "thousand": 1000 * t}
    for name, time in (times | {name: value(level) for name, (_, _, value) in _LEVELS.items()}).items():
        try:
            output = subject.ask(x, time)
        except Exception:  # a network may refuse times outside its range, which excludes the hypothesis
            continue
        if name in _LEVELS:  # such networks predict the data, or what was declared
            yield Hypothesis("data", name), output
            if model.predicts != "data":
                yield Hypothesis(model.predicts, name), output
            continue
        for predicts in get_args(Prediction):
            yield Hypothesis(predicts, name), output
            yield Hypothesis(predicts, name, -1), smap(torch.neg, output)
