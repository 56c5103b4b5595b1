"""The two moons: a density that is one, sampled as it says, with an exact flow."""

import pytest
import torch

import leastwork as lw
from leastwork.sampling.flow_density import log_prob
from leastwork.systems.moons import Moons

MOONS = Moons(std=0.12, upper=0.3)


def test_density_integrates_to_one_and_has_the_stated_mean() -> None:
    x, y = torch.linspace(-2.8, 2.8, 281, dtype=torch.float64), torch.linspace(-2, 2, 201, dtype=torch.float64)
    grid = torch.cartesian_prod(x, y)
    p = MOONS.log_prob(grid).exp() * float(x[1] - x[0]) * float(y[1] - y[0])
    assert float(p.sum()) == pytest.approx(1, abs=1e-9)
    assert torch.allclose(p @ grid, MOONS.mean, atol=1e-9)
    assert float(p @ MOONS.is_upper(grid)) == pytest.approx(0.3, abs=1e-9)


def test_quadrature_agrees_with_a_fine_sum() -> None:
    moons = Moons(std=0.03)
    angle = torch.pi * (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    arc = torch.stack([angle.cos() - 0.5, angle.sin() - 0.25], dim=1)
    x = torch.tensor([[-0.5, 0.75], [0.3, 0.4], [-1.5, -0.25], [0.0, 0.1]], dtype=torch.float64)
    centres = torch.cat([arc, -arc])
    terms = -0.5 * torch.cdist(x, centres).square() / 0.03**2
    fine = terms.logsumexp(dim=1) - torch.tensor(2 * torch.pi * 0.03**2 * len(centres), dtype=torch.float64).log()
    assert torch.allclose(moons.log_prob(x), fine, rtol=0, atol=2e-3)  # the fine sum is the coarser one at an arc's end


def test_samples_follow_the_density() -> None:
    """Five standard errors."""
    x = MOONS.sample(50_000, torch.Generator().manual_seed(1))
    mean = lw.Estimate.from_samples(x)
    assert bool(((mean.value - MOONS.mean).abs() < 5 * mean.stderr).all())
    upper = lw.Estimate.from_samples(MOONS.is_upper(x))
    assert abs(upper.value - 0.3) < 5 * upper.stderr
    entropy = lw.Estimate.from_samples(MOONS.log_prob(x))
    again = lw.Estimate.from_samples(MOONS.log_prob(MOONS.mixture.sample(50_000, torch.Generator().manual_seed(2))))
    assert abs(entropy.value - again.value) < 5 * (entropy.stderr**2 + again.stderr**2) ** 0.5


def test_the_exact_flow_has_this_density() -> None:
    x = MOONS.sample(20, torch.Generator().manual_seed(3))
    times = torch.linspace(1, 0, 81, dtype=torch.float64) ** 2
    found = log_prob(MOONS.flow(), x, t_grid=times)
    assert torch.allclose(found, MOONS.log_prob(x), rtol=0, atol=2e-3)


@pytest.mark.parametrize("changes", [{"std": 0.001}, {"std": float("nan")}, {"upper": 0.0}, {"upper": 1.0}])
def test_bad_parameters(changes: dict[str, float]) -> None:
    with pytest.raises(lw.LeastworkError, match="Moons needs"):
        Moons(**changes)


def test_bundled_models_share_weights_and_sample_the_moons() -> None:
    flow, diffusion = lw.load_model("moons-cnf"), lw.load_model("moons")
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(flow.velocity(x, 0.4), diffusion.velocity(x, 0.4), atol=1e-5)
    moons = Moons()
    for model, process in ((flow, "ode"), (diffusion, "sde")):
        ens = lw.sample(model, 10_000, process=process, solver="euler", steps=50, seed=4)
        # a wrong sign of time or of the velocity leaves nothing of this; the network's own error is a few hundredths
        assert float(moons.log_prob(ens.x).mean()) == pytest.approx(-1.0, abs=0.3)
        assert float(moons.is_upper(ens.x).mean()) == pytest.approx(0.5, abs=0.05)
