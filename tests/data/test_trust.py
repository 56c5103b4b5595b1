"""θ by cross-validation: its curve in closed form for a normal distribution; errors that are wrong are noticed."""

import pytest
import torch
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.data.trust import chi_squared, trust
from leastwork.errors import LeastworkError
from leastwork.observables import component, stack

COVARIANCE = torch.tensor(
    [[1.0, 0.8, 0.5, 0.4], [0.8, 1.0, 0.4, 0.5], [0.5, 0.4, 1.0, 0.8], [0.4, 0.5, 0.8, 1.0]], dtype=torch.float64
)
GROUPS = ("first", "first", "second", "second")


def draws(n: int, seed: int) -> Tensor:
    """n normal samples with exactly this covariance and mean zero, so that closed forms hold."""
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = x - x.mean(dim=0)
    whiten = torch.linalg.inv(torch.linalg.cholesky(x.T @ x / n))
    return x @ whiten.T @ torch.linalg.cholesky(COVARIANCE).T


def data(values: Tensor, error: float, **flags) -> Experiment:
    return Experiment(stack(*(component(k, "abcd"[k]) for k in range(4))), values, error, **flags)


def test_curve_of_a_normal_distribution() -> None:
    """E_λ[O] = −C λ with λ = −(C + θΣ)⁻¹ o among the fitted data, to the accuracy of a sampled fourth moment."""
    o = torch.tensor([0.3, 0.2, 0.25, 0.1], dtype=torch.float64)
    curve = trust(draws(200_000, seed=1), data(o, 0.3), GROUPS, thetas=[0.5, 5.0])
    for t, theta in enumerate((0.5, 5.0)):
        for g, (kept, left) in enumerate((([2, 3], [0, 1]), ([0, 1], [2, 3]))):
            within = COVARIANCE[kept][:, kept]
            scale = torch.linalg.solve(within + theta * 0.09 * torch.eye(2, dtype=torch.float64), o[kept])
            miss = COVARIANCE[left][:, kept] @ scale - o[left]
            assert float(curve.by_group[t, g]) == pytest.approx(float(miss @ miss) / 0.09 / 2, rel=0.02)
    assert curve.groups == ("first", "second")
    assert curve.model == pytest.approx(float(o @ o) / 0.09 / 4, rel=1e-6)
    assert bool((curve.kl.diff() < 0).all())
    assert bool((curve.fitted.diff() > 0).all())
    assert bool((curve.ess.diff() > 0).all())


def chosen(noise: float, stated: float, seed: int) -> float:
    """θ for data of a tilted ensemble, means 0.8 COVARIANCE·1, with errors that are stated rightly or not."""
    truth = 0.4 * COVARIANCE.sum(dim=1)
    random = torch.Generator().manual_seed(seed)
    o = truth + noise * torch.randn(4, generator=random, dtype=torch.float64)
    return trust(SAMPLES, data(o, stated), GROUPS).theta


SAMPLES = draws(4_000, seed=2)


@pytest.mark.slow
def test_errors_that_are_too_small_are_noticed() -> None:
    """Medians of 10 repeats with fixed seeds: stated 0.1 where it is 0.8, against stated rightly."""
    wrong = sorted(chosen(0.8, 0.1, seed) for seed in range(10))
    right = sorted(chosen(0.8, 0.8, seed) for seed in range(10))
    assert wrong[5] > 10 * right[5]
    assert 0.05 < right[5] < 5


def test_good_data_are_followed() -> None:
    """With errors of a twentieth of what the model is off by, left-out data are predicted better than by the model."""
    o = 0.4 * COVARIANCE.sum(dim=1)
    curve = trust(SAMPLES, data(o, 0.05), GROUPS)
    assert float(curve.held_out.value[curve.chosen]) < 0.5 * curve.model


def test_held_out_data_take_no_part() -> None:
    o = torch.tensor([0.3, 0.2, 0.25, 0.1], dtype=torch.float64)
    curves = [
        trust(SAMPLES, data(o + torch.tensor([0, 0, 0, off]), 0.3, held_out=[False] * 3 + [True]), GROUPS, thetas=[1.0])
        for off in (0.0, 5.0)
    ]
    assert torch.equal(curves[0].by_group, curves[1].by_group)
    assert torch.equal(curves[0].fitted, curves[1].fitted)


def test_correlated_errors_count_once() -> None:
    """Of two data with one error ρ → 1, a common miss is one miss, not two: χ² = d²/(σ²(1 + ρ)) a datum."""
    covariance = torch.tensor([[1.0, 0.9], [0.9, 1.0]])
    both = Experiment(stack(component(0, "a"), component(1, "b")), [0.0, 0.0], covariance)
    assert chi_squared(torch.tensor([2.0, 2.0]), both, torch.tensor([0, 1])) == pytest.approx(4 / 1.9)


def test_what_cannot_be_cross_validated_is_refused() -> None:
    o = torch.zeros(4)
    with pytest.raises(LeastworkError, match="takes two"):
        trust(SAMPLES, data(o, 0.3), ["one"] * 4)
    with pytest.raises(LeastworkError, match="'b' has no error"):
        trust(SAMPLES, Experiment(data(o, 0.3).observable, o, [0.1, 0.0, 0.1, 0.1]), GROUPS)
    shared = torch.full((4, 4), 0.09)
    with pytest.raises(LeastworkError, match="an error of its own"):
        trust(SAMPLES, Experiment(data(o, 0.3).observable, o, shared), GROUPS)
    with pytest.raises(LeastworkError, match="3 groups for 4 data"):
        trust(SAMPLES, data(o, 0.3), GROUPS[:3])
    with pytest.raises(LeastworkError, match="positive"):
        trust(SAMPLES, data(o, 0.3), GROUPS, thetas=[0.0])
