"""A padded network: the model with a mask is the model without padding."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import leastwork as lw
from leastwork.cli import app
from leastwork.guidance.scheduled import ScheduledGuidance
from leastwork.models.files import fingerprint
from leastwork.models.mask import padded
from leastwork.networks.perceptron import Perceptron

SCHEDULE = lw.VPSchedule(0.1, 20.0)
MASK = torch.tensor([True, True, False, True, False])
SCALE, MEAN = 0.5, 0.3
POSES = {"schedule": SCHEDULE, "angles": lw.AngleSchedule()}


def noise_of(x: Tensor, t: Tensor) -> Tensor:
    """ε of N(0.3, 0.5²) in every coordinate."""
    alpha, sigma = (part(t.double()).to(x) for part in (SCHEDULE.alpha, SCHEDULE.sigma))
    return sigma * (x - alpha * MEAN) / (alpha**2 * SCALE**2 + sigma**2)


class Padded(nn.Module):
    """The network of the real places, which gives nonsense at those that it hides, and takes them for what they are."""

    def __init__(self, nonsense: float = 7.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()), requires_grad=False)
        self.nonsense = nonsense

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        real = MASK[:, None].to(x)
        assert not bool(((x != 0) & (real == 0)).any())
        return torch.where(MASK[:, None], self.factor * noise_of(x, t), self.nonsense)


def plain(**more) -> lw.DiffusionModel:
    return lw.DiffusionModel(noise_of, SCHEDULE, "noise", (3, 2), **more)


def masked(nonsense: float = 7.0, shape: tuple[int, ...] = (5, 2), **more) -> lw.DiffusionModel:
    return lw.DiffusionModel(Padded(nonsense), SCHEDULE, "noise", shape, **{"mask": MASK, **more})


@pytest.mark.parametrize("nonsense", [0.0, 7.0, float("nan")])
@pytest.mark.parametrize("process", ["sde", "ode"])
def test_samples_work_and_weights_are_those_without_padding(nonsense: float, process: str) -> None:
    tilt = lw.Observable(lambda x: x.flatten(1).mean(dim=1), names=("mean",))
    push = ScheduledGuidance(tilt, torch.tensor([-1.0]), 1.0, 1.0)
    one, other = (lw.sample(m, 64, push, steps=8, process=process) for m in (plain(), masked(nonsense)))
    assert torch.equal(one.x, other.x)
    assert other.x.shape == (64, 3, 2)
    if process == "sde":
        assert torch.equal(one.work, other.work)
        assert torch.equal(one.log_weight, other.log_weight)
        assert float(one.work.mean()) > 0.01
    else:
        assert torch.equal(one.action, other.action)


def test_centring_counts_real_points_only() -> None:
    one, other = (make(subspace=lw.ZeroCentre()) for make in (plain, masked))
    assert one.dimension == other.dimension == 4
    x = lw.sample(other, 16, steps=8).x
    assert torch.equal(x, lw.sample(one, 16, steps=8).x)
    assert float(x.mean(dim=1).abs().max()) < 1e-6


@pytest.mark.parametrize(
    ("method", "brevity"),
    [
        ("scheduled", {"budget": 20_000, "fit_samples": 64}),
        pytest.param("least-work", {"budget": 140_000}, marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings("ignore::leastwork.LeastworkWarning")
def test_a_fit_and_its_certificate_are_those_without_padding(method: str, brevity: dict[str, int], brief) -> None:
    brief(0.1)
    data = lw.Experiment(lw.Observable(lambda x: x[:, 0, 0], names=("x",)), values=[0.6])
    runs = [
        lw.guide_observables(m, data, method, steps=8, samples=256, certificate_samples=256, **brevity)
        for m in (plain(), masked())
    ]
    (work, other) = (run.certificate.work for run in runs)
    assert work.value == other.value > 0
    assert runs[0].lambdas.value.tolist() == runs[1].lambdas.value.tolist()


def test_a_mask_of_single_coordinates_gives_flat_states() -> None:
    ragged = torch.tensor([[True, True, False], [True, False, False]])
    model = lw.DiffusionModel(noise_of, SCHEDULE, "noise", (2, 3), mask=ragged)
    assert model.event_shape == (3,)
    assert replace(model, net=noise_of).event_shape == (3,)
    plain = lw.DiffusionModel(noise_of, SCHEDULE, "noise", (3,))
    assert torch.equal(lw.sample(model, 8, steps=4).x, lw.sample(plain, 8, steps=4).x)
    assert padded(torch.tensor([[1.0, 2.0, 3.0]]), model.mask).tolist() == [[[1, 2, 0], [3, 0, 0]]]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (~MASK & MASK, "the mask hides everything: it is True where a place is real"),
        (MASK.float(), r"mask is torch.float32: give a tensor of bools"),
        ([True, False], "mask is a list: give a tensor of bools"),
        (
            MASK[:4],
            r"mask has shape \(4,\), but an event with its padding \(5, 2\): give one bool for each .* such as \(5,\)",
        ),
        (torch.tensor(True), r"mask has shape \(\)"),
        (
            torch.stack([MASK, ~MASK]),
            r"mask has shape \(2, 5\).* the same for all samples; molecules of another length take",
        ),
    ],
)
def test_a_mask_that_cannot_be_used_is_refused_in_a_sentence(mask, message: str) -> None:
    with pytest.raises(lw.LeastworkError, match=message):
        masked(mask=mask)


def test_units_have_no_padding_either() -> None:
    shift = torch.arange(10.0).reshape(5, 2)
    with pytest.raises(lw.LeastworkError, match=r"shift has shape \(5, 2\).* shift\[mask\]"):
        masked(shift=shift)
    x = lw.sample(masked(shift=shift[MASK]), 8, steps=4).x
    assert torch.equal(x, shift[MASK] + lw.sample(plain(), 8, steps=4).x)


def exact_scores(x: tuple[Tensor, Tensor], t: Tensor) -> tuple[Tensor, Tensor]:
    return -x[0], torch.zeros_like(x[0])


def padded_scores(x: tuple[Tensor, Tensor], t: Tensor) -> tuple[Tensor, Tensor]:
    assert torch.equal(x[1][:, ~MASK], torch.eye(3).expand(len(x[1]), 2, 3, 3))
    shift, turn = exact_scores(x, t)
    return shift * MASK[:, None], turn


def test_residues_of_frames_are_masked() -> None:
    one = lw.FrameModel(exact_scores, residues=3, **POSES)
    other = lw.FrameModel(padded_scores, residues=5, mask=MASK, **POSES)
    assert other.event_shape == ((3, 3), (3, 3, 3))
    assert replace(other, scale=2.0).residues == 3
    for a, b in zip(lw.sample(one, 16, steps=8).x, lw.sample(other, 16, steps=8).x, strict=True):
        assert torch.equal(a, b)


def test_a_flow_is_masked() -> None:
    one = lw.VelocityModel(lambda x, t: x, (3, 2))
    other = lw.VelocityModel(lambda x, t: x + 9.0 * ~MASK[:, None], (5, 2), mask=MASK)
    a, b = (lw.sample(m, 16, steps=8, process="ode") for m in (one, other))
    assert torch.equal(a.x, b.x)


@pytest.mark.filterwarnings("error")
def test_what_the_check_of_coordinates_advises_is_true() -> None:
    silent = lw.DiffusionModel(lambda x, t: noise_of(x, t) * MASK[:, None], SCHEDULE, "noise", (5, 2))
    with pytest.warns(lw.LeastworkWarning, match=r"4 of 10 coordinates are never denoised.* pass mask="):
        lw.sample(silent, 16, steps=4)
    lw.sample(replace(silent, mask=MASK), 16, steps=4)
    assert lw.check_model(silent, samples=16)["coordinates"].status == "fault"
    report = lw.check_model(masked(), 0.5 * torch.randn(64, 3, 2) + 0.3, samples=64)
    assert report["coordinates"].status == "ok"
    assert report["prediction"].status == "ok"
    assert not report.faults
    whole = torch.randn(64, 5, 2)
    assert "give the real places alone, data[:, mask]" in lw.check_model(masked(), whole, samples=16)["data"].words


@pytest.mark.parametrize("predicts", ["score", "noise", "velocity", "v"])
@pytest.mark.parametrize("subspace", [None, lw.ZeroCentre()])
def test_padding_is_seen_whatever_is_predicted(predicts, subspace) -> None:
    right = replace(plain(), subspace=subspace)

    def hidden(x: Tensor, t: Tensor) -> Tensor:
        return torch.cat([right.as_prediction(predicts, x[:, :3], float(t)), 0 * x[:, 3:]], dim=1)

    model = lw.DiffusionModel(hidden, SCHEDULE, predicts, (4, 2), subspace=subspace)
    with pytest.warns(lw.LeastworkWarning, match="2 of 8 coordinates are never denoised, the first is 6"):
        lw.sample(model, 16, steps=4)


def test_padding_of_frames_flows_and_data_predictions_is_seen() -> None:
    data = lw.DiffusionModel(lambda x, t: torch.where(MASK[:, None], 0 * x, x), SCHEDULE, "data", (5, 2))
    flow = lw.VelocityModel(lambda x, t: x * MASK[:, None], (5, 2))
    frames = lw.FrameModel(lambda x, t: (-x[0] * MASK[:, None], 0 * x[0]), residues=5, **POSES)
    for model, process, count in ((data, "sde", "4 of 10"), (flow, "ode", "4 of 10"), (frames, "sde", "6 of 15")):
        with pytest.warns(lw.LeastworkWarning, match=f"{count} coordinates are never denoised"):
            lw.sample(model, 16, steps=4, process=process)
    lw.sample(lw.VelocityModel(lambda x, t: 0 * x, (2,)), 4, steps=2, process="ode")  # the identity is no mistake


@pytest.mark.parametrize("kind", ["diffusion", "flow", "frames"])
def test_a_masked_model_is_saved_and_loaded(kind: str, tmp_path: Path) -> None:
    net = Padded()
    models = {
        "diffusion": masked(),
        "flow": lw.VelocityModel(net, (5, 2), mask=MASK),
        "frames": lw.FrameModel(net, residues=5, mask=MASK, **POSES),
    }
    model = models[kind]
    lw.save_model(model, tmp_path / "model")
    again = lw.load_model(tmp_path / "model", net=Padded())
    assert again.event_shape == model.event_shape
    assert torch.equal(again.mask.real, MASK)
    assert fingerprint(again) == fingerprint(model)
    assert fingerprint(model) != fingerprint(replace(model, mask=None))


RUN = """\
model: {model}
observables: [{{kind: component, index: 2, name: x}}]
data: [{{name: x, value: 0.1, error: 0.05}}]
method: reweight
sampling: {{n: 512, steps: 8}}
fit: {{samples: 512}}
"""


def stored(folder: Path) -> Path:
    torch.manual_seed(0)
    net = Perceptron(5, width=4, depth=1).requires_grad_(False).eval()
    lw.save_model(lw.DiffusionModel(net, SCHEDULE, "noise", (5,), mask=MASK), folder)
    return folder


def test_check_model_of_a_masked_model(tmp_path: Path) -> None:
    model = stored(tmp_path / "model")
    (tmp_path / "mine.py").write_text(f"import leastwork as lw\nmodel = lw.load_model({str(model)!r})\n")
    told = CliRunner().invoke(app, ["check-model", str(tmp_path / "mine.py"), "--samples", "16"])
    assert "all 3 are denoised" in told.output, told.output
    assert "(B, 5), finite" in told.output


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::leastwork.LeastworkWarning")
def test_a_run_of_a_masked_model(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(RUN.format(model=stored(tmp_path / "model")))
    told = CliRunner().invoke(app, ["run", str(tmp_path / "run.yaml"), "--out", str(tmp_path / "out"), "--quiet"])
    assert told.exit_code == 0, told.output
    assert lw.open_ensemble(tmp_path / "out" / "ensemble.zarr").x.shape == (512, 3)
