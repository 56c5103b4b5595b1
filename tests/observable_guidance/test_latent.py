"""A latent model: noise is added to z in the plane; observables see the space that a small network decodes it to."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import leastwork as lw
from leastwork.guidance.scheduled import ScheduledGuidance
from leastwork.kernels.region import definition_of
from leastwork.models import latents
from leastwork.observable_guidance.run import ObservableRun
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


class Narrow(Decoder):
    """An autoencoder's decoder: no encoder finds its latents exactly, and it may not be differentiated."""

    widest = 0

    def forward(self, z: Tensor) -> Tensor:
        assert not z.requires_grad, "the decoder was differentiated"
        self.widest = max(self.widest, len(z))
        return super().forward(z)


def without_encoder(decode: Callable[[Tensor], Tensor] | None = None) -> lw.DiffusionModel:
    return dataclasses.replace(latent(), decode=decode or Narrow(), encode=None)


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
    brief(0.2)
    model = latent()
    own = HEIGHT(lw.sample(model, 4000, steps=20).x)
    data = lw.Experiment(HEIGHT, [float(own.mean() + 0.3 * own.std())], errors=0.02)
    few = {"iterations": 120, "budget": 300_000} if method == "least-work" else {}
    run = lw.guide_observables(model, data, method, seed=1, samples=3000, steps=20, certificate_samples=2000, **few)
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
        lw.DiffusionModel(model.net, SCHEDULE, "data", (2,), encode=lambda x: x[:, :2])
    with pytest.raises(lw.LeastworkError, match="takes the place of shift and scale"):
        lw.DiffusionModel(model.net, SCHEDULE, "data", (2,), scale=2.0, decode=Decoder(), encode=lambda x: x[:, :2])
    net = nn.Linear(2, 2)
    with pytest.raises(lw.ConfigError, match="decodes latents is not saved"):
        lw.save_model(lw.DiffusionModel(net, SCHEDULE, "data", (2,), decode=Decoder(), encode=lambda x: x), tmp_path)


def test_without_an_encoder_samples_are_latents_and_averages_see_them_decoded(tmp_path: Path) -> None:
    model = without_encoder()
    ens = lw.sample(model, 50, steps=20, seed=1)
    data = lw.sample(latent(), 50, steps=20, seed=1)
    assert isinstance(ens.x, Tensor)
    assert isinstance(data.x, Tensor)
    assert torch.equal(ens.x, data.x[:, :2])
    assert float(ens.mean(HEIGHT).value) == pytest.approx(float(data.mean(HEIGHT).value), rel=1e-5)
    stored = lw.sample(model, 50, steps=20, seed=1, out=tmp_path / "e.zarr")
    assert float(stored.load().mean(HEIGHT).value) == pytest.approx(float(data.mean(HEIGHT).value), rel=1e-5)


def test_data_are_decoded_in_pieces_and_without_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latents, "_PIECE", 20)
    model = without_encoder()
    height = latents.of_data(HEIGHT, model)
    z = torch.randn(35, 2, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(height(z), HEIGHT(Decoder()(z)))
    assert isinstance(model.decode, Narrow)
    assert model.decode.widest == 10
    assert latents.of_data(height, model) is height


def test_least_work_of_a_latent_model_never_differentiates_its_decoder(
    tmp_path: Path, brief: Callable[[float], None]
) -> None:
    """And its run is saved, loaded and certified; the mean of 500 samples errs by 0.25 σ once in 10⁷."""
    brief(0.1)
    model = without_encoder()
    own = lw.sample(model, 500, steps=10).mean(HEIGHT)
    spread = float(own.stderr) * 500**0.5
    data = lw.Experiment(HEIGHT, [float(own.value) + 0.5 * spread], errors=0.02)
    settings = {"iterations": 60, "budget": 140_000, "steps": 10, "certificate_samples": 500}
    run = lw.guide_observables(model, data, seed=1, samples=1000, **settings)
    guided = run.certificate_ensemble.mean(HEIGHT)
    assert float(guided.value) > float(own.value) + 0.25 * spread
    run.save(tmp_path / "run")
    again = lw.load_run(tmp_path / "run", model=model, observable=HEIGHT)
    assert isinstance(again, ObservableRun)
    assert float(again.certificate.work.value) == pytest.approx(float(run.certificate.work.value), rel=1e-6)
    assert again.ensemble is not None
    assert float(again.ensemble.mean(HEIGHT).value) == pytest.approx(float(guided.value), rel=1e-6)


@pytest.mark.parametrize("method", ["loss", "scheduled", "adjoint-matching"])
def test_a_method_that_differentiates_the_decoder_says_so(method: str) -> None:
    model = without_encoder(torch.no_grad()(Decoder()))
    data = lw.Experiment(HEIGHT, [0.5], errors=0.1)
    with pytest.raises(lw.LeastworkError, match=f"method='{method}' differentiates the decoder.*'least-work'"):
        lw.guide_observables(model, data, method, samples=200, steps=5)


@pytest.mark.parametrize("jacobian", [False, True])
def test_a_gradient_through_the_decoder_is_taken_in_pieces(jacobian: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latents, "_PIECE", 6)
    model, whole = without_encoder(Decoder()), latent()
    z = torch.randn(7, 2, generator=torch.Generator().manual_seed(3)).requires_grad_()
    found = [
        ScheduledGuidance(observable, torch.tensor([0.7]), 1.0, 0.5, jacobian, units)
        for observable, units in ((latents.of_data(HEIGHT, model), model.units), (HEIGHT, whole.units))
    ]
    end = model.denoise(z, 0.3)
    with torch.no_grad():
        first, second = (guidance(z, 0.3, end) for guidance in found)
    torch.testing.assert_close(first, second)


def test_a_scheduled_guidance_of_decoded_data_is_loaded_with_what_decodes(tmp_path: Path) -> None:
    model = without_encoder(Decoder())
    data = lw.Experiment(HEIGHT, [0.5], errors=0.1)
    run = lw.guide_observables(model, data, "loss", samples=200, steps=5)
    lw.save_guidance(run.guidance, tmp_path)
    assert lw.load_guidance(tmp_path, latents.of_data(HEIGHT, model)).through_network
    with pytest.raises(lw.ConfigError, match="height of decoded latents: pass"):
        lw.load_guidance(tmp_path, HEIGHT)


def test_a_region_of_decoded_data_is_reached_from_latents() -> None:
    model = without_encoder()
    points = torch.tensor([[1.6, 0.3], [1.9, -0.3], [1.5, 0.1], [1.8, -0.1], [2.0, 0.2]])

    def right(x: Tensor) -> Tensor:
        assert x.shape[1:] == (3,)
        return x[:, 0] > 1.4

    settings = {"budget": 60_000, "samples": 300, "steps": 10, "certificate_samples": 300}
    run = lw.guide_path(model, points, "transported", region=right, seed=1, **settings)
    assert float(run.success.value) > float(right(Decoder()(run.model_samples.x)).float().mean())
    assert "right is true" in definition_of(run.region)


@pytest.mark.parametrize(
    ("decode", "words"),
    [
        (lambda z: z[:1], r"shape \(1, 2\) for 50 latents of shape \(2,\): return one decoded sample for each latent"),
        (lambda z: z.mean(), "return one decoded sample for each latent"),
        (lambda z: {"sample": z}, "the decoder returns a dict: return a tensor"),
        (lambda z: (z,), r"the decoder returns a tuple: return a tensor, such as y\[0\]"),
        (lambda z: z @ z, r"the decoder raised RuntimeError \(.*\) for latents of shape .*: mend it, or event_shape"),
    ],
)
@pytest.mark.parametrize("encode", [None, lambda x: x])
def test_a_decoder_that_changes_the_batch_is_refused(
    decode: Callable[[Tensor], Tensor], words: str, encode: Callable[[Tensor], Tensor] | None
) -> None:
    model = dataclasses.replace(latent(), decode=decode, encode=encode)
    with pytest.raises(lw.LeastworkError, match=words):
        lw.sample(model, 50, steps=2).mean(lambda x: x[:, 0])


def test_an_encoder_that_is_no_inverse_is_refused_before_a_fit() -> None:
    model = dataclasses.replace(latent(), encode=lambda x: 0.9 * x[:, :2])
    data = lw.Experiment(HEIGHT, [0.5], errors=0.1)
    with pytest.raises(lw.LeastworkError, match=r"encode is not the inverse of decode.*leave encode out"):
        lw.guide_observables(model, data, samples=100, steps=5)


def test_a_decoder_in_half_precision_and_training_mode_gives_single_precision_in_evaluation_mode() -> None:
    body = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.9)).to(torch.bfloat16).train()
    z = torch.randn(4, 2, generator=torch.Generator().manual_seed(2))
    x = latents.Decoder(body)(z)
    assert isinstance(x, Tensor)
    assert x.dtype == torch.float32
    assert torch.equal(x, latents.Decoder(body)(z))
    assert body.training
