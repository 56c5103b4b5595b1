"""Free-energy profiles of models with exact answers."""

import pytest
import torch

import leastwork as lw
from leastwork.errors import LeastworkError, LeastworkWarning, NoPathWeightsError
from leastwork.free_energy.collected import Collected
from leastwork.free_energy.guided import Task
from leastwork.free_energy.profile import profile_of
from leastwork.free_energy.result import Profile
from leastwork.sampling.choices import Choices
from leastwork.support import extras
from leastwork.support.progress import no_progress

_FIVE = 5.0  # standard errors; false alarms 6·10⁻⁷ each
_X = lw.observables.component(0, "x")


def normal(dimension: int = 1) -> lw.DiffusionModel:
    return lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(dimension,))


def exact(edges: torch.Tensor) -> torch.Tensor:
    """−ln of the mean density of N(0, 1) in each bin, (B,)."""
    low = torch.where(edges[:-1] > 0, -edges[1:], edges[:-1])
    high = torch.where(edges[:-1] > 0, -edges[:-1], edges[1:])
    return -((torch.special.ndtr(high) - torch.special.ndtr(low)) / (edges[1:] - edges[:-1])).log()


@pytest.fixture(scope="module")
def profile() -> Profile:
    return lw.free_energy_profile(
        normal(), _X, lower=0.0, upper=4.0, bins=8, width=0.8, samples=300, own=2000, noised=6000, steps=25
    )


def test_a_normal_density_four_deviations_out(profile: Profile) -> None:
    error = (profile.values - exact(profile.edges[0])) / profile.errors
    assert bool((error.abs() < _FIVE).all())
    assert float(profile.errors.max()) < 0.4
    assert len(profile.windows) >= 2
    assert bool((profile.counts > 0).all())


def test_windows_overlap_with_their_neighbours(profile: Profile) -> None:
    assert float((profile.overlap.sum(dim=1) - 1).abs().max()) < 1e-6
    assert len(profile.effective) == len(profile.windows) + 1
    far = (profile.free_energies.value - profile.by_overlap).abs()
    assert float(far.max()) < 1.0  # over 8 k_BT


def test_differences_and_averages(profile: Profile) -> None:
    step = profile.difference(0, 7)
    assert step.value == pytest.approx(float(profile.values[7] - profile.values[0]))
    assert 0 < step.stderr < float(profile.errors[7] + profile.errors[0])
    square = profile.mean(lambda x: x[:, 0].square())
    assert abs(square.value - 1) < _FIVE * square.stderr


def test_two_columns() -> None:
    both = lw.observables.stack(_X, lw.observables.component(1, "y"))
    with pytest.warns(LeastworkWarning, match=r"samples are wanting .* give a larger most_windows"):
        profile = lw.free_energy_profile(
            normal(2), both, lower=0.5, upper=2.5, bins=(4, 3), width=0.7, samples=300, own=2000, noised=4000, steps=20,
            most_windows=1, seed=1,
        )  # fmt: skip
    wanted = exact(profile.edges[0])[:, None] + exact(profile.edges[1])
    assert profile.values.shape == (4, 3)
    known = profile.values.isfinite()
    assert bool(((profile.values - wanted).abs() < _FIVE * profile.errors)[known].all())
    assert int(known.sum()) >= 10
    assert profile.difference((0, 0), (2, 1)).value == pytest.approx(float(profile.values[2, 1] - profile.values[0, 0]))


def test_a_coordinate_that_never_moves() -> None:
    still = lw.observables.Observable(lambda x: 0 * x[:, 0] + 3, "height")
    with pytest.raises(LeastworkError, match=r"'height' is 3 in all 200 samples .*take another coordinate"):
        lw.free_energy_profile(normal(), still, own=200, steps=5)


def test_gaps_are_named() -> None:
    with pytest.warns(LeastworkWarning, match=r"samples are wanting at .* ≤ x ≤ 6, .*: draw more samples"):
        lw.free_energy_profile(
            normal(), _X, lower=-6, upper=6, own=1500, samples=50, noised=4000, most_windows=1, width=1.0, steps=10
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lower": 1.0, "upper": 0.0}, "exchange them"),
        ({"width": -1.0}, "give a positive number"),
        ({"lower": "left"}, "give one finite number"),
        ({"bins": (3, 3)}, "give one number for each of 1 columns"),
    ],
)
def test_arguments_are_checked(settings: dict[str, object], message: str) -> None:
    with pytest.raises(LeastworkError, match=message):
        lw.free_energy_profile(normal(), _X, own=100, steps=5, **settings)


def test_three_columns_and_the_ode_are_refused() -> None:
    three = lw.observables.stack(*(lw.observables.component(i) for i in range(3)))
    with pytest.raises(LeastworkError, match="pick them with"):
        lw.free_energy_profile(normal(3), three)
    with pytest.raises(NoPathWeightsError, match="take process='sde'"):
        lw.free_energy_profile(normal(), _X, process="ode")


def test_without_pymbar(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name=name)

    monkeypatch.setattr(extras, "import_module", missing)
    with pytest.raises(LeastworkError, match=r"pip install 'leastwork\[free-energy\]'"):
        lw.free_energy_profile(normal(), _X)


@pytest.mark.slow
def test_errors_cover_with_learned_guidance(profile: Profile) -> None:
    """100 repeats of all samples with the guidances of one profile, against the exact Gaussian of its chain's limit."""
    found = profile.windows
    networks = {part.window: drawn.network for part, drawn in zip(profile.joined.parts, profile.parts, strict=True)}
    inside = []
    for seed in range(100):
        task = Task(normal(), _X, Choices(steps=100), seed, 1000, no_progress)
        collected = Collected((task.drawn(task.own(1000)),), (0,))
        for number, window in enumerate(found, 1):
            guidance, own_seed = task.guidance(networks[number]), 1000 * (seed + 1) + number
            ensemble = lw.sample(normal(), 200, guidance, steps=100, seed=own_seed)
            collected = collected.with_tilt(window, [task.drawn(ensemble)])
        one = profile_of(collected, collected.joined(seed), profile.edges, _X)
        error = (one.values - exact(one.edges[0])).abs() / one.errors
        inside.append(error[one.counts > 10] < 1.96)
    covered = float(torch.cat(inside).double().mean())
    print(f"\ncovered {covered:.1%}")
    assert 0.93 < covered < 0.97
