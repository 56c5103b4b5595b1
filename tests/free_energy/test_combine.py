"""MBAR with path weights against exact normalisers, on windows whose samples are exact."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from leastwork.errors import LeastworkWarning
from leastwork.free_energy import combine
from leastwork.free_energy.combine import Joined, Part, join
from leastwork.free_energy.mbar import Mbar, solve_mbar
from leastwork.free_energy.profile import warn_of_windows
from leastwork.free_energy.result import bin_of
from leastwork.free_energy.windows import Window, balanced
from leastwork.observables import component
from leastwork.systems.mixtures import GaussianMixture

MIXTURE = GaussianMixture([0.9, 0.1], [[-1.0], [2.0]], [1.0, 0.5])
EDGES = (torch.linspace(-5.5, 5.5, 23, dtype=torch.float64),)
GRID = torch.linspace(-14, 14, 20_001, dtype=torch.float64)[:, None]
_SPACING = float(GRID[1, 0] - GRID[0, 0])
_FIVE = 5.0  # standard errors; false alarms 6·10⁻⁷ each


def masses() -> Tensor:
    """Probability of each bin, (22,)."""
    z = (EDGES[0][:, None] - MIXTURE.means[:, 0]) / MIXTURE.stds
    right = z[:-1] > 0
    low, high = torch.where(right, -z[1:], z[:-1]), torch.where(right, -z[:-1], z[1:])
    return (torch.special.ndtr(high) - torch.special.ndtr(low)) @ MIXTURE.weights


def windows(count: int = 10, width: float = 0.9) -> list[Window]:
    """Windows whose samples have their means at equal distances."""
    middles = torch.linspace(-5, 5, count, dtype=torch.float64)[:, None]
    slopes = balanced(GRID, MIXTURE.log_prob(GRID), middles, torch.tensor([width], dtype=torch.float64))
    return [Window((float(m),), (width,), (float(s),)) for m, s in zip(middles, slopes, strict=True)]


def log_z(window: Window) -> float:
    """ln E_p[e^r] by quadrature."""
    return float(torch.logsumexp(MIXTURE.log_prob(GRID) + window.log_tilt(GRID), dim=0)) + math.log(_SPACING)


def drawn(chosen: list[Window], n: int, noise: float, seed: int) -> tuple[Joined, list[Tensor]]:
    """2n samples of the model, and n of each window, whose ln W have that standard deviation around their mean."""
    random = torch.Generator().manual_seed(seed)
    seen, weights = [MIXTURE.sample(2 * n, random)], [torch.zeros(2 * n, dtype=torch.float64)]
    for window in chosen:
        density = torch.softmax(MIXTURE.log_prob(GRID) + window.log_tilt(GRID), dim=0)
        x = GRID[torch.multinomial(density, n, replacement=True, generator=random)]
        error = noise * torch.randn(n, generator=random, dtype=torch.float64) - 0.5 * noise**2
        seen.append(x)
        weights.append(log_z(window) - window.log_tilt(x) + error)
    parts = []
    for number, (x, log_weight) in enumerate(zip(seen, weights, strict=True)):
        tilts = [torch.zeros(len(x), dtype=torch.float64), *(window.log_tilt(x) for window in chosen)]
        parts.append(Part(log_weight, torch.stack(tilts), number))
    return join(parts, seed), seen


def _in_bins(seen: list[Tensor]) -> list[Tensor]:
    return [torch.nn.functional.one_hot(bin_of(x, EDGES) + 1, 23)[:, 1:].double() for x in seen]


@pytest.fixture(scope="module")
def joined() -> tuple[Joined, list[Tensor]]:
    return drawn(windows(), 400, noise=0.3, seed=0)


def test_probabilities_over_ten_orders_of_magnitude(joined: tuple[Joined, list[Tensor]]) -> None:
    mass, cov = joined[0].averages(_in_bins(joined[1]))
    error = (mass - masses()) / cov.diagonal().sqrt()
    assert bool((error.abs() < _FIVE).all())
    assert float((cov.diagonal().sqrt() / mass).max()) < 0.2


def test_normalisers_of_path_weights_and_of_overlaps(joined: tuple[Joined, list[Tensor]]) -> None:
    exact = torch.tensor([0.0, *map(log_z, windows())], dtype=torch.float64)
    found = joined[0].log_z
    error = (found.value - exact)[1:] / found.stderr[1:]
    assert bool((error.abs() < _FIVE).all())
    assert float((joined[0].mbar.free_energies + exact).abs().max()) < 1.0  # from overlaps alone, over 20 k_BT


def test_perfect_guidance_is_worth_more_than_counting() -> None:
    """A constant ln w knows Z_j exactly, and the controls pass this on to averages."""
    joined, seen = drawn(windows(), 200, noise=0.0, seed=1)
    tilt = [window.log_tilt for window in windows()][3]
    mean, cov = joined.averages([tilt(x).exp()[:, None] for x in seen])
    assert float(mean[0]) == pytest.approx(math.exp(log_z(windows()[3])), rel=1e-6)
    assert float(cov[0, 0].clamp(min=0).sqrt()) < 1e-6 * float(mean[0])


def test_the_weights_of_all_samples_add_up_to_one(joined: tuple[Joined, list[Tensor]]) -> None:
    total = sum(float(one.exp().sum()) for one in joined[0].log_weight)
    assert total == pytest.approx(1.0, abs=0.1)


def test_mbar_that_does_not_converge_is_told_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(tilts: list[Tensor], start: Tensor) -> Mbar:
        count = len(tilts)
        return Mbar(torch.full((count,), 50.0).double(), torch.eye(count).double(), 1.0, tuple(range(count)))

    monkeypatch.setattr(combine, "solve_mbar", failed)
    with pytest.warns(LeastworkWarning, match="MBAR did not converge .* draw more"):
        joined, seen = drawn(windows(), 200, noise=0.3, seed=2)
    mass, cov = joined.averages(_in_bins(seen))
    assert bool(((mass - masses()).abs() < _FIVE * cov.diagonal().sqrt()).all())


def test_windows_that_do_not_overlap_are_named() -> None:
    """Two windows ten widths apart: MBAR cannot join them, path weights can."""
    far = [Window((m,), (0.3,), (0.0,)) for m in (-1.0, 2.0)]
    joined, _ = drawn(far, 100, noise=0.1, seed=3)
    alone = replace(joined, mbar=replace(joined.mbar, parts=(0, 0, 2)))
    plan = SimpleNamespace(task=SimpleNamespace(coordinate=component(0, "x")), most_windows=2)
    with pytest.warns(LeastworkWarning, match=r"1 of 2 windows do not overlap .* window 2, .* take wider windows"):
        warn_of_windows(plan, alone, torch.zeros(0, 1))


def test_parts_that_no_overlap_connects() -> None:
    """Samples around 0 and around 50, of windows that see each other nowhere."""
    seen = torch.cat([torch.linspace(-1, 1, 50), torch.linspace(49, 51, 50)]).double()
    tilts = torch.stack([-0.5 * seen.square(), -0.5 * (seen - 50).square()])
    found = solve_mbar([tilts[:, :50], tilts[:, 50:]], torch.zeros(2, dtype=torch.float64))
    assert found.parts == (0, 1)
    assert float(found.overlap[0, 1]) < 1e-6


@pytest.mark.slow
def test_errors_cover() -> None:
    """100 repeats of 22 bins: the share within 1.96 errors; the bins of one repeat hardly depend on each other."""
    chosen, inside = windows(), 0.0
    for seed in range(100):
        joined, seen = drawn(chosen, 400, noise=0.3, seed=seed)
        mass, cov = joined.averages(_in_bins(seen))
        inside += float(((mass / masses()).log().abs() < 1.96 * cov.diagonal().sqrt() / mass).double().mean()) / 100
    print(f"\ncovered {inside:.1%}")
    assert 0.93 < inside < 0.97
