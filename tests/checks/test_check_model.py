"""check_model: what is right passes, and every way of being wrong is named, with its remedy."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import leastwork as lw
from leastwork.checks.model_file import TEMPLATE, read_model_file
from leastwork.cli import app
from leastwork.models.predictions import Moments, from_data
from leastwork.systems.mixtures import GaussianMixture
from leastwork.systems.moons import Moons

KINDS = ("score", "noise", "data", "velocity", "v")
SCHEDULES = [lw.VPSchedule(), lw.CosineSchedule(t_max=0.999), lw.VESchedule(0.01, 50.0), lw.LinearSchedule(t_max=0.999)]
MIXTURE = GaussianMixture([0.3, 0.7], [[-1.5, 0.0], [1.0, 0.5]], 0.3)
DATA = MIXTURE.sample(500, torch.Generator().manual_seed(0)).float()


def exact(kind: str, schedule) -> lw.DiffusionModel:
    """The mixture's own network, of any prediction."""

    def net(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        m = Moments.at(schedule, float(t))
        return from_data(kind, MIXTURE.denoise(x, m.alpha, m.sigma), x, m)

    return lw.DiffusionModel(net, schedule, kind, (2,))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_an_exact_model_passes(kind: str, schedule) -> None:
    report = lw.check_model(exact(kind, schedule), DATA)
    assert report.ok, str(report)
    assert not report.warnings, str(report)
    assert all(check.status != "skipped" for check in report.checks)


@pytest.mark.parametrize("declared", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_another_prediction_is_named(kind: str, declared: str) -> None:
    if kind == declared:
        return
    report = lw.check_model(replace(exact(kind, lw.VPSchedule()), predicts=declared), DATA)
    check = report["prediction"]
    assert check.status == "fault"
    assert f"declared predicts={declared!r}" in check.words
    assert f"set predicts={kind!r}" in check.words


@pytest.mark.parametrize("kind", KINDS)
def test_time_that_runs_the_other_way_is_named(kind: str) -> None:
    model = exact(kind, lw.LinearSchedule(t_min=0.001, t_max=0.999))
    backward = replace(model, net=lambda x, t: model.net(x, (1 - t).clamp(0.001, 0.999)))
    words = lw.check_model(backward, DATA)["prediction"].words
    assert "its time runs from noise to data" in words
    assert "1 - t" in words


def test_a_sign_and_a_thousand_steps_are_named() -> None:
    model = exact("velocity", lw.LinearSchedule())
    words = lw.check_model(replace(model, net=lambda x, t: -model.net(x, t)), DATA)["prediction"].words
    assert words.endswith("if its output has the other sign: return its negative")
    words = lw.check_model(replace(model, net=lambda x, t: model.net(x, 1e-3 * t)), DATA)["prediction"].words
    assert words.endswith("its time is in a thousand steps: give it 1000 t")


@pytest.mark.parametrize(("factor", "remedy"), [(10.0, "scale by 10 "), (0.1, "scale by 0.1 ")])
def test_another_unit_is_named(factor: float, remedy: str) -> None:
    report = lw.check_model(exact("noise", lw.VPSchedule()), factor * DATA)
    assert report["prediction"].status == "fault"
    assert remedy in report["prediction"].words
    assert lw.check_model(replace(exact("noise", lw.VPSchedule()), scale=factor), factor * DATA).ok


def test_data_that_a_model_does_not_know_are_told() -> None:
    random = torch.Generator().manual_seed(1)
    far = torch.tensor([[6.0, -6.0]]) * torch.randn(300, 1, generator=random).sign()
    report = lw.check_model(exact("data", lw.VPSchedule()), far + 0.1 * torch.randn(300, 2, generator=random))
    assert report["prediction"].status in ("warning", "fault")
    assert "worse than a linear estimate" in report["prediction"].words


def test_without_data_the_rest_is_checked() -> None:
    report = lw.check_model(exact("noise", lw.VPSchedule()))
    assert report.ok
    assert report["prediction"].status == "skipped"
    assert "noise to data and back" in report["round trip"].words


# --- the network as a function -----------------------------------------------------------------------------------


def plain(net, **changes) -> lw.DiffusionModel:
    return lw.DiffusionModel(net, lw.VPSchedule(), "data", **{"event_shape": (2,), **changes})


class Output:
    sample = torch.zeros(8, 2)


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (lambda x: x, "raised TypeError"),
        (lambda x, t: x[:, :1], r"shape \(8, 1\) for x of shape \(8, 2\)"),
        (lambda x, t: x.double(), r"torch.float64 for x in torch.float32"),
        (lambda x, t: x / (t - t), "not finite"),
        (lambda x, t: Output(), "return the prediction alone"),
        (lambda x, t: (x,), "return the prediction alone"),
    ],
)
def test_outputs_that_cannot_be_used(net, words: str) -> None:
    report = lw.check_model(plain(net))
    assert report["output"].status == "fault"
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(report["output"].words)


def test_a_network_that_changes_its_input() -> None:
    report = lw.check_model(plain(lambda x, t: x.mul_(0.5)))
    assert [check.name for check in report.faults] == ["input"]
    assert "x.clone()" in report["input"].words


def test_a_network_that_is_random_or_mixes_samples() -> None:
    report = lw.check_model(plain(lambda x, t: nn.functional.dropout(x, 0.5)))
    assert "two calls with one x differ" in report["determinism"].words
    report = lw.check_model(plain(lambda x, t: x - x.mean(dim=0)))
    assert "with the others of its batch" in report["determinism"].words


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.dropout = nn.Linear(2, 2), nn.Dropout(0.5)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.layer(self.dropout(x))


def test_training_mode_gradients_and_precision() -> None:
    net = Small()
    report = lw.check_model(plain(net))
    assert net.training
    assert net.dropout.training
    assert {check.name for check in report.warnings} >= {"mode", "gradients"}
    assert report["determinism"].status == "ok"  # dropout is off while it is asked
    quiet = lw.check_model(plain(Small().eval().requires_grad_(False)))
    assert "gradients" not in {check.name for check in quiet.checks}
    half = lw.check_model(plain(Small().half()))
    assert [check.name for check in half.faults] == ["precision"]
    assert "net.float()" in half["precision"].words
    mixed = Small()
    mixed.register_parameter("more", nn.Parameter(torch.zeros(1, dtype=torch.float64)))
    assert lw.check_model(plain(mixed))["precision"].status == "warning"


# --- the schedule ------------------------------------------------------------------------------------------------


class WrongSlope(lw.LinearSchedule):
    def sigma_dot(self, t: torch.Tensor) -> torch.Tensor:
        return 2 * torch.ones_like(t)


class WrongInverse(lw.LinearSchedule):
    def time_of(self, log_snr: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(0.5 * log_snr)


class Backward(lw.LinearSchedule):
    def alpha(self, t: torch.Tensor) -> torch.Tensor:
        return t

    def sigma(self, t: torch.Tensor) -> torch.Tensor:
        return 1 - t

    def alpha_dot(self, t: torch.Tensor) -> torch.Tensor:
        return torch.ones_like(t)

    def sigma_dot(self, t: torch.Tensor) -> torch.Tensor:
        return -torch.ones_like(t)

    def log_snr(self, t: torch.Tensor) -> torch.Tensor:
        return 2 * (t.log() - (1 - t).log())


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (WrongSlope(), "sigma_dot is 2 at t"),
        (WrongInverse(), "time_of is not the inverse"),
        (Backward(), "t = 0 is the data"),
    ],
)
def test_schedules_that_contradict_themselves(schedule, words: str) -> None:
    report = lw.check_model(replace(plain(lambda x, t: x), schedule=schedule))
    assert words in report["schedule"].words
    assert "prediction" not in {check.name for check in report.checks}  # it would mean nothing


def test_a_schedule_that_remembers_the_data() -> None:
    report = lw.check_model(replace(exact("data", lw.VESchedule(0.01, 4.0))), DATA)
    assert report["memory"].status == "warning"
    report = lw.check_model(exact("data", lw.VPSchedule(0.1, 1.0)), DATA)
    assert report["memory"].status == "fault"


# --- flows -------------------------------------------------------------------------------------------------------


def test_an_exact_flow_passes_and_its_direction_is_checked() -> None:
    moons = Moons()
    data = moons.sample(300, torch.Generator().manual_seed(2)).float()
    flow = moons.flow()
    assert lw.check_model(flow, data).ok
    flipped = lw.check_model(replace(flow, data_at_one=True), data)
    assert "set data_at_one=False" in flipped["direction"].words
    negative = lw.check_model(replace(flow, net=lambda x, t: -flow.net(x, t)), data)
    assert "return its negative" in negative["direction"].words
    assert lw.check_model(flow)["direction"].status == "skipped"
    assert lw.check_model(flow, 10 * data)["direction"].status == "warning"


# --- symmetry, and data that do not fit --------------------------------------------------------------------------


def cloud(fn) -> lw.DiffusionModel:
    return plain(fn, event_shape=(5, 3), subspace=lw.ZeroCentre())


def screw(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Turns with the structure, but a mirror image is turned the other way."""
    return 0.5 * x + 0.3 * torch.linalg.cross(x, x.roll(1, dims=1))


def test_equivariance_is_measured_where_it_is_claimed() -> None:
    assert "equivariance" not in {check.name for check in lw.check_model(cloud(screw)).checks}
    assert lw.check_model(cloud(screw), equivariant=True)["equivariance"].status == "ok"
    assert lw.check_model(cloud(screw), equivariant="reflections")["equivariance"].status == "fault"
    fixed = lw.check_model(cloud(lambda x, t: x * torch.tensor([1.0, 1.0, 2.0])), equivariant="rotations")
    assert "when the structure is turned" in fixed["equivariance"].words
    assert lw.check_model(plain(lambda x, t: x), equivariant=True)["equivariance"].status == "fault"


def test_channels_in_another_order_are_told_how_to_permute() -> None:
    model = plain(lambda x, t: x, event_shape=(3, 4, 5))
    report = lw.check_model(model, torch.randn(20, 4, 5, 3))
    assert report["data"].words.endswith("pass data.permute(0, 3, 1, 2)")
    assert torch.randn(20, 4, 5, 3).permute(0, 3, 1, 2).shape[1:] == (3, 4, 5)
    assert "reshape" in lw.check_model(model, torch.randn(20, 60))["data"].words
    assert "what the model generates" in lw.check_model(model, torch.randn(20, 7))["data"].words
    assert "torch.as_tensor" in lw.check_model(model, [1.0, 2.0])["data"].words  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"model": 3}, "make it a lw.DiffusionModel"),
        ({"equivariant": "mirrors"}, "choose 'rotations'"),
        ({"samples": 3}, "at least 16"),
        ({"data": torch.zeros(3, 2)}, "at least 16"),
        ({"data": torch.full((20, 2), torch.nan)}, "not finite"),
    ],
)
def test_what_cannot_be_checked_is_refused(arguments, words: str) -> None:
    with pytest.raises(lw.ConfigError, match=words):
        lw.check_model(**{"model": plain(lambda x, t: x), **arguments})


# --- the command -------------------------------------------------------------------------------------------------


def invoke(*arguments: str):
    return CliRunner().invoke(app, ["check-model", *arguments], env={"COLUMNS": "200"})


def test_the_template_passes(tmp_path: Path) -> None:
    shown = invoke("--template")
    assert shown.exit_code == 0
    assert shown.output == TEMPLATE
    file = tmp_path / "my_model.py"
    file.write_text(shown.output)
    checked = invoke(str(file))
    assert checked.exit_code == 0, checked.output
    assert "no fault, no warning" in checked.output


def test_a_fault_is_exit_code_one(tmp_path: Path) -> None:
    file = tmp_path / "my_model.py"
    file.write_text(TEMPLATE.replace('predicts="noise"', 'predicts="v"'))
    checked = invoke(str(file))
    assert checked.exit_code == 1
    assert "set predicts='noise'" in checked.output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", "it defines no model"),
        ("model = 1", "its model is a int"),
        ("\nimport no_such_thing", "line 2: ModuleNotFoundError"),
        ("model = (", "line 1: SyntaxError"),
        ("raise SystemExit(3)", "line 1: SystemExit: 3"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "broken.py"
    file.write_text(text)
    checked = invoke(str(file))
    assert checked.exit_code == 2
    assert words in checked.output
    assert "Traceback" not in checked.output


def test_no_file_is_told_of_the_template(tmp_path: Path) -> None:
    assert "--template" in invoke().output
    assert "--template" in invoke(str(tmp_path / "none.py")).output


def test_a_file_finds_what_lies_beside_it_and_may_hold_numpy_data(tmp_path: Path) -> None:
    (tmp_path / "beside_the_model.py").write_text("SIZE = 2\n")
    file = tmp_path / "my_model.py"
    file.write_text("from beside_the_model import SIZE\nimport numpy\ndata = numpy.zeros((20, SIZE))\n" + TEMPLATE[:])
    found = read_model_file(file)
    assert found.equivariant is False
    file.write_text(TEMPLATE + "\nimport numpy\ndata = numpy.ones((20, 2))\nequivariant = 'rotations'\n")
    found = read_model_file(file)
    assert isinstance(found.data, torch.Tensor)
    assert found.equivariant == "rotations"


@pytest.mark.parametrize(("takes", "remedy"), [
    (lambda x, t: denoiser(x, torch.exp(4 * t.double())), r"its time is c_noise = .*: give it .*\.log\(\) / 4"),
    (lambda x, t: denoiser(x, t.clamp(min=1e-3)), r"its time is the noise level σ/α: give it schedule\.sigma\(t\)"),
    (lambda x, t: x, "the network returns its input, which denoises these data under no prediction"),
    (lambda x, t: -x, "the network returns its input"),
])  # fmt: skip
def test_networks_of_a_noise_level_and_none_at_all(takes, remedy: str) -> None:
    moons = Moons().sample(1000, torch.Generator().manual_seed(0)).float()
    check = lw.check_model(lw.DiffusionModel(takes, lw.VESchedule(0.002, 80.0), "data", (2,)), moons)["prediction"]
    assert check.status == "fault"
    assert re.search(remedy, check.words)


@pytest.mark.parametrize(("takes", "remedy"), [
    (lambda x, t: denoiser(x, t.double().exp()), r"its time is ln\(σ/α\): give it .*\.log\(\)$"),
    (lambda x, t: denoiser(x, (-t.double() / 2).exp()), r"the log-SNR .*: give it schedule\.log_snr\(t\)"),
])  # fmt: skip
def test_networks_of_a_logarithm_of_the_noise(takes, remedy: str) -> None:
    moons = Moons().sample(1000, torch.Generator().manual_seed(0)).float()
    schedule = lw.VESchedule(0.002, 80.0)
    check = lw.check_model(lw.DiffusionModel(takes, schedule, "data", (2,)), moons)["prediction"]
    assert re.search(remedy, check.words)
    log = lambda t: (schedule.sigma(t) / schedule.alpha(t)).log()  # noqa: E731
    given = log if "ln" in remedy else schedule.log_snr
    right = lw.DiffusionModel(lambda x, t: takes(x, given(t.double())), schedule, "data", (2,))
    assert lw.check_model(right, moons).ok


@pytest.mark.parametrize(("net", "predicts"), [
    (lambda x, t: 0 * x, "noise"), (lambda x, t: 0 * x + 0.3, "data"), (lambda x, t: 0.1 * torch.sin(9 * x), "noise"),
])  # fmt: skip
def test_no_remedy_is_named_for_a_network_that_says_nothing(net, predicts) -> None:
    check = lw.check_model(lw.DiffusionModel(net, lw.VPSchedule(), predicts, (2,)), DATA)["prediction"]
    assert check.status in ("fault", "warning")
    assert "set predicts" not in check.words
    assert "give it" not in check.words


def test_data_that_were_standardised_for_the_network_are_told() -> None:
    far = 4 * DATA + 3
    middle, spread = far.mean(), far.std()
    mixture = GaussianMixture(
        [0.3, 0.7], ((torch.tensor([[-3.0, 3.0], [7.0, 5.0]]) - middle) / spread).tolist(), float(1.2 / spread)
    )
    schedule = lw.VPSchedule()

    def net(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        m = Moments.at(schedule, float(t))
        return from_data("noise", mixture.denoise(x, m.alpha, m.sigma), x, m)

    model = lw.DiffusionModel(net, schedule, "noise", (2,))
    assert "pass shift=data.mean(), scale=data.std()" in lw.check_model(model, far)["prediction"].words
    assert lw.check_model(replace(model, shift=middle, scale=spread), far).ok


def test_a_flow_from_a_wider_prior_is_told() -> None:
    def net(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        time = min(max(float(t), 1e-4), 1 - 1e-4)
        denoised = MIXTURE.denoise(x, 1 - time, 3 * time)
        return (x - denoised) / time

    flow = lw.VelocityModel(net, (2,))
    words = lw.check_model(flow, DATA)["direction"].words
    assert re.search(r"its prior is as wide as that: pass prior=lw\.StandardNormal\((2\.[89]|3(\.[012])?)\)$", words)
    assert lw.check_model(replace(flow, prior=lw.StandardNormal(3.0)), DATA).ok


@pytest.mark.parametrize(("decode", "words"), [
    (lambda z: z[:1], "return one decoded sample for each latent"),
    (lambda z: z.numpy(), r"return a tensor, torch.from_numpy\(y\)"),
    (lambda z: z.mul_(2.0), r"changes its latents in place: let it work on a copy, z = z.clone\(\)"),
    (lambda z: z / 0 * 0, "not finite"),
    (lambda z: z @ torch.ones(3, 3), "the decoder raised RuntimeError"),
])  # fmt: skip
def test_a_decoder_that_cannot_be_used_is_told(decode, words: str) -> None:
    check = lw.check_model(replace(exact("noise", lw.VPSchedule()), decode=decode))["decoder"]
    assert check.status == "fault"
    assert re.search(words, check.words)
    assert lw.check_model(replace(exact("noise", lw.VPSchedule()), decode=lambda z: z[:, :1]))["decoder"].status == "ok"
    latent = replace(exact("noise", lw.VPSchedule()), decode=lambda z: 2 * z, encode=lambda x: x)
    assert re.search(r"encode\(decode\(z\)\) differs from z by 100\.0%", lw.check_model(latent)["decoder"].words)
    assert lw.check_model(replace(latent, encode=lambda x: x / 2))["decoder"].status == "ok"


def denoiser(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    return Moons().mixture.denoise(x, 1.0, float(sigma)).to(x)
