"""The equivariant network turns with its structures and knows them from their mirror images."""

import pytest
import torch
from torch import Tensor

import leastwork as lw
from leastwork.errors import LeastworkError
from leastwork.geometry.rotations import random_rotations
from leastwork.models.symmetry import has_no_orientation, is_invariant
from leastwork.networks.equivariant import EquivariantPerceptron
from leastwork.networks.perceptron import Perceptron
from leastwork.schedules.files import describe_schedule

SCHEDULE = lw.VPSchedule()


def network() -> EquivariantPerceptron:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return EquivariantPerceptron(6, describe_schedule(SCHEDULE), width=16, depth=2).requires_grad_(False)


def test_no_denoised_structure_is_larger_than_the_largest_that_there_was() -> None:
    data = structures()
    data = data - data.mean(dim=1, keepdim=True)
    net = network()
    net.invariants.standardise(data.flatten(1))
    free, limited = model(net), model(network_like(net).limited(data))
    largest = data.square().sum(dim=(1, 2)).sqrt().max()
    for far, t in ((0.1, 0.05), (40.0, 0.05), (40.0, 0.6)):
        x = far * data
        before, after = free.denoise(x, t), limited.denoise(x, t)
        size = after.square().sum(dim=(1, 2)).sqrt()
        assert (size < 1.01 * largest).all()
        within = before.square().sum(dim=(1, 2)).sqrt() < largest
        assert torch.equal(before[within], after[within])
    assert (free.denoise(40.0 * data, 0.05).square().sum(dim=(1, 2)).sqrt() > largest).any()


def network_like(net: EquivariantPerceptron) -> EquivariantPerceptron:
    other = EquivariantPerceptron(**net.config)
    other.load_state_dict(net.state_dict())
    return other.requires_grad_(False)


def model(net: EquivariantPerceptron | None = None) -> lw.DiffusionModel:
    return lw.DiffusionModel(net or network(), SCHEDULE, predicts="v", event_shape=(6, 3), subspace=lw.ZeroCentre())


def structures() -> Tensor:
    return torch.randn(7, 6, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("t", [0.01, 0.5, 1.0])
def test_output_turns_with_the_structure_and_has_no_net_force(t: float) -> None:
    net, x = network(), structures()
    turn = random_rotations(7, torch.Generator().manual_seed(2)).to(x)
    out = net(x, torch.tensor(t))
    torch.testing.assert_close(net(x @ turn + 2.0, torch.tensor(t)), out @ turn, rtol=1e-3, atol=1e-4)
    assert out.sum(dim=1).abs().max() < 1e-4 * out.abs().max()
    torque = torch.linalg.cross(x, out, dim=2).sum(dim=1)
    assert torque.abs().max() < 1e-4 * out.abs().max()


@pytest.mark.parametrize("t", [0.01, 0.5, 1.0])
def test_far_from_the_data_the_output_grows_no_faster_than_the_structure(t: float) -> None:
    """Faster, and a guided path that strays explodes."""
    net, x = network(), structures()
    sizes = [float(net(scale * x, torch.tensor(t)).norm()) for scale in (10.0, 100.0, 1000.0)]
    assert sizes[1] < 12 * sizes[0]
    assert sizes[2] < 12 * sizes[1]


def test_a_mirror_image_gets_another_answer() -> None:
    net, x = network(), structures()
    mirror = torch.tensor([1.0, 1.0, -1.0])
    apart = net(x * mirror, torch.tensor(0.3)) - net(x, torch.tensor(0.3)) * mirror
    assert apart.norm() > 0.05 * net(x, torch.tensor(0.3)).norm()


def test_a_time_per_sample_is_each_time_alone() -> None:
    net, x, t = network(), structures(), torch.linspace(0.1, 0.9, 7)
    alone = torch.cat([net(x[i : i + 1], t[i]) for i in range(7)])
    torch.testing.assert_close(net(x, t), alone, rtol=1e-4, atol=1e-5)


def test_it_comes_back_from_its_file(tmp_path) -> None:
    before = model()
    lw.save_model(before, tmp_path)
    after = lw.load_model(tmp_path)
    assert isinstance(after, lw.DiffusionModel)
    torch.testing.assert_close(after.denoise(structures(), 0.4), before.denoise(structures(), 0.4), rtol=0, atol=0)


def test_orientation_is_asked_of_the_model() -> None:
    assert has_no_orientation(model())
    flat = torch.nn.Sequential()
    plain = Perceptron(18, width=8)

    def oriented(x: Tensor, t: Tensor) -> Tensor:
        return plain(flat(x).flatten(1), t).unflatten(1, (6, 3)).detach()

    kept = {"schedule": SCHEDULE, "predicts": "v", "event_shape": (6, 3)}
    assert not has_no_orientation(lw.DiffusionModel(oriented, subspace=lw.ZeroCentre(), **kept))
    assert not has_no_orientation(lw.DiffusionModel(network(), **kept))  # it need not be centred


def test_invariance_is_asked_of_the_function() -> None:
    x = structures()
    assert is_invariant(lambda y: y.flatten(1).norm(dim=1), x)  # pyright: ignore
    assert not is_invariant(lambda y: y[:, 0, 0], x)  # pyright: ignore
    assert not is_invariant(lambda y: y[:, 0, 2] > 0, x)  # pyright: ignore


def test_sizes_are_checked() -> None:
    with pytest.raises(LeastworkError, match="width, depth and steps"):
        EquivariantPerceptron(6, describe_schedule(SCHEDULE), width=0)
