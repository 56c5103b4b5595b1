"""A latent model: noise is added to z in the plane; observables see the space that a small network decodes it to."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import leastwork as lw
from leastwork.systems.mixtures import two_states

SCHEDULE = lw.VPSchedule()


class Decoder(nn.Module):
    """x = (z, f(z)), which is curved, and of which z is the first two coordinates."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.body = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)).requires_grad_(False)

    def forward(self, z: Tensor) -> Tensor:
        return torch.cat([z, z[:, :1].square() + self.body(z)], dim=1)


def latent() -> lw.DiffusionModel:
    plain = two_states(2, (0.7, 0.3), 1.5, 0.5).model(SCHEDULE)
    return lw.DiffusionModel(plain.net, SCHEDULE, "data", (2,), decode=Decoder(), encode=lambda x: x[:, :2])


HEIGHT = lw.Observable(lambda x: x[:, 2], names=("height",))


def test_samples_are_decoded() -> None:
    ens = lw.sample(latent(), 50, steps=20, seed=1)
    assert isinstance(ens.x, Tensor)
    assert ens.x.shape == (50, 3)
    assert torch.equal(Decoder()(ens.x[:, :2]), ens.x)


@pytest.mark.parametrize("method", ["least-work", "loss"])
def test_an_observable_of_the_decoded_state_is_met_and_certified(
    method: str, tmp_path: Path, brief: Callable[[float], None]
) -> None:
    brief(0.3)
    model = latent()
    own = HEIGHT(lw.sample(model, 4000, steps=40).x)
    data = lw.Experiment(HEIGHT, [float(own.mean() + 0.3 * own.std())], errors=0.02)
    few = {"iterations": 250, "budget": 1_000_000} if method == "least-work" else {}
    run = lw.guide_observables(model, data, method, seed=1, samples=4000, steps=40, certificate_samples=2000, **few)
    guided = HEIGHT(run.certificate_ensemble.x)
    if method == "least-work":
        assert abs(float(guided.mean() - data.values[0])) < 0.05 * float(own.std()) + 0.06
        assert run.certificate.efficiency.value > 0.5
        lw.save_guidance(run.guidance, tmp_path)
    else:
        assert float(guided.mean()) > float(own.mean())
        assert float(run.certificate.dissipation.value) > 0
        with pytest.raises(lw.ConfigError, match="decoded by a Decoder has no file form"):
            lw.save_guidance(run.guidance, tmp_path)


def test_a_latent_model_is_refused_by_name_where_it_is_half_given_or_saved(tmp_path: Path) -> None:
    model = latent()
    with pytest.raises(lw.LeastworkError, match="belong together"):
        lw.DiffusionModel(model.net, SCHEDULE, "data", (2,), decode=Decoder())
    with pytest.raises(lw.LeastworkError, match="takes the place of shift and scale"):
        lw.DiffusionModel(model.net, SCHEDULE, "data", (2,), scale=2.0, decode=Decoder(), encode=lambda x: x[:, :2])
    net = nn.Linear(2, 2)
    with pytest.raises(lw.ConfigError, match="decodes latents is not saved"):
        lw.save_model(lw.DiffusionModel(net, SCHEDULE, "data", (2,), decode=Decoder(), encode=lambda x: x), tmp_path)
