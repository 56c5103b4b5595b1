"""Check of the units of data: whether a network denoises them better in another unit, or about their mean.

    z → f z        z → z − mean        z → (z − mean)/std

The errors are those of :mod:`leastwork.checks.prediction`, in units of the linear estimate of the same data.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.checks.report import Check
from leastwork.checks.subject import Subject
from leastwork.checks.trial import Trial
from leastwork.geometry.state import State, smap
from leastwork.models.diffusion import DiffusionModel

__all__ = ["Units", "other_units"]

_UNITS = (10.0, 0.1, 1000.0, 1e-3)  # ratios of units that are tried
_FITS = 1.3  # error, in units of the linear estimate's, below which a change of unit is named
_CLEAR = 1.25  # factor by which the error must fall
_SIGMAS = 5.0  # standard errors by which it must fall: 3·10⁻⁷ false alarms for each change


@dataclass(frozen=True)
class Units:
    """The best change of unit: the error of denoising after it, and the fault that names it."""

    error: float
    check: Check


def other_units(subject: Subject, mine: Trial, trial_of: Callable[[State], Trial]) -> Units | None:
    """The change of unit after which the model denoises the data clearly better, or None.

    Args:
        subject: the model and its data.
        mine: the errors of the data as they are.
        trial_of: the errors of data in other units.
    """
    model, data = subject.model, subject.data
    assert isinstance(model, DiffusionModel)
    assert data is not None
    if model.periodic:
        return None
    changes = _changes(data, subject.variance**0.5, whole=model.subspace is not None)
    trials = {words: trial_of(changed) for words, changed in changes}
    fitting = {words: one.mean for words, one in trials.items() if one.mean < _FITS and one.fits}
    if not fitting:
        return None
    best = min(fitting, key=lambda words: fitting[words])
    least, gain = fitting[best], mine.errors[0] - trials[best].errors[0]
    doubt = _SIGMAS * float(gain.std()) / len(gain) ** 0.5 if bool(torch.isfinite(gain).all()) else 0.0
    if mine.mean < _CLEAR * least or float(gain.mean()) < doubt:
        return None
    return Units(least, Check("prediction", "fault", best.format(ratio=f"{mine.mean / least:.2g}")))


def _changes(data: State, spread: float, *, whole: bool) -> Iterator[tuple[str, State]]:
    """Data in other units, each with the words that name it; ``whole`` if one factor must hold for all coordinates."""
    for factor in (*_UNITS, 1 / spread):
        words = (
            f"the data are {1 / factor:.3g} times too large for the network, whose errors of denoising are {{ratio}} "
            f"times smaller in its own unit: multiply the model's scale by {1 / factor:.3g} (Å and nm differ by 10), "
            "so that data units = shift + scale · network units"
        )
        yield words, smap(lambda leaf, f=factor: f * leaf, data)
    if not isinstance(data, Tensor):
        return
    middle, each = data.mean(0), data.std(0)
    standard = {
        "shift=data.mean(0)": data - middle,
        "shift=data.mean(), scale=data.std()": (data - data.mean()) / data.std(),
    }
    if not whole and bool((each > 0).all()):
        standard["shift=data.mean(0), scale=data.std(0)"] = (data - middle) / each
    for remedy, changed in standard.items():
        words = "the network knows the data about their mean, where its errors of denoising are {ratio} times smaller: "
        yield f"{words}pass {remedy} of its training data to the model", changed
