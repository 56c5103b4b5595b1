"""Posteriors of λ, averages, populations and errors: closed forms, and coverage of their intervals."""

import math
import warnings

import pytest
import torch

from leastwork.data.experiment import Experiment
from leastwork.data.maxent import fit_lambdas
from leastwork.data.posterior import Posterior, posterior
from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.observables import Observable
from leastwork.support.random import generator

NAMES = tuple("abcdef")
COVARIANCE = 0.5 * torch.eye(6, dtype=torch.float64) + 0.5
ROOT = torch.linalg.cholesky(COVARIANCE)


def samples(n: int) -> torch.Tensor:
    """Normal samples with exactly this covariance and mean zero."""
    x = torch.randn(n, 6, generator=generator(0, "posterior"), dtype=torch.float64)
    x = x - x.mean(dim=0)
    return x @ torch.linalg.inv(torch.linalg.cholesky(x.T @ x / n)).T @ ROOT.T


def test_the_mode_is_maximum_entropy_and_the_spread_that_of_a_normal() -> None:
    """Of a normal model the posterior is normal: precision C⁻¹ + Σ⁻¹; 2000 draws are within 15 % (five errors)."""
    x = samples(5000)[:, :2]
    data = Experiment(Observable(lambda x: x, names=NAMES[:2]), [0.3, -0.2], [0.4, 0.4])
    found = posterior(x, data, draws=2000)
    weight = found.log_weight.softmax(dim=0)
    mean = weight @ found.averages
    assert torch.allclose(mean, fit_lambdas(x, data).predicted, atol=0.05)
    exact = torch.linalg.inv(torch.linalg.inv(COVARIANCE[:2, :2]) + torch.eye(2, dtype=torch.float64) / 0.16)
    spread = weight @ (found.averages - mean).square()
    assert torch.allclose(spread, exact.diagonal(), rtol=0.15)
    assert found.tail < 0.7
    assert found.ess > 1000


@pytest.mark.parametrize("size", [0.0, 1.0])
def test_the_factor_of_errors_is_that_of_quadrature(size: float) -> None:
    """Of a normal model y ~ N(0, C + θΣ); 2000 draws, of which half are effective, tell ln θ to 0.02."""
    x = samples(5000)[:, :2]
    y = torch.tensor([0.9, -0.9], dtype=torch.float64) * size
    found = posterior(x, Experiment(Observable(lambda x: x, names=NAMES[:2]), y, [0.5] * 2), ["one"] * 2, draws=2000)
    log_theta = torch.linspace(-4, 4, 801, dtype=torch.float64)
    variance = torch.tensor([1.5, 0.5], dtype=torch.float64)[:, None] + 0.25 * log_theta.exp()
    along = torch.tensor([y.sum(), y[0] - y[1]], dtype=torch.float64)[:, None].square() / 2
    exact = -0.5 * (log_theta / math.log(2)) ** 2 - 0.5 * (variance.log() + along / variance).sum(dim=0)
    drawn = found.log_weight.softmax(dim=0) @ found.thetas[:, 0].log()
    assert float(drawn) == pytest.approx(float(exact.softmax(dim=0) @ log_theta), abs=0.1)
    assert found.techniques == ("one",)
    assert not found.doubts


def test_redundant_observables_change_nothing() -> None:
    """A combination that is the same in every sample is left out of the determinant."""
    x = samples(2000)[:, :2]
    twice = torch.cat([x, -x.sum(dim=1, keepdim=True)], dim=1)
    data = Experiment(Observable(lambda x: x, names=NAMES[:3]), [0.3, -0.2, -0.1], [0.4, 0.4, 100.0])
    found = posterior(twice, data, draws=1000)
    assert found.ess > 600
    assert torch.allclose(found.averages.sum(dim=1), torch.zeros(1000, dtype=torch.float64), atol=1e-9)


def test_a_posterior_beyond_what_the_samples_reach_says_so() -> None:
    x = samples(200)[:, :1]
    data = Experiment(Observable(lambda x: x, names="a"), [4.0], [0.1])
    with pytest.warns(LeastworkWarning, match="effective samples of 200 .* so the truth may lie beyond"):
        found = posterior(x, data, draws=200)
    assert found.doubts


def test_bounds_leave_what_they_do_not_reach() -> None:
    x = samples(5000)[:, :1]
    data = Experiment(Observable(lambda x: x, names="a"), upper=[3.0], errors=[0.1])
    found = posterior(x, data, draws=1000)
    low, high = found.interval(found.averages[:, 0])
    assert float(low) == pytest.approx(-1.96, abs=0.3)
    assert float(high) == pytest.approx(1.96, abs=0.3)


def test_what_is_refused() -> None:
    x = samples(300)[:, :1]
    exact = Experiment(Observable(lambda x: x, names="a"), [0.1])
    with pytest.raises(LeastworkError, match="'a' has no error, so it has no posterior"):
        posterior(x, exact)
    stated = Experiment(Observable(lambda x: x, names="a"), [0.1], [0.1])
    with pytest.raises(LeastworkError, match="draws = 3: give at least 100"):
        posterior(x, stated, draws=3)
    found = posterior(x, stated, draws=500)
    with pytest.raises(LeastworkError, match="give a probability between 0 and 1"):
        found.interval(torch.zeros(100), 2)


def below(z: torch.Tensor) -> torch.Tensor:
    return 0.5 * (1 + torch.erf(z / math.sqrt(2)))


def exact_probabilities(y: torch.Tensor, found: Posterior, x: torch.Tensor) -> dict[str, float]:
    """The probability of 95 % intervals under the exact posterior, with ln θ of two techniques by quadrature; means.

    Given θ, λ and the averages m are normal, and the populations x > ½ are functions of m that increase.
    """
    covariance = COVARIANCE[:3, :3]
    line = math.log(2) * torch.linspace(-3.5, 3.5, 61, dtype=torch.float64)
    log_theta = torch.cartesian_prod(line, line)
    of_data = covariance + 0.25 * torch.diag_embed(log_theta.exp()[:, [0, 0, 1]])
    weight = -0.5 * (log_theta / math.log(2)).square().sum(dim=1) - 0.5 * torch.logdet(of_data)
    weight = (weight - 0.5 * torch.linalg.solve(of_data, y.expand(len(of_data), -1)) @ y).softmax(dim=0)
    gain = covariance @ torch.linalg.inv(of_data)
    inverse = torch.linalg.inv(covariance)

    def within(ends: tuple[torch.Tensor, torch.Tensor], to: torch.Tensor) -> float:
        mean, spread = gain @ y @ to, (to @ (covariance - gain @ covariance) @ to).diagonal(dim1=1, dim2=2).sqrt()
        low, high = (below((end - mean) / spread) for end in ends)
        return float((weight @ (high - low)).mean())

    low, high = found.interval(found.averages_of((x > 0.5).to(torch.float64)))
    ends = (0.5 + math.sqrt(2) * torch.erfinv(2 * low - 1), 0.5 + math.sqrt(2) * torch.erfinv(2 * high - 1))
    low, high = found.interval(found.thetas.log())
    of_theta = (low <= log_theta) & (log_theta <= high)
    return {
        "λ": within(found.interval(found.lambdas), -inverse),
        "averages": within(found.interval(found.averages), torch.eye(3, dtype=torch.float64)),
        "populations": within(ends, torch.eye(3, dtype=torch.float64)),
        "θ": float((weight @ of_theta.to(torch.float64)).mean()),
    }


@pytest.mark.slow
def test_intervals_cover_the_truth() -> None:
    """200 repeats: truths from the prior, errors of two techniques that are off by θ ~ exp(N(0, ln² 2)).

    Truths enter by their exact posterior, not as single ones, so that a mean of some 190 probabilities has an error of
    0.2 %: 94 % of averages, the least of them, are outside 93 to 97 % in 10⁻⁴ of seeds. Posteriors that doubt
    themselves do not count.
    """
    root = ROOT[:3, :3]
    random = generator(1, "truths")
    believed = []
    for repeat in range(200):
        x = torch.randn(3000, 3, generator=random, dtype=torch.float64) @ root.T
        theta = (math.log(2) * torch.randn(2, generator=random, dtype=torch.float64)).exp()
        noise = 0.5 * torch.randn(3, generator=random, dtype=torch.float64) * theta[[0, 0, 1]].sqrt()
        y = root @ torch.randn(3, generator=random, dtype=torch.float64) + noise
        data = Experiment(Observable(lambda x: x, names=NAMES[:3]), y, [0.5] * 3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LeastworkWarning)
            found = posterior(x, data, ["first", "first", "second"], draws=1000, seed=repeat)
        if not found.doubts:
            believed.append(exact_probabilities(y, found, x))
    shares = {key: sum(one[key] for one in believed) / len(believed) for key in believed[0]}
    print(shares, len(believed))
    assert len(believed) > 150
    assert all(0.93 <= share <= 0.97 for share in shares.values()), shares


@pytest.mark.slow
@pytest.mark.parametrize("true", [0.0, 0.02, 0.1])
def test_lambda_of_a_bound_that_only_just_acts_has_an_error(true: float) -> None:
    """λ of an upper bound on a normal average; 1000 fits, whose share has an error of 0.7 %."""
    random = generator(3, "bounds")
    inside = 0
    for _ in range(1000):
        x = torch.randn(300, 1, generator=random, dtype=torch.float64)
        fit = fit_lambdas(x, Experiment(Observable(lambda x: x, names="a"), upper=[-true]))
        inside += abs(float(fit.lambdas) - true) <= 1.96 * float(fit.stderr)
    print(true, inside)
    assert inside >= 930
