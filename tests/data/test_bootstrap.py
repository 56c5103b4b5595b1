"""Bootstrap errors against closed forms of a normal distribution, for which λ = (m − o)/(s² + σ²).

With B repeats, (B − 1) stderr² over the true variance is χ² of B − 1 degrees of freedom, where the statistic is linear
in what is drawn. Generators are fixed; a false alarm has probability 5.7·10⁻⁷ (z = 5, two-sided).
"""

import math
from typing import Any

import pytest
import torch
from scipy.stats import chi2
from torch import Tensor

from leastwork.data.bootstrap import Refit, bootstrap_reweighted
from leastwork.data.experiment import Experiment
from leastwork.data.maxent import fit_lambdas
from leastwork.errors import LeastworkError, NonFiniteError
from leastwork.observables import component, stack

FALSE_ALARM = math.erfc(5 / math.sqrt(2))
GRID = torch.linspace(-8, 8, 2001, dtype=torch.float64)[:, None]
LOG_NORMAL = -0.5 * GRID[:, 0].square()


def data(*values: float | None, errors: Any = 0.0, **bounds: Any) -> Experiment:
    return Experiment(stack(*(component(k, "abc"[k]) for k in range(len(values)))), list(values), errors, **bounds)


def normal(n: int, count: int = 1, seed: int = 0) -> Tensor:
    return torch.randn(n, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def agrees(stderr: float, exact: float, repeats: int) -> bool:
    """Whether the χ² of the repeats lies within its two-sided interval."""
    found = (repeats - 1) * (stderr / exact) ** 2
    return bool(chi2.ppf(FALSE_ALARM / 2, repeats - 1) < found < chi2.isf(FALSE_ALARM / 2, repeats - 1))


def lambda_and_average(refit: Refit) -> Tensor:
    return torch.cat([refit.fit.lambdas, refit.fit.predicted])


def test_errors_of_data() -> None:
    """λ = −o/(1 + σ²) and E_λ = o/(1 + σ²) are linear in o, so that the χ² is exact."""
    error, repeats = 0.5, 400
    found = bootstrap_reweighted(
        GRID, data(0.7, errors=error), lambda_and_average, log_weight=LOG_NORMAL, repeats=repeats, resample="data"
    )
    assert torch.allclose(found.value, torch.tensor([-0.7, 0.7], dtype=torch.float64) / 1.25, atol=1e-8)
    assert all(agrees(float(stderr), error / 1.25, repeats) for stderr in found.stderr)


def test_correlated_errors_of_data() -> None:
    """The covariance is drawn whole: the difference of two data with ρ = 0.9 varies by 2σ²(1 − ρ)."""
    covariance = 0.04 * torch.tensor([[1.0, 0.9], [0.9, 1.0]], dtype=torch.float64)
    found = bootstrap_reweighted(
        normal(100, 2),
        data(0.1, 0.2, errors=covariance),
        lambda refit: refit.experiment.values[0] - refit.experiment.values[1],
        repeats=400,
        resample="data",
    )
    assert found.value == pytest.approx(-0.1)
    assert agrees(found.stderr, math.sqrt(2 * 0.04 * 0.1), 400)


def test_errors_of_samples() -> None:
    """Var λ = e^{μ²}(1 + μ²)/(n (1 + σ²)²) with μ = E_λ[O], and E_λ[O] = o + σ²λ; the samples' own estimate too."""
    n, error, o, repeats = 20_000, 0.5, 0.6, 200
    x = normal(n, seed=1)
    found = bootstrap_reweighted(x, data(o, errors=error), lambda_and_average, repeats=repeats, resample="samples")
    mu = o / (1 + error**2)
    exact = math.sqrt(math.exp(mu**2) * (1 + mu**2) / n) / (1 + error**2)
    assert agrees(float(found.stderr[0]), exact, repeats)
    assert agrees(float(found.stderr[1]), exact * error**2, repeats)
    assert agrees(float(found.stderr[0]), float(fit_lambdas(x, data(o, errors=error)).stderr[0]), repeats)


def test_both_add() -> None:
    n, error, o, repeats = 400, 0.1, 0.3, 300
    found = bootstrap_reweighted(
        normal(n, seed=2), data(o, errors=error), lambda refit: refit.fit.lambdas[0], repeats=repeats
    )
    mu = o / (1 + error**2)
    variance = math.exp(mu**2) * (1 + mu**2) / n + error**2
    assert agrees(found.stderr, math.sqrt(variance) / (1 + error**2), repeats)


@pytest.mark.slow
def test_stderr_covers_independent_repeats() -> None:
    """z = (λ − truth)/stderr over 100 fresh sets of samples and data has mean square one."""
    n, error, tilt, sets = 200, 0.3, -0.4, 100
    squares = 0.0
    for k in range(sets):
        random = torch.Generator().manual_seed(100 + k)
        o = -tilt * (1 + error**2) + error * torch.randn(1, generator=random, dtype=torch.float64).item()
        x = torch.randn(n, 1, generator=random, dtype=torch.float64)
        found = bootstrap_reweighted(x, data(o, errors=error), lambda refit: refit.fit.lambdas[0], repeats=20, seed=k)
        squares += ((found.value - tilt) / found.stderr) ** 2 / sets
    # Student's t of 19 degrees of freedom: t² has mean 19/17 and variance 3·19²/(17·15) − (19/17)² = 3.0.
    assert abs(squares - 19 / 17) < 5 * math.sqrt(3.0 / sets)


def test_averages_of_other_functions() -> None:
    """An unfitted average under the model and a fitted one under the tilt, by the weights handed over."""
    x = normal(4_000, 2, seed=3)
    found = bootstrap_reweighted(
        x[:, :1], data(0.5), lambda refit: torch.stack([refit.model @ x[:, 1], refit.tilted @ x[:, 0]])
    )
    assert torch.allclose(found.value, torch.stack([x[:, 1].mean(), torch.tensor(0.5).double()]), atol=1e-12)
    assert agrees(float(found.stderr[0]), 1 / math.sqrt(4_000), 200)
    assert float(found.stderr[1]) < 1e-9  # an exact datum is met in every repeat


def test_groups_of_dependent_samples() -> None:
    """Each sample four times over: the error is that of a quarter as many."""
    x = normal(1_000, seed=4).repeat_interleave(4, dim=0)
    found = bootstrap_reweighted(x, data(0.2), lambda refit: refit.model @ x[:, 0], resample="samples", group=4)
    assert agrees(found.stderr, 1 / math.sqrt(1_000), 200)


def test_bounds_stay() -> None:
    """A bound that does not bind has λ = 0 in every repeat, and its end is not drawn anew."""
    seen = []
    found = bootstrap_reweighted(
        normal(500, 2, seed=5),
        data(0.1, None, errors=0.2, upper=[None, 2.0]),
        lambda refit: seen.append(refit.experiment.upper[1]) or refit.fit.lambdas[1],
        repeats=20,
    )
    assert found.value == found.stderr == 0
    assert set(map(float, seen)) == {2.0}


def test_seed_alone_decides() -> None:
    x = normal(300)
    draws = [bootstrap_reweighted(x, data(0.2, errors=0.1), lambda_and_average, repeats=10, seed=s) for s in (1, 1, 2)]
    assert torch.equal(draws[0].stderr, draws[1].stderr)
    assert not torch.equal(draws[0].stderr, draws[2].stderr)


def test_what_cannot_be_resampled_is_refused() -> None:
    x = normal(100)
    with pytest.raises(LeastworkError, match="repeats = 1"):
        bootstrap_reweighted(x, data(0.2), lambda_and_average, repeats=1)
    with pytest.raises(LeastworkError, match="choose one of"):
        bootstrap_reweighted(x, data(0.2), lambda_and_average, resample="all")  # pyright: ignore[reportArgumentType]
    with pytest.raises(LeastworkError, match="groups of 3"):
        bootstrap_reweighted(x, data(0.2), lambda_and_average, group=3)
    with pytest.raises(NonFiniteError, match="statistic"):
        bootstrap_reweighted(x, data(0.2), lambda refit: torch.tensor(math.nan))
