"""Models on disk: nothing is unpickled, and what is wrong with a file is said."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

import leastwork as lw
from leastwork.models.bundled import bundled_models
from leastwork.networks.perceptron import Perceptron


def make() -> lw.DiffusionModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Perceptron(2, width=8, depth=2)
    return lw.DiffusionModel(net, lw.CosineSchedule(t_max=0.999), "v", (2,), shift=torch.tensor([1.0, 2.0]), scale=0.5)


def test_round_trip(tmp_path) -> None:
    model = make()
    lw.save_model(model, tmp_path)
    again = lw.load_model(tmp_path)
    x = torch.ones(3, 2)
    assert torch.equal(model.denoise(x, 0.5), again.denoise(x, 0.5))
    assert torch.equal(model.to_data_units(x), again.to_data_units(x))
    assert (again.schedule, again.predicts, again.event_shape) == (model.schedule, "v", (2,))


def test_velocity_model_round_trip(tmp_path) -> None:
    flow = lw.VelocityModel(make().net, (2,), lw.StandardNormal(2.0), data_at_one=True)
    lw.save_model(flow, tmp_path)
    again = lw.load_model(tmp_path)
    assert torch.equal(flow.velocity(torch.ones(1, 2), 0.3), again.velocity(torch.ones(1, 2), 0.3))
    assert again.prior == flow.prior


def test_a_users_own_network(tmp_path) -> None:
    net = torch.nn.Linear(2, 2)
    model = lw.DiffusionModel(lambda x, t: net(x), lw.VPSchedule(), "data", (2,))
    with pytest.raises(lw.LeastworkError, match=r"torch\.nn\.Module"):
        lw.save_model(model, tmp_path)

    class Own(torch.nn.Linear):
        def forward(self, x, t):
            return super().forward(x)

    own = Own(2, 2)
    lw.save_model(lw.DiffusionModel(own, lw.VPSchedule(), "data", (2,)), tmp_path)
    with pytest.raises(lw.LeastworkError, match="net="):
        lw.load_model(tmp_path)
    again = lw.load_model(tmp_path, net=Own(2, 2))
    assert torch.equal(again.denoise(torch.ones(1, 2), 0.5), own(torch.ones(1, 2), 0))


def test_bundled_names() -> None:
    assert "prinz" in bundled_models()
    with pytest.raises(lw.LeastworkError, match="did you mean 'prinz'"):
        lw.load_model("prins")


def test_bad_files(tmp_path) -> None:
    lw.save_model(make(), tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()

    def refused(words: str) -> None:
        with pytest.raises(lw.LeastworkError, match=words):
            lw.load_model(tmp_path)

    weights.write_bytes(whole[: len(whole) // 2])
    refused("truncated")
    weights.write_bytes(b"hello world, these are not weights")
    refused("not safetensors")
    weights.write_bytes(pickle.dumps({"a": 1}))
    refused("pickle")
    torch.save({"a": torch.ones(1)}, weights)
    refused("pickle")
    with pytest.raises(lw.LeastworkError, match="pickle"):
        lw.load_model(weights)
    weights.unlink()
    refused("missing")
    weights.write_bytes(whole)
    described = json.loads((tmp_path / "model.json").read_text())
    described["network"]["config"]["width"] = 16
    (tmp_path / "model.json").write_text(json.dumps(described))
    refused("its checksum is another")
    del described["sha256"]
    (tmp_path / "model.json").write_text(json.dumps(described))
    refused("another network")
    (tmp_path / "model.json").write_text("{}")
    refused("not a leastwork model")
    (tmp_path / "model.json").write_text("{")
    refused("is damaged")
    (tmp_path / "model.json").unlink()
    refused("missing")


def test_weights_that_are_not_finite(tmp_path) -> None:
    model = make()
    with torch.no_grad():
        model.net.last.bias[0] = float("nan")
    lw.save_model(model, tmp_path)
    with pytest.raises(lw.LeastworkError, match=r"last\.bias"):
        lw.load_model(tmp_path)


class TwoScores(nn.Module):
    """The scores of frames about their own middle."""

    def __init__(self, pull: float) -> None:
        super().__init__()
        self.pull = nn.Parameter(torch.tensor(pull))

    def forward(self, x, t):
        return -self.pull * x[0] / (1 + t), self.pull * x[1].diagonal(dim1=-2, dim2=-1)


def test_a_model_of_frames_is_saved_and_loaded(tmp_path: Path) -> None:
    angles = lw.AngleSchedule(0.05, 2.0)
    model = lw.FrameModel(TwoScores(0.7), lw.VPSchedule(), angles, residues=3, scale=0.1, subspace=lw.ZeroCentre())
    lw.save_model(model, tmp_path / "frames")
    loaded = lw.load_model(tmp_path / "frames", net=TwoScores(0.0))
    assert isinstance(loaded, lw.FrameModel)
    assert (loaded.residues, loaded.scale, loaded.angles, loaded.subspace) == (3, 0.1, angles, model.subspace)
    for one, other in zip(lw.sample(model, 4, steps=3).x, lw.sample(loaded, 4, steps=3).x, strict=True):
        assert torch.equal(one, other)
    with pytest.raises(lw.ConfigError, match=r"'TwoScores' is not of this package: pass it as load_model"):
        lw.load_model(tmp_path / "frames")
