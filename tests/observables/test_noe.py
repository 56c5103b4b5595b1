"""Inverse powers of distances, their derivatives, and what a bound of a distance is for their average."""

import pickle

import pytest
import torch
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.errors import LeastworkError, NonFiniteError
from leastwork.observables import bounds_from_distances, effective_distance, evaluate, inverse_powers

PAIRS = [(0, 3), (2, 1)]


def structures(n: int = 5, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, 4, 3, generator=random, dtype=torch.float64) + 0.3


@pytest.mark.parametrize("power", [3, 6])
def test_values_names_and_units(power: int) -> None:
    x = structures()
    observable = inverse_powers(PAIRS, power)
    squared = torch.stack([(x[:, i] - x[:, j]).square().sum(dim=1) for i, j in PAIRS], dim=1)
    torch.testing.assert_close(observable(x), 1 / squared ** (power / 2), rtol=1e-12, atol=0)
    assert observable.names == (f"d(0,3)^-{power}", f"d(2,1)^-{power}")
    assert inverse_powers(PAIRS, power, unit="Å").units == (f"Å^-{power}",) * 2
    assert observable(x.float()).dtype == torch.float32
    assert pickle.loads(pickle.dumps(observable)) == observable


def test_the_inverse_sixth_power_is_the_default() -> None:
    assert inverse_powers(PAIRS) == inverse_powers(PAIRS, 6)


@pytest.mark.parametrize("power", [3, 6])
def test_derivatives_are_those_of_finite_differences(power: int) -> None:
    x = structures(3).requires_grad_()
    assert torch.autograd.gradcheck(inverse_powers(PAIRS, power), x)


@pytest.mark.parametrize("power", [3, 6])
def test_an_upper_bound_of_the_distance_is_a_lower_bound_of_the_average(power: int) -> None:
    """An ensemble just inside the bound of its effective distance is just inside that of the average."""
    averages = evaluate(inverse_powers(PAIRS, power), structures(100)).mean(dim=0)
    distance = effective_distance(averages, power)
    for factor, inside in ((1.01, True), (0.99, False)):
        lower, _ = bounds_from_distances(factor * distance, power=power)
        assert ((averages >= lower) == inside).all()
    torch.testing.assert_close(bounds_from_distances(distance, power=power)[0], averages)


def test_the_effective_distance_is_short_of_the_mean() -> None:
    """Two distances, 0.3 and 0.6 nm, in equal parts: 0.336 nm, by hand."""
    x = torch.tensor([[[0.0, 0.0, 0.0], [0.3, 0.0, 0.0]], [[0.0, 0.0, 0.0], [0.6, 0.0, 0.0]]], dtype=torch.float64)
    average = evaluate(inverse_powers([(0, 1)]), x).mean(dim=0)
    by_hand = 0.3 * (0.5 * (1 + 2.0**-6)) ** (-1 / 6)
    assert effective_distance(average).item() == pytest.approx(by_hand)
    assert round(by_hand, 3) == 0.336


@pytest.mark.parametrize("power", [3, 6])
def test_errors_are_the_slope_of_the_bound(power: int) -> None:
    upper, sigma = torch.tensor([0.4, 0.5], dtype=torch.float64), 1e-6
    _, errors = bounds_from_distances(upper, sigma, power)
    low, high = (bounds_from_distances(upper + sign * sigma, power=power)[0] for sign in (1, -1))
    torch.testing.assert_close(errors, (high - low) / 2, rtol=1e-6, atol=0)
    _, exact = bounds_from_distances([0.4, 0.5], power=power)
    assert exact.tolist() == [0.0, 0.0]
    _, separate = bounds_from_distances([0.5, 0.5], [0.0, 0.1], power)
    assert separate[0] == 0
    assert separate[1].item() == pytest.approx(power * 2.0 ** (power + 1) * 0.1)


def test_an_experiment_takes_the_bounds() -> None:
    lower, errors = bounds_from_distances([0.5, 0.6], errors=0.05)
    data = Experiment(inverse_powers(PAIRS), lower=lower, errors=errors)
    low, high = data.interval
    torch.testing.assert_close(low, torch.tensor([0.5**-6, 0.6**-6], dtype=torch.float64))
    assert high.isinf().all()
    torch.testing.assert_close(data.covariance, errors.square().diag())


def test_atoms_in_one_place_are_not_passed_over() -> None:
    x = structures(2)
    x[1, 3] = x[1, 0]
    with pytest.raises(NonFiniteError, match=r"'d\(0,3\)\^-6' is NaN or infinite for 1 of 2 samples, the first at ind"):
        evaluate(inverse_powers(PAIRS), x)


@pytest.mark.parametrize("power", [0, 1, -6, 6.5])
def test_powers_that_are_none(power) -> None:
    for make in (
        lambda: inverse_powers(PAIRS, power),
        lambda: bounds_from_distances(0.5, power=power),
        lambda: effective_distance(1.0, power),
    ):
        with pytest.raises(LeastworkError, match=r"power = .*: an NOE goes with the inverse 6th power"):
            make()


@pytest.mark.parametrize(
    ("upper", "errors", "message"),
    [
        ([0.5, 0.0], 0.0, "0 is no upper bound of a distance: give a positive number"),
        ([float("inf")], 0.0, "inf is no upper bound of a distance"),
        ([float("nan")], 0.0, "nan is no upper bound of a distance"),
        ([0.5], -0.1, "-0.1 is no error of a distance: give 0 for a sharp bound"),
        ([0.5, 0.6], [0.1, 0.1, 0.1], "3 errors for 2 upper bounds: give one for all, or one each"),
        ("far", 0.0, "the upper bounds, 'far', are not numbers"),
        ([[0.5]], 0.0, r"the upper bounds are of shape \(1, 1\): give one number per pair"),
    ],
)
def test_bounds_that_are_none(upper, errors, message: str) -> None:
    with pytest.raises(LeastworkError, match=message):
        bounds_from_distances(upper, errors)


def test_averages_that_are_none() -> None:
    with pytest.raises(LeastworkError, match=r"-1 is no average of r\^-6: it is positive"):
        effective_distance(-1.0)


def test_pairs_are_checked() -> None:
    with pytest.raises(LeastworkError, match=r"\(1, 1\) are not 2 different atoms"):
        inverse_powers([(1, 1)])
