"""Check of the prediction and of time: the error of denoising under every one of the :mod:`hypotheses
<leastwork.checks.hypotheses>`.

    x = α x_0 + σ ε        error(hypothesis) = ⟨ |D_hypothesis(x, t) − x_0|² / d m(ℓ) ⟩ over log-SNRs ℓ,
    m(ℓ) = v/(1 + v α²/σ²)

m is the error of the best linear estimate from the data's mean variance v, so that a trained network has an error
below about 1. A hypothesis is named if its error is least, if no combination of the output with functions of x denoises
clearly better at any ℓ (:mod:`leastwork.checks.trial`), and if an output of zero would be worse under it, so that what
a network says counts. If the declaration does not fit, the data may have another unit or centre than the network's.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby

import torch

from leastwork.checks.hypotheses import EDMLike, Given, Hypothesis, declared_hypothesis, hypotheses, unit_of
from leastwork.checks.report import Check
from leastwork.checks.subject import Subject, flat
from leastwork.checks.trial import Known, Products, Trial
from leastwork.checks.units import other_units
from leastwork.geometry.state import State, smap
from leastwork.geometry.torus import noise_on_circle
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.predictions import Moments

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


def check_prediction(subject: Subject) -> Check:
    """Check that the declared prediction and time have the least denoising error."""
    model = subject.model
    assert isinstance(model, DiffusionModel)
    if subject.data is None:
        return Check("prediction", "skipped", "give data, and prediction, time and units are checked by denoising them")
    if subject.variance <= 1e-12:
        return Check("prediction", "fault", "all data are alike: give samples of what the model was trained on")
    declared = declared_hypothesis(model)
    tried = denoising_errors(subject, subject.data, [declared, *hypotheses(model, subject.variance**0.5)])
    own = tried[declared]
    fitting = {h: one.mean for h, one in tried.items() if one.mean < _FITS and one.tells and one.fits}
    best = _simplest({**fitting, declared: own.mean}, declared)
    least = tried[best].mean
    nothing = _says_nothing(subject, least, best) if own.mean >= _POOR or best != declared else ""
    if nothing:
        return Check("prediction", "fault", nothing)
    other = other_units(subject, own, lambda z: denoising_errors(subject, z, [declared])[declared])
    if other is not None and other.error < least:
        return other.check
    if least * _CLEAR < own.mean and _is_clear(own, tried[best]):
        return Check(
            "prediction",
            "fault",
            f"declared {declared.declaration()}, but the errors of denoising are {own.mean / least:.2g} times smaller "
            f"if {best.words(model)}",
        )
    return _verdict(declared, own)


def _verdict(declared: Hypothesis, own: Trial) -> Check:
    """The verdict on the declaration, as nothing else fits better."""
    done = f"{declared.declaration()} denoises the data, with {own.mean:.2f} times the error of a linear estimate"
    if own.mean >= _POOR:
        return Check(
            "prediction",
            "fault" if own.mean > _HOPELESS else "warning",
            f"the network denoises the data {own.mean:.3g} times worse than a linear estimate, whatever it predicts: "
            "check that the data are the ones it was trained on, in the same units and order, and that the schedule is "
            "too",
        )
    if not own.fits:
        return Check(
            "prediction",
            "warning",
            f"{done}, but at some noise level a correction of its output by a function of x would save "
            f"{own.excess:.0%} of the latter, and no other hypothesis fits: check what it returns and takes as time, "
            "the schedule, and how well it is trained",
        )
    if not own.tells:
        return Check(
            "prediction",
            "warning",
            f"{done}, no less than an output of zero has: it says nothing of these data under that prediction, and no "
            "other hypothesis fits; check what it returns, and whether its weights were loaded",
        )
    return Check("prediction", "ok", done)


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


def _simplest(means: dict[Hypothesis, float], declared: Hypothesis) -> Hypothesis:
    """Among the hypotheses with about the least error, the one closest to the declaration."""
    least = min(means.values())
    near = [h for h, mean in means.items() if mean <= _ALIKE * least]
    return min(near, key=lambda h: (h.departures(declared), means[h]))


def _is_clear(declared: Trial, other: Trial) -> bool:
    """Whether the other hypothesis is right beyond doubt.

    D is the mean of x_0 given x, so that ⟨|D′ − x_0|²⟩ = ⟨|D − x_0|²⟩ + ⟨|D′ − D|²⟩ for any D′. So the error falls by
    the whole squared change if the other hypothesis is right, and rises by it if the declared one is.
    """
    (mine, _), (error, change) = declared.errors, other.errors
    gain = mine - error
    if not bool(torch.isfinite(gain).all()):
        return True
    doubt = _SIGMAS * float(gain.std()) / len(gain) ** 0.5
    return float(gain.mean()) > max(doubt, _SHARE * float(change.mean()))


def denoising_errors(subject: Subject, data: State, wanted: Iterable[Hypothesis]) -> dict[Hypothesis, Trial]:
    """The errors of hypotheses; those that the network refuses are left out, but not the first, the declaration.

    Args:
        subject: the model.
        data: network units, (n, *event).
        wanted: hypotheses, those of one ``given`` one after another.
    """
    model = subject.model
    assert isinstance(model, DiffusionModel)
    groups = [(given, list(group)) for given, group in groupby(dict.fromkeys(wanted), key=lambda h: h.given)]
    x0, unit = flat(data), unit_of(model)
    variance = max(float(x0.var(dim=0).mean()), 1e-12)
    products: dict[Given, list[Products]] = {given: [] for given, _ in groups}
    noise = smap(lambda leaf: leaf[: len(x0)], subject.noise("prediction"))
    moments: list[Moments] = []
    for t in _times(model, variance):
        m = Moments.at(model.schedule, t)
        moments.append(m)
        x, known = _known(model, data, noise, t)
        linear = variance / (1 + variance * m.alpha**2 / m.sigma**2) * model.dimension / x0.shape[1]
        for given in list(products):
            try:
                output = flat(model.project(_answer(subject, given, x, t, m)))
            except Exception:  # a network may refuse what it is not for, which excludes the hypothesis
                if given == groups[0][0]:
                    raise
                del products[given]
                continue
            products[given].append(Products.of(known, output, linear))
    return {
        h: Trial(tuple(products[given]), tuple(h.weights(m, unit) for m in moments))
        for given, group in groups if given in products
        for h in group
    }  # fmt: skip


def _known(model: DiffusionModel, data: State, noise: State, t: float) -> tuple[State, Known]:
    """The noisy states, and what is known of them."""
    m, x0 = Moments.at(model.schedule, t), flat(data)
    x = smap(lambda a, b: m.alpha * a + m.sigma * b, data, noise)
    if model.periodic:  # x_0 of all windings that lead to x, which is x_0 where there is little noise
        x0 = flat(x) - m.sigma * noise_on_circle(flat(noise), m.sigma)
    return x, Known.of(flat(x), x0, flat(model.denoise(x, t)))


def _answer(subject: Subject, given: Given, x: State, t: float, m: Moments) -> State:
    """The network's own output under a hypothesis."""
    model = subject.model
    assert isinstance(model, DiffusionModel)
    scale, time = given.scale(m, unit_of(model)), given.time_at(t, m, model)
    x = smap(lambda leaf: scale * leaf, x) if scale != 1 else x
    if not isinstance(model.net, EDMLike):
        return subject.ask(x, time)
    bare = model.net.net
    called = replace(model, net=lambda x, t, **more: bare(x, t.expand(len(x)), **more))
    return replace(subject, model=called).ask(x, time)


def _times(model: DiffusionModel, variance: float) -> list[float]:
    """Times within the schedule at which signal and noise are of similar size."""
    ends = model.schedule.log_snr(torch.tensor([model.schedule.t_max, model.schedule.t_min], dtype=torch.float64))
    wanted = torch.tensor(_LOG_SNRS, dtype=torch.float64) - math.log(variance)
    return model.schedule.time_of(wanted.clamp(float(ends[0]), float(ends[1]))).tolist()
