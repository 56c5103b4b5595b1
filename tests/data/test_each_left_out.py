"""Techniques left out in turn: exact χ² of Gaussians, scales that only left-out data have, and units far apart."""

import math

import pytest
import torch

from leastwork.data.each_left_out import each_left_out
from leastwork.data.experiment import Experiment
from leastwork.data.fixed_point import fit_indirect
from leastwork.data.functions import Scaled
from leastwork.data.indirect import Indirect
from leastwork.data.mixture import join
from leastwork.errors import LeastworkError
from leastwork.observables import Observable, column

GRID = torch.linspace(-6, 6, 49, dtype=torch.float64)
PLANE = torch.cartesian_prod(GRID, GRID)
WEIGHT = -0.5 * PLANE.square().sum(dim=1)
BOTH = Observable(lambda x: torch.stack([x[:, 0], 0.6 * x[:, 0] + 0.8 * x[:, 1]], dim=1), names=("a", "b"))


def test_a_normal_distribution_predicts_the_other_average() -> None:
    data = Experiment(BOTH, values=[1.0, 0.9], errors=[0.5, 0.2])
    a, b = each_left_out(BOTH(PLANE), data, ["first", "second"], log_weight=WEIGHT, repeats=2)
    assert (a.group, a.count, b.group) == ("first", 1, "second")
    of_a, of_b = 0.6 * 0.9 / (1 + 0.2**2), 0.6 * 1.0 / (1 + 0.5**2)  # means of a and of b by the other datum
    assert a.before.value == pytest.approx((1.0 / 0.5) ** 2, abs=1e-6)
    assert a.after.value == pytest.approx(((1.0 - of_a) / 0.5) ** 2, abs=1e-6)
    assert b.after.value == pytest.approx(((0.9 - of_b) / 0.2) ** 2, abs=1e-5)
    assert b.change.value == pytest.approx(b.after.value - b.before.value)


def test_a_scale_of_left_out_data_alone_is_taken_where_they_agree_best() -> None:
    """Three intensities 2⟨O⟩ + 1 in one proportion: whatever the averages are, the factor and offset meet them."""
    lines = Observable(lambda x: torch.stack([x[:, 0] + 3, x[:, 0] + 4, x[:, 0] + 5], dim=1), names=("p", "q", "r"))
    exact = Indirect(
        lines, Scaled(scales=(0, 0, 0), offsets=(1, 1, 1)), lines.names, values=[7.0, 9.0, 11.0], errors=[0.1] * 3,
        parameters={"scale": 1.0, "offset": 0.0}, positive=("scale",),
    )  # fmt: skip
    other = Experiment(column(BOTH, "b"), values=[0.5], errors=[0.1])
    data = join([exact, other])
    groups = ["curve"] * 3 + ["b"]
    observed = data.observable(PLANE)
    held = torch.tensor([True, True, True, False])
    fit = fit_indirect(observed, Indirect(**{**vars(data), "held_out": held}), WEIGHT)
    shift = 0.6 * 0.5 / (1 + 0.1**2)
    assert fit.parameters["scale"].value == pytest.approx(2.0, abs=1e-6)
    assert fit.parameters["offset"].value == pytest.approx(1.0 - 2 * shift, abs=1e-5)
    assert fit.parameters["scale"].stderr > 0
    curve = each_left_out(observed, data, groups, log_weight=WEIGHT, repeats=2)[0]
    assert curve.before.value == pytest.approx(0.0, abs=1e-6)
    assert curve.after.value == pytest.approx(0.0, abs=1e-6)


def test_units_far_apart_change_neither_scale_nor_fit() -> None:
    """Intensities of 10⁻⁸ beside a datum of 10⁶, whose variances are 28 orders of ten apart."""

    def fitted(of_curve: float, of_other: float) -> tuple[float, float, float]:
        lines = Observable(
            lambda x: x[:, :1] + torch.tensor([5.0, 6.0, 8.0], dtype=torch.float64), names=("p", "q", "r")
        )
        curve = Indirect(
            lines, Scaled(scales=(0, 0, 0), offsets=(None,) * 3), lines.names,
            values=[of_curve * v for v in (5.5, 6.4, 8.4)], errors=[of_curve * 0.2] * 3, parameters={"scale": 1.0},
            positive=("scale",),
        )  # fmt: skip
        far = Observable(lambda x: of_other * x[:, 1:], names=("far",))
        data = join([curve, Experiment(far, values=[of_other * 0.7], errors=[of_other * 0.3])])
        fit = fit_indirect(data.observable(PLANE), data, WEIGHT)
        scale = fit.parameters["scale"]
        return scale.value / of_curve, scale.stderr / of_curve, fit.maxent.kl

    usual, far = fitted(1.0, 1.0), fitted(1e-8, 1e6)
    assert far == pytest.approx(usual, rel=1e-6)
    assert 0 < usual[1] < math.inf


def test_what_cannot_be_left_out() -> None:
    observed = BOTH(PLANE)
    with pytest.raises(LeastworkError, match="two are needed"):
        each_left_out(observed, Experiment(BOTH, values=[1.0, 0.9], errors=0.1), ["one", "one"])
    with pytest.raises(LeastworkError, match="has no error"):
        each_left_out(observed, Experiment(BOTH, values=[1.0, 0.9], errors=[0.1, 0.0]), ["one", "two"])
    with pytest.raises(LeastworkError, match="name one for each"):
        each_left_out(observed, Experiment(BOTH, values=[1.0, 0.9], errors=0.1), ["one"])
