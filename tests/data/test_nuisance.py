"""Scales and offsets against closed forms: for a normal distribution F(a, b) = ½ dᵀ(a²C + Σ)⁻¹d, d = o − a m − b."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import chi2
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.data.maxent import fit_lambdas
from leastwork.data.nuisance import fit_with_nuisance
from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.observables import component, stack

MEAN = torch.tensor([1.0, 2.0, -0.5], dtype=torch.float64)
COVARIANCE = torch.tensor([[0.3, 0.1, 0.0], [0.1, 0.4, 0.05], [0.0, 0.05, 0.2]], dtype=torch.float64)
ERRORS = torch.tensor([[0.04, 0.02, 0.0], [0.02, 0.04, 0.0], [0.0, 0.0, 0.01]], dtype=torch.float64)


def quadrature(nodes: int = 20) -> tuple[Tensor, Tensor]:
    """The normal distribution as weighted samples by the Gauss–Hermite rule: points (nodes³, 3) and ln weights."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    grid = np.stack([g.ravel() for g in np.meshgrid(x, x, x)], axis=1)
    log_w = sum(g.ravel() for g in np.meshgrid(np.log(w), np.log(w), np.log(w)))
    return torch.tensor(grid) @ torch.linalg.cholesky(COVARIANCE).T + MEAN, torch.tensor(log_w)


POINTS, LOG_WEIGHT = quadrature()


def data(values, errors, **flags) -> Experiment:
    return Experiment(stack(*(component(k, "abcdefgh"[k]) for k in range(len(values)))), values, errors, **flags)


def misfit(place: np.ndarray, o: Tensor) -> float:
    """F of a normal distribution at one scale and one offset."""
    a, b = float(np.exp(place[0])), float(place[1])
    d = o - a * MEAN - b
    return 0.5 * float(d @ torch.linalg.solve(a * a * COVARIANCE + ERRORS, d))


def test_offset_in_closed_form() -> None:
    """b is the mean of o − m weighted by (C + Σ)⁻¹, its variance 1/1ᵀ(C + Σ)⁻¹1, and the λ of a group sum to zero."""
    o = torch.tensor([8.3, 9.0, 6.7], dtype=torch.float64)
    found = fit_with_nuisance(POINTS, data(o, ERRORS), "ggg", scale=False, log_weight=LOG_WEIGHT)
    weight = torch.linalg.inv(COVARIANCE + ERRORS)
    exact = float((weight @ (o - MEAN)).sum() / weight.sum())
    assert found.offsets["g"].value == pytest.approx(exact, abs=1e-7)
    assert found.offsets["g"].stderr == pytest.approx(float(weight.sum()) ** -0.5, rel=1e-6)
    assert torch.allclose(found.maxent.lambdas, weight @ (MEAN + exact - o), atol=1e-6)
    assert abs(float(found.maxent.lambdas.sum())) < 1e-6
    assert not found.scales


def test_scale_and_offset_minimise_the_misfit() -> None:
    o = 2.5 * torch.tensor([1.2, 1.9, -0.2], dtype=torch.float64) + 4
    found = fit_with_nuisance(POINTS, data(o, ERRORS), "ggg", log_weight=LOG_WEIGHT)
    best = minimize(misfit, [math.log(found.scales["g"].value) + 0.1, found.offsets["g"].value - 0.1], (o,), tol=1e-12,
                    method="Nelder-Mead")  # fmt: skip
    assert math.log(found.scales["g"].value) == pytest.approx(best.x[0], abs=1e-5)
    assert found.offsets["g"].value == pytest.approx(best.x[1], abs=1e-5)
    step = 1e-4
    corners = [[misfit(best.x + step * np.array([i, j]), o) for j in (-1, 0, 1)] for i in (-1, 0, 1)]
    second = np.array(corners)
    curvature = np.array([
        [second[2, 1] - 2 * second[1, 1] + second[0, 1],
         (second[2, 2] - second[2, 0] - second[0, 2] + second[0, 0]) / 4],
        [0.0, second[1, 2] - 2 * second[1, 1] + second[1, 0]],
    ]) / step**2  # fmt: skip
    curvature[1, 0] = curvature[0, 1]
    inverse = np.linalg.inv(curvature)
    assert found.scales["g"].stderr / found.scales["g"].value == pytest.approx(math.sqrt(inverse[0, 0]), rel=1e-3)
    assert found.offsets["g"].stderr == pytest.approx(math.sqrt(inverse[1, 1]), rel=1e-3)


def test_the_experiment_returned_gives_the_same_fit() -> None:
    o = 2.5 * torch.tensor([1.2, 1.9, -0.2], dtype=torch.float64)
    found = fit_with_nuisance(POINTS, data(o, ERRORS), "ggg", offset=False, log_weight=LOG_WEIGHT)
    a = found.scales["g"].value
    assert torch.allclose(found.experiment.values, o / a)
    assert torch.allclose(found.experiment.covariance, ERRORS / a**2)
    again = fit_lambdas(POINTS, found.experiment, LOG_WEIGHT)
    assert torch.equal(again.lambdas, found.maxent.lambdas)
    assert float(again.lambdas @ again.predicted) == pytest.approx(0, abs=1e-6)  # ∂F/∂ln a


@pytest.mark.parametrize("error", [0.3, 1e-3, 0.0])
def test_nothing_nearby_is_better(error: float) -> None:
    """F by the fit alone, around what descent found, of functions that are not normal; down to data without error."""
    x = torch.randn(4_000, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    features = torch.cat([x, x.square(), x.sin() + 2 * x[:, [1, 2, 0]]], dim=1)[:, :8]
    tilt = torch.tensor([0.3, -0.2, 0.0, 0.1, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    truth = (features @ tilt).softmax(dim=0) @ features
    o, rest = torch.cat([truth[:2], 1.7 * truth[2:] - 5]), torch.tensor([0.0, 0.0] + [1.0] * 6, dtype=torch.float64)
    found = fit_with_nuisance(features, data(o, error), [None, None] + ["rest"] * 6)
    a, b = found.scales["rest"], found.offsets["rest"]

    def at(log_a: float, offset: float) -> float:
        scales = torch.where(rest == 1, math.exp(log_a), 1.0)
        fit = fit_lambdas(features, data((o - rest * offset) / scales, error / scales))
        return fit.kl + 0.5 * float((fit.lambdas * error / scales).square().sum())

    best = at(math.log(a.value), b.value)
    for angle in torch.arange(0, 2 * math.pi, math.pi / 4).tolist():
        away = (0.05 * math.cos(angle) * a.stderr / a.value, 0.05 * math.sin(angle) * b.stderr)
        assert at(math.log(a.value) + away[0], b.value + away[1]) > best + 1e-5
    assert abs(a.value - 1.7) < a.stderr
    assert abs(b.value + 5) < b.stderr
    if error < 0.01:
        assert torch.allclose(found.maxent.predicted[:2], truth[:2], atol=1e-4)


def test_scaled_and_shifted_data_are_recovered() -> None:
    """Averages far apart, as to their spread, tell scale and offset of two groups; the tilt is found as if both were
    known."""
    x = torch.randn(4_000, 1, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    features = x * torch.tensor([0.3, -0.2, 0.1, 0.2, 0.3, -0.1]) + torch.tensor([0.0, 10, 20, 1, 2, 30])
    truth = (0.5 * x[:, 0]).softmax(dim=0) @ features
    scales, offsets = torch.tensor([2.0] * 3 + [0.1] * 3), torch.tensor([-7.0] * 3 + [0.5] * 3)
    error = torch.tensor([2e-3] * 3 + [1e-4] * 3)
    found = fit_with_nuisance(features, data(scales * truth + offsets, error), ["rdc"] * 3 + ["shift"] * 3)
    for name, scale, offset in (("rdc", 2.0, -7.0), ("shift", 0.1, 0.5)):
        assert found.scales[name].value == pytest.approx(scale, rel=2e-3)
        assert found.offsets[name].value == pytest.approx(offset, abs=0.1 * scale)
    assert torch.allclose(found.maxent.predicted, truth, atol=0.02)


def test_offsets_have_the_errors_they_state() -> None:
    """Truth drawn from the model and data from their errors: (b − 5)/stderr is standard normal, its squares' sum χ².

    The false alarm of 100 repeats has probability 5.7·10⁻⁷ (z = 5, two-sided).
    """
    repeats, random, squares = 100, torch.Generator().manual_seed(0), 0.0
    root = torch.linalg.cholesky(COVARIANCE + ERRORS)
    for _ in range(repeats):
        o = MEAN + 5 + root @ torch.randn(3, generator=random, dtype=torch.float64)
        b = fit_with_nuisance(POINTS, data(o, ERRORS), "ggg", scale=False, log_weight=LOG_WEIGHT).offsets["g"]
        squares += ((b.value - 5) / b.stderr) ** 2
    tail = math.erfc(5 / math.sqrt(2)) / 2
    assert chi2.ppf(tail, repeats) < squares < chi2.isf(tail, repeats)


def test_held_out_data_have_no_part_but_are_rewritten() -> None:
    o = torch.tensor([8.3, 9.0, 6.7], dtype=torch.float64)
    held = [data(o + torch.tensor([0, 0, off]), ERRORS, held_out=[False, False, True]) for off in (0.0, 3.0)]
    fits = [fit_with_nuisance(POINTS, each, "ggg", scale=False, log_weight=LOG_WEIGHT) for each in held]
    assert fits[0].offsets["g"].value == fits[1].offsets["g"].value
    assert float(fits[1].experiment.values[2] - fits[0].experiment.values[2]) == pytest.approx(3)


def test_bounds_outside_the_groups_are_kept() -> None:
    o = [8.3, 9.0, None]
    found = fit_with_nuisance(
        POINTS, data(o, ERRORS, upper=[None, None, -0.8]), ["g", "g", None], scale=False, log_weight=LOG_WEIGHT
    )
    assert float(found.maxent.lambdas[2]) > 0
    assert float(found.experiment.upper[2]) == -0.8


def test_what_cannot_be_told_is_refused() -> None:
    o = torch.tensor([8.3, 9.0, 6.7], dtype=torch.float64)
    with pytest.raises(LeastworkError, match="'one' has 1 fitted value, which 1 unknown"):
        fit_with_nuisance(POINTS, data(o, ERRORS), ["one", None, None], offset=False, log_weight=LOG_WEIGHT)
    with pytest.raises(LeastworkError, match="'g' has 2 fitted values, which 2 unknowns"):
        fit_with_nuisance(POINTS, data(o, ERRORS), ["g", "g", None], log_weight=LOG_WEIGHT)
    with pytest.raises(LeastworkError, match="is a bound"):
        fit_with_nuisance(POINTS, data([1.0, None, 2.0], ERRORS, lower=[None, 0.0, None]), "ggg", scale=False)
    with pytest.raises(LeastworkError, match="no group 'h'"):
        fit_with_nuisance(POINTS, data(o, ERRORS), "ggg", scale=["h"])
    with pytest.raises(LeastworkError, match="2 groups for 3 data"):
        fit_with_nuisance(POINTS, data(o, ERRORS), "gg")
    with pytest.raises(LeastworkError, match="no group has a scale"):
        fit_with_nuisance(POINTS, data(o, ERRORS), [None] * 3)
    with pytest.raises(LeastworkError, match="the data of group 'g' are zero"):
        fit_with_nuisance(POINTS, data(0 * o, ERRORS), "ggg", offset=False, log_weight=LOG_WEIGHT)
    centred = POINTS - MEAN
    with pytest.raises(LeastworkError, match="of group 'g' are zero"):
        fit_with_nuisance(centred, data(o, ERRORS), "ggg", offset=False, log_weight=LOG_WEIGHT)


def test_scales_that_run_away_or_are_hardly_known() -> None:
    near = POINTS - MEAN + 0.05 * MEAN
    with pytest.raises(LeastworkError, match=r"the scale of 'g'.* must be positive"):
        fit_with_nuisance(POINTS, data(-MEAN, ERRORS), "ggg", offset=False, log_weight=LOG_WEIGHT)
    with pytest.warns(LeastworkWarning, match="the scale of 'g' is known to"):
        fit_with_nuisance(near, data(MEAN, ERRORS), "ggg", offset=False, log_weight=LOG_WEIGHT)
