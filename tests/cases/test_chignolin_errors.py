"""Errors against the reference simulation: none of itself, and fewer where the biased one is reweighted."""

import math

import pytest
import torch

from leastwork.cases import chignolin
from leastwork.cases.chignolin.errors import describe, held_out, jensen_shannon
from leastwork.data.experiment import Experiment
from leastwork.data.maxent import fit_lambdas
from leastwork.observables import evaluate


def test_divergence_of_histograms_by_hand() -> None:
    """p = (1/2, 1/2), q = (1/4, 3/4) in two bins: m = (3/8, 5/8)."""
    x, y = torch.tensor([0.2, 0.8]), torch.tensor([0.2, 0.8, 0.9, 0.7])
    kl_p = 0.5 * math.log(0.5 / 0.375) + 0.5 * math.log(0.5 / 0.625)
    kl_q = 0.25 * math.log(0.25 / 0.375) + 0.75 * math.log(0.75 / 0.625)
    assert jensen_shannon(x, y, bins=2) == pytest.approx(0.5 * (kl_p + kl_q))
    assert jensen_shannon(x, x) == 0
    weight = torch.tensor([0.25, 0.75])
    assert jensen_shannon(x, y, weight, bins=2) == pytest.approx(0)


def test_the_reference_has_no_errors_against_itself() -> None:
    found = describe(chignolin.ensembles().reference)
    errors = held_out(found, found)
    assert max(abs(errors.js.value), errors.contacts.value, errors.radius.value, errors.ends.value) < 1e-12


def test_one_measured_number_mends_most_of_what_it_does_not_name() -> None:
    """The force fields differ in one term, which folding follows: all held-out errors fall by more than 60 %."""
    known = chignolin.ensembles()
    biased, reference = describe(known.biased), describe(known.reference)
    data = Experiment(chignolin.folded(), values=[known.record["reference"]["folded"]["mean"]], errors=[0.0])
    observed = evaluate(data.observable, known.biased)
    before = held_out(biased, reference)
    after = held_out(biased, reference, fit_lambdas(observed, data).log_tilt_of(observed))
    for name in ("js", "contacts", "radius", "ends"):
        assert getattr(after, name).value < 0.4 * getattr(before, name).value, name


def test_standard_errors_are_those_of_repeated_draws() -> None:
    """Of the mean size, over 40 draws of 400 frames each: their spread is within 30 % of the mean standard error."""
    reference = describe(chignolin.ensembles().reference)
    biased = describe(chignolin.ensembles().biased)
    random = torch.Generator().manual_seed(0)
    draws = [held_out(biased.at(torch.randint(20_000, (400,), generator=random)), reference).radius for _ in range(40)]
    spread = torch.tensor([draw.value for draw in draws]).std()
    assert 0.7 < float(spread) / (sum(float(draw.stderr) for draw in draws) / 40) < 1.3
