"""Path Guidance end to end: weights, free energy and certificate against exact answers, and bad input."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import leastwork as lw
from leastwork.errors import LeastworkError, LeastworkWarning, NoPathWeightsError
from leastwork.geometry.state import State
from leastwork.kernels.region import Ball, Slab
from leastwork.path_guidance.job import guide_path
from leastwork.path_guidance.least_work import RegionFit
from leastwork.path_guidance.run import PathRun
from leastwork.sampling.work import least_work
from leastwork.systems.thin_region import TwoWell, two_well

Z = 5  # standard errors; false alarms below 10⁻⁶ a comparison
LAW = {"steps": 40, "solver": "euler", "t_grid": "log-snr"}


@pytest.fixture(scope="module")
def well() -> TwoWell:
    return two_well(0.02, dim=2)


@pytest.fixture(scope="module")
def points(well: TwoWell) -> torch.Tensor:
    return well.conditional_sample(12, torch.Generator().manual_seed(0)).float()


@pytest.fixture(scope="module")
def model(well: TwoWell) -> lw.DiffusionModel:
    return well.mixture.model(lw.VPSchedule())


@pytest.fixture(scope="module")
def run(model: lw.DiffusionModel, points: torch.Tensor, well: TwoWell) -> PathRun:
    """The cheapest method, which any method shares the run with."""
    return guide_path(
        model, points, "loss", region=well.region, samples=4000, budget=1_500_000, certificate_samples=8000, **LAW
    )


@pytest.fixture(scope="module")
def count(model: lw.DiffusionModel, well: TwoWell) -> torch.Tensor:
    """1_A of the model's own samples with the same steps, by count."""
    return well.region(lw.sample(model, 20_000, seed=99, **LAW).x).double()


def test_its_free_energy_is_that_of_a_count_from_the_same_discretised_model(run, count) -> None:
    p = float(count.mean())
    error = math.hypot(run.free_energy.stderr, float(count.std()) / math.sqrt(len(count)) / p)
    assert run.success.value > 5 * p
    assert abs(run.free_energy.value + math.log(p)) < Z * error
    assert error < 0.5


def test_its_work_is_above_the_least_and_its_bound_is_the_least(run, count) -> None:
    p = float(count.mean())
    least = least_work(p, run.success.value)
    certificate = run.certificate
    assert certificate.work.value > least - Z * certificate.work.stderr
    assert abs(certificate.bound.value - least) < Z * certificate.bound.stderr + 0.1
    assert abs(run.target - run.success.value) < Z * 2 * run.success.stderr  # a baseline is judged by its own share


def test_samples_inside_stand_for_the_model_given_the_region(run, model, well) -> None:
    drawn = run.sample(8000, seed=5)
    inside = run.inside(drawn)
    assert bool(well.region(inside.x).all())
    assert len(inside) == int(well.region(drawn.x).sum()) == len(inside.work) == len(inside.log_weight)
    found = inside.mean(lambda x: x[:, 0].square(), under="model")
    exact = well.conditional_sample(50_000, torch.Generator().manual_seed(1))[:, 0].square()
    assert abs(found.value - float(exact.mean())) < Z * found.stderr + 2e-4  # 40 steps


def test_a_run_refuses_the_seed_of_its_fit(run) -> None:
    with pytest.raises(LeastworkError, match="seed=0 was used for the fit"):
        run.sample(10, seed=0)


def test_none_inside_is_told(run) -> None:
    empty = replace(run, region=lambda x: x[:, 0] > 1e3)
    drawn = run.sample(16, seed=3)
    for ask in (empty.inside, empty.free_energy_of):
        with pytest.raises(LeastworkError, match="none of 16 samples is in the region: give more guides"):
            ask(drawn)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "cheap"}, "method='cheap' is not a method"),
        ({"method": "least-work", "success": 1.0}, "success=1.0 cannot be used: give a share between 0 and 1"),
        ({"region": lambda x: x[:, 0]}, r"region returned torch.float32 of shape \(4000,\): return one bool"),
        ({"region": lambda x: 1}, "region returned int: return one bool"),
        ({"region": lambda x: x[:, 0] > 1e3}, "none of the guides and of 4000 model samples: check its units"),
        ({"region": lambda x: x[:, 0].abs() > 0.5}, "region holds none of the guides: check its units"),
        ({"region": lambda x: x[:, 0] < 1e3}, "region holds all 4000 of the model's samples"),
        ({"points": torch.zeros(0, 2)}, "there are no guiding points"),
        ({"points": torch.zeros(1, 2)}, "one guiding point has no spread"),
        ({"points": torch.zeros(2, 2)}, "are the same for this kernel"),
        ({"points": torch.eye(3)}, r"guiding points have shape \(3,\) and the model's samples \(2,\)"),
    ],
)
def test_bad_input_is_told_in_a_sentence(model, points, change, message) -> None:
    arguments = {"points": points, "method": "loss", "samples": 4000, **LAW, **change}
    with pytest.raises(LeastworkError, match=message):
        guide_path(model, **arguments)


def test_a_budget_bounds_the_search(model, points, well) -> None:
    spent = 3 * 4000 * 41  # the model's own samples, and as many for the target through the network
    run = guide_path(model, points, "loss", region=well.region, samples=4000, budget=1_300_000, **LAW)
    assert 0.5 * 1_300_000 < run.network_evaluations <= 1_300_000
    with pytest.raises(LeastworkError, match="left for the search, which takes at least 165888"):
        guide_path(model, points, "loss", region=well.region, samples=4000, budget=spent + 1000, **LAW)


@pytest.mark.parametrize("choice", [{"process": "ode"}, {"solver": "heun"}, {"kappa": 0.5}])
def test_a_law_without_path_weights_is_refused(model, points, choice) -> None:
    with pytest.raises(NoPathWeightsError, match="a region's free energy needs path weights"):
        guide_path(model, points, samples=4000, **choice)


def test_a_flow_without_a_score_is_refused(points) -> None:
    flow = lw.VelocityModel(lambda x, t: -x, event_shape=(2,))
    with pytest.raises(LeastworkError, match="needs an SDE, and a VelocityModel has none"):
        guide_path(flow, points)


def test_guides_outside_the_region_and_beyond_the_model_give_a_warning(model, points, well) -> None:
    astray = points.clone()
    astray[0, 1] = 9.0  # thirty standard deviations
    small = {"samples": 1000, "budget": 500_000, **LAW}
    with pytest.warns(LeastworkWarning, match="can hardly produce 1 of 12 guides: carried forward, guide 0 is"):
        guide_path(model, astray, "loss", region=well.region, **small)
    outside = points.clone()
    outside[0, 0] = 1.0
    with pytest.warns(LeastworkWarning, match="1 of 12 guides are not in the region"):
        guide_path(model, outside, "loss", region=well.region, **small)


@pytest.mark.slow
def test_least_work_reaches_a_thin_region_of_ten_dimensions() -> None:
    """Success, efficiency and free energy of the 10-D pass at p(A) = 10⁻³; a quarter of an hour would be a fault."""
    well = two_well(1e-3)
    model = well.mixture.model(lw.VPSchedule())
    points = well.conditional_sample(12, torch.Generator().manual_seed(5)).float()
    run = guide_path(model, points, region=well.region)
    count = own_count(model, well)
    p = float(count.mean())
    assert run.success.value > 0.95 - Z * run.success.stderr
    assert run.certificate.efficiency.value > 0.85 - Z * run.certificate.efficiency.stderr
    error = math.hypot(run.free_energy.stderr, float(count.std()) / math.sqrt(len(count)) / p)
    assert abs(run.free_energy.value + math.log(p)) < Z * error


def own_count(model: lw.DiffusionModel, well: TwoWell) -> torch.Tensor:
    parts = [lw.sample(model, 200_000, seed=s, steps=200, t_grid="log-snr").x for s in (50, 51)]
    return torch.cat([well.region(x) for x in parts]).double()


def test_least_work_reaches_a_region_of_a_network_and_weighs_it(brief: Callable[[float], None]) -> None:
    brief(0.15)
    model = lw.load_model("moons")
    own = lw.sample(model, 10_000, seed=3, steps=30, t_grid="log-snr").x
    assert isinstance(own, Tensor)

    def region(x: State) -> Tensor:
        assert isinstance(x, Tensor)
        return (x - x.new_tensor([0.0, 1.0])).norm(dim=1) < 0.25

    inside = region(own)
    share = lw.Estimate.from_samples(inside.double())
    run = lw.guide_path(
        model, own[inside][:10], region=region, budget=800_000, certificate_samples=2000, steps=30, t_grid="log-snr"
    )
    assert run.network_evaluations <= 800_000
    assert run.success.value > 20 * share.value
    difference = run.free_energy.value + math.log(share.value)
    assert abs(difference) < 5 * math.hypot(run.free_energy.stderr, share.stderr / share.value)
    certificate = run.certificate
    assert certificate.bound.value - 5 * certificate.bound.stderr < certificate.work.value  # the second law
    assert isinstance(run.fit, RegionFit)
    assert run.fit.handover is None  # a region that is no interval has no border to follow


@pytest.mark.parametrize("region", [Slab(0, 1.2, 1.4), Ball((0.0, 1.0), 0.25), None])
def test_an_interval_is_met_by_its_border(region: Slab | Ball | None, brief: Callable[[float], None]) -> None:
    """That of one coordinate, of the distance from a point, and where no region is given of that from the guides."""
    brief(0.15)
    model = lw.load_model("moons")
    own = lw.sample(model, 4000, seed=3, steps=30, t_grid="log-snr").x
    assert isinstance(own, Tensor)
    points = own[(region or Ball((0.0, 1.0), 0.25))(own)][:10]
    run = lw.guide_path(
        model, points, region=region, budget=500_000, certificate_samples=1000, steps=30, t_grid="log-snr"
    )
    assert isinstance(run.fit, RegionFit)
    tried = [one for one in run.fit.history if one.variance is None][:2]
    assert [one.handover for one in tried] == [4.5, None]
    judged = [one for one in run.fit.history if one.variance is not None] + tried
    assert run.fit.handover == min(judged, key=lambda one: one.dissipation).handover
    assert run.success.value > 0.6


def test_a_border_is_not_followed_through_a_network_without_gradient(brief: Callable[[float], None]) -> None:
    brief(0.05)
    model = lw.load_model("moons")
    assert isinstance(model, lw.DiffusionModel)
    closed = replace(model, net=torch.no_grad()(model.net))
    own = lw.sample(closed, 4000, seed=3, steps=20, t_grid="log-snr").x
    assert isinstance(own, Tensor)
    slab = Slab(0, 1.2, 1.4)
    with pytest.warns(LeastworkWarning, match="cannot be differentiated"):
        run = lw.guide_path(
            closed, own[slab(own)][:10], region=slab, budget=300_000, certificate_samples=500, steps=20,
            t_grid="log-snr",
        )  # fmt: skip
    assert isinstance(run.fit, RegionFit)
    assert run.fit.handover is None
    assert not run.guidance.through_network
