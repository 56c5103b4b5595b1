import math

import pytest
import torch

import leastwork as lw
from leastwork.geometry.frames import are_frames, flat_tangent, moved, moved_rigidly, tangent_from
from leastwork.geometry.rotations import exp, random_rotations, uniform
from leastwork.geometry.state import flatten
from leastwork.models.frames import FrameModel
from leastwork.models.symmetry import has_no_orientation, is_invariant
from leastwork.networks.value import ValueNetwork
from leastwork.schedules.angles import AngleSchedule

SCHEDULE = lw.VPSchedule(0.1, 20.0)


def frames(n: int, residues: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    shift, turn = (torch.randn(n, residues, 3, generator=random, dtype=torch.float64) for _ in range(2))
    return shift, uniform(turn)


def lively(network: ValueNetwork) -> ValueNetwork:
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=random, dtype=parameter.dtype))
    return network


@pytest.mark.parametrize("invariant", [False, True])
def test_gradient_and_jacobian_of_value_networks(invariant: bool):
    residues = 4
    network = lively(ValueNetwork(12 * residues, width=16, invariant=invariant, frames=True).double())
    x, random = frames(5, residues), torch.Generator().manual_seed(2)
    direction = torch.randn(5, 6 * residues, generator=random, dtype=torch.float64)
    alpha, sigma = torch.tensor(0.8, dtype=torch.float64), torch.tensor(0.6, dtype=torch.float64)

    def along(s: float) -> torch.Tensor:
        return flatten(moved(x, tangent_from(s * direction)))

    def slope(fn) -> torch.Tensor:
        return (fn(along(1e-5)) - fn(along(-1e-5))) / 2e-5

    with torch.no_grad():
        _, gradient = network.value_and_gradient(flatten(x), alpha, sigma)
        assert ((gradient * direction).sum(dim=1) - slope(lambda y: network(y, alpha, sigma))).abs().max() < 1e-6
        one, two = alpha.reshape(1, 1), sigma.reshape(1, 1)
        seen = network.view(flatten(x), one, two)
        pushed = network.view.push(seen, direction)
        assert (pushed - slope(lambda y: network.view(y, one, two).values)).abs().max() < 1e-6


def test_an_invariant_network_does_not_see_rigid_motions_but_hands():
    residues = 4
    network = lively(ValueNetwork(12 * residues, width=16, invariant=True, frames=True).double())
    x = frames(6, residues)
    motion = random_rotations(6, torch.Generator().manual_seed(3))
    one, half = torch.tensor(0.9, dtype=torch.float64), torch.tensor(0.4, dtype=torch.float64)

    def value(y: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return network(flatten(y), one, half)

    assert (value(moved_rigidly(x, motion, 2.5)) - value(x)).abs().max() < 1e-10
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64))
    mirrored = (x[0] @ mirror, mirror @ x[1] @ mirror)
    assert (value(mirrored) - value(x)).abs().max() > 1e-3


def test_tangents_are_flat_and_back():
    flat = torch.arange(24.0).reshape(1, 24)
    assert torch.equal(flat_tangent(tangent_from(flat)), flat)
    assert are_frames(frames(2, 3))
    assert not are_frames((torch.zeros(2, 3, 3), torch.zeros(2, 3, 3)))


def toward_its_middle(x, t):
    """Equivariant scores of nothing in particular."""
    middle = x[0].mean(dim=1, keepdim=True)
    turn = (x[1].mT @ (middle - x[0])[..., None]).squeeze(-1)
    return middle - x[0], turn


def test_symmetry_is_found_by_asking():
    model = FrameModel(toward_its_middle, SCHEDULE, AngleSchedule(), residues=5)
    assert has_no_orientation(model)
    assert not has_no_orientation(FrameModel(lambda x, t: (x[0], x[0]), SCHEDULE, AngleSchedule(), residues=5))
    x = frames(100, 5)
    assert is_invariant(lambda y: (y[0][:, 0] - y[0][:, 1]).norm(dim=1), x)
    assert not is_invariant(lambda y: y[1][:, 0, 0, 0], x)


def test_states_and_units():
    model = FrameModel(toward_its_middle, SCHEDULE, AngleSchedule(), residues=3, scale=0.5, subspace=lw.ZeroCentre())
    assert model.dimension == 15
    ensemble = lw.sample(model, 10, steps=4)
    assert are_frames(ensemble.x)
    assert ensemble.x[0].mean(dim=1).abs().max() < 1e-4
    assert (torch.linalg.det(ensemble.x[1]) - 1).abs().max() < 1e-5
    back = model.to_data_units(model.to_network_units(ensemble.x))
    assert torch.allclose(back[0], ensemble.x[0])


def test_the_same_seed_gives_the_same_frames_whatever_the_batch():
    model = FrameModel(toward_its_middle, SCHEDULE, AngleSchedule(), residues=3)
    one, other = (lw.sample(model, 12, steps=5, seed=3, batch_size=size).x for size in (12, 5))
    for a, b in zip(one, other, strict=True):
        assert (a - b).abs().max() < 1e-5


def test_levers_make_the_work_of_both_parts():
    # With ℓ uniform, ½∫|lever h|² dℓ = ½∫g²|h|² dt: here for h = 1 in one coordinate of each kind.
    model = FrameModel(toward_its_middle, SCHEDULE, AngleSchedule(), residues=1)
    times = torch.linspace(0.1, 0.9, 4001, dtype=torch.float64)
    rate = SCHEDULE.log_snr(times).diff().abs()
    middle = 0.5 * (times[1:] + times[:-1])
    levers = torch.tensor([model._lever(float(t)) for t in middle], dtype=torch.float64)
    work = float((levers.square() * rate).sum())
    sigma = model.angles.sigma(torch.tensor([0.1, 0.9], dtype=torch.float64))
    assert abs(work - float(sigma[1] ** 2 - sigma[0] ** 2)) < 1e-4 * work


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: AngleSchedule(0.0, 1.0), "0 < sigma_min < sigma_max"),
        (lambda: FrameModel(toward_its_middle, SCHEDULE, AngleSchedule(), residues=0), "at least one"),
        (lambda: FrameModel(toward_its_middle, "vp", AngleSchedule(), residues=2), "VPSchedule"),  # pyright: ignore
        (lambda: FrameModel(toward_its_middle, lw.LinearSchedule(), AngleSchedule(), residues=2), "end the schedule"),
        (lambda: ValueNetwork(13, frames=True), "12 coordinates"),
        (lambda: ValueNetwork(12, frames=True, invariant=True), "two frames"),
    ],
)
def test_bad_input(build, says: str):
    with pytest.raises(lw.LeastworkError, match=says):
        build()


def test_heun_and_euclidean_guidance_are_refused():
    model = FrameModel(toward_its_middle, SCHEDULE, AngleSchedule(), residues=2)
    with pytest.raises(lw.LeastworkError, match="not defined for rotations"):
        lw.sample(model, 2, steps=3, solver="heun")

    class Entries:
        through_network = False

        def __call__(self, x, t, denoised):
            return x

    with pytest.raises(lw.LeastworkError, match="give turns"):
        lw.sample(model, 2, Entries(), steps=3)


def test_noise_of_frames_is_that_of_the_process():
    model = FrameModel(toward_its_middle, SCHEDULE, AngleSchedule(), residues=2)
    x0 = tuple(part.float() for part in frames(4000, 2))
    x, levers, difference = model.noised(x0, 0.3, torch.Generator().manual_seed(0))
    sigma = math.exp(math.log(0.02) + 0.3 * math.log(2.33 / 0.02))
    trace = (x0[1].mT @ x[1]).diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    assert abs(float(trace.mean()) - 3 * math.exp(-(sigma**2))) < 5 * float(trace.std()) / math.sqrt(trace.numel())
    assert levers.shape == (1, 12)
    assert difference.shape == (4000, 12)
    assert exp(torch.zeros(3)).equal(torch.eye(3))
