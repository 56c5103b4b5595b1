"""A network of one's own in YAML: its time, its call and its weights, against the same network wrapped in Python."""

import re
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import leastwork as lw
from leastwork.adapters.source import source_of
from leastwork.models.weights import read_weights

NETWORKS = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, width), nn.SiLU(), nn.Linear(width, 2))

    def forward(self, x, s, gain=1.0):
        assert s.shape == (len(x),)
        return gain * self.layers(torch.cat([x, s[:, None] / 1000], dim=1))


class Column(Net):
    def forward(self, s, x):
        return super().forward(x, s[:, 0])


class Joined(Net):
    def forward(self, y):
        return super().forward(y[:, :2], y[:, 2])


def plain(rate):
    return lambda x, s: -rate * x


def scores(x, s):
    return -x


made = Net(6)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "nets.py").write_text(NETWORKS)
    names: dict[str, type[nn.Module]] = {}
    exec(NETWORKS, names)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = names["Net"](6).state_dict()
    save_file(state, folder / "w.safetensors")
    torch.save(state, folder / "w.pt")
    torch.save({"state_dict": state, "epoch": 3}, folder / "it's.ckpt")
    return folder


def settings(folder: Path, **more: object) -> dict[str, object]:
    return {
        "adapter": "network", "python": folder / "nets.py", "options": {"width": 6},
        "weights": folder / "w.safetensors", "event_shape": [2], "predicts": "noise", "schedule": "vp", **more,
    }  # fmt: skip


def by_hand(folder: Path, x: torch.Tensor, s: float) -> torch.Tensor:
    w = load_file(folder / "w.safetensors")
    y = torch.cat([x, torch.full((len(x), 1), s / 1000)], dim=1)
    hidden = nn.functional.silu(y @ w["layers.0.weight"].T + w["layers.0.bias"])
    return hidden @ w["layers.2.weight"].T + w["layers.2.bias"]


@pytest.mark.parametrize(
    "more",
    [{}, {"network": "Column", "call": "t, x", "times": "column"}, {"network": "Joined", "call": "concatenated"}],
)
def test_a_noise_network_with_timesteps(folder: Path, more: dict[str, object]) -> None:
    model = lw.load_model(settings(folder, time=[0, 1000], shift=[1, 2], scale=0.5, **more))
    assert isinstance(model, lw.DiffusionModel)
    x = torch.tensor([[0.3, -1.0], [2.0, 0.1]])
    assert torch.allclose(model.predict(x, 0.25), by_hand(folder, x, 250.0))
    assert torch.equal(model.to_data_units(x), torch.tensor([1.0, 2.0]) + 0.5 * x)
    assert model.schedule == lw.VPSchedule()


def test_a_velocity_whose_time_runs_to_the_data(folder: Path) -> None:
    x = torch.tensor([[0.3, -1.0], [2.0, 0.1]])
    given = settings(folder, predicts="velocity", time=[1, 0], context={"gain": 2.0})
    model = lw.load_model({**given, "schedule": {"name": "linear", "t_max": 0.9}})
    assert torch.allclose(model.velocity(x, 0.25), -2 * by_hand(folder, x, 0.75), atol=1e-6)
    flow = lw.load_model({**given, "schedule": None})
    assert isinstance(flow, lw.VelocityModel)
    assert torch.allclose(flow.velocity(x, 0.25), -2 * by_hand(folder, x, 0.75))


def test_padding_and_angles(folder: Path) -> None:
    x = torch.tensor([[0.3], [2.0]])
    model = lw.load_model(settings(folder, time=[0, 1000], mask=[False, True]))
    assert model.event_shape == (1,)
    assert isinstance(model, lw.DiffusionModel)
    whole = by_hand(folder, torch.cat([0 * x, x], dim=1), 250.0)
    assert torch.allclose(model.predict(x, 0.25), whole[:, 1:])
    given = settings(folder, predicts="velocity", periodic=True, schedule=None)
    assert isinstance(flow := lw.load_model(given), lw.VelocityModel)
    assert flow.periodic
    around = lw.load_model(
        settings(folder, periodic=True, schedule={"name": "ve", "sigma_min": 0.03, "sigma_max": 3.0})
    )
    turned = x.expand(2, 2) + 2 * torch.pi
    assert isinstance(around, lw.DiffusionModel)
    assert torch.allclose(around.predict(turned, 0.25), around.predict(turned - 2 * torch.pi, 0.25), atol=1e-5)
    with pytest.raises(lw.LeastworkError, match="VPSchedule is not possible on angles"):
        lw.load_model(settings(folder, periodic=True))


def test_a_function_takes_no_weights(folder: Path) -> None:
    given = settings(folder, network="plain", options={"rate": 2.0}, weights=None, predicts="score")
    model = lw.load_model(given)
    assert torch.equal(model.score(torch.ones(1, 2), 0.5), -2 * torch.ones(1, 2))
    with pytest.raises(lw.ConfigError, match=r"is no nn.Module, so it takes no weights"):
        lw.load_model({**given, "weights": folder / "w.safetensors"})


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"network": "Nett"}, "has no function 'Nett': did you mean 'Net'"),
        ({"options": {"width": 6, "depth": 2}}, r"cannot be made with options .*depth"),
        ({"options": {"width": 5}}, "holds the weights of another network"),
        ({"schedule": {"name": "vp", "beta": 1}}, "schedule .* cannot be used"),
        ({"schedule": {"beta_min": 1}}, "schedule .* cannot be used"),
        ({"context": {"y": [[1], [1, 2]]}}, r"\[\[1\], \[1, 2\]\] is no table of numbers .*: give rows of one length"),
        ({"context": {"y": ["a", 1]}}, r"\['a', 1\] is no table of numbers"),
        ({"scale": [[1], [1, 2]]}, "is no table of numbers"),
        ({"scale": float("inf")}, "shift and scale must be finite"),
        ({"shift": float("nan")}, "shift and scale must be finite"),
        ({"time": [1, 1]}, r"'model': time is \[1.0, 1.0\]: give two different finite numbers"),
        ({"time": [0, float("nan")]}, "time is .*: give two different finite numbers"),
        ({"network": "scores"}, "if it is itself the network and not what makes one, name a function that returns it"),
        ({"schedule": None}, "'schedule' is missing in 'model'"),
        ({"event_shape": [3]}, "cannot be called as x, t with x of shape"),
        ({"python": "nowhere.py"}, r"nowhere.py: there is no such file"),
        ({"weights": "nowhere.safetensors"}, r"nowhere.safetensors is missing"),
    ],
)
def test_settings_that_do_not_fit(folder: Path, more: dict[str, object], words: str) -> None:
    with pytest.raises(lw.LeastworkError, match=words):
        lw.load_model(settings(folder, **more))


def test_a_network_that_the_file_made_is_taken(folder: Path) -> None:
    x = torch.ones(1, 2)
    taken = lw.load_model(settings(folder, network="made", options=None))
    torch.testing.assert_close(taken.denoise(x, 0.5), lw.load_model(settings(folder)).denoise(x, 0.5))


@pytest.mark.parametrize("name", ["w.pt", "it's.ckpt"])
def test_a_pickle_is_refused_with_code_that_converts_it(folder: Path, name: str) -> None:
    with pytest.raises(lw.ConfigError, match=r"is a pickle, which can run code, and is refused") as refused:
        lw.load_model(settings(folder, weights=folder / name))
    code = re.search(r"in Python, (import .*)$", str(refused.value))
    assert code is not None
    exec(code[1], {})
    converted = (folder / name).with_suffix(".safetensors")
    assert read_weights(converted).keys() == read_weights(folder / "w.safetensors").keys()
    lw.load_model(settings(folder, weights=converted))


def test_a_python_file_that_defines_the_model(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from pathlib import Path\nimport leastwork as lw\n"
        "rate = float((Path(__file__).parent / 'data/rate.txt').read_text())\n"
        "model = lw.DiffusionModel(lambda x, t: -rate * x, lw.VPSchedule(), 'score', (2,))\n"
    )
    with pytest.raises(lw.ConfigError, match=r"mine.py, line 3: FileNotFoundError"):
        lw.load_model({"python": tmp_path / "mine.py"})
    with pytest.raises(lw.ConfigError, match=r"rate.txt: there is no such file"):
        lw.load_model({"python": tmp_path / "mine.py", "files": ["data/rate.txt"]})
    (tmp_path / "data").mkdir()
    (tmp_path / "data/rate.txt").write_text("2")
    assert lw.load_model({"python": tmp_path / "mine.py"}).score(torch.ones(1, 2), 0.5)[0, 0] == -2
    (tmp_path / "moves.py").write_text((tmp_path / "mine.py").read_text() + "import os\nos.chdir('/')\n")
    here = Path.cwd()
    lw.load_model({"python": tmp_path / "moves.py"})
    assert Path.cwd() == here
    (tmp_path / "none.py").write_text("model = 3\n")
    with pytest.raises(lw.ConfigError, match=r"none.py: its model is a int, set model = lw"):
        lw.load_model({"python": tmp_path / "none.py"})


def test_modules_beside_a_model_are_its_own_and_are_known_as_its_files(tmp_path: Path) -> None:
    for name, rate in (("one", 1), ("two", 2)):
        (tmp_path / name / "parts").mkdir(parents=True)
        (tmp_path / name / "mine.py").write_text(
            "import leastwork as lw\nimport json\nfrom own import score\n"
            "model = lw.DiffusionModel(score, lw.VPSchedule(), 'score', (2,))\n"
        )
        (tmp_path / name / "own.py").write_text("from parts.rate import RATE\ndef score(x, t): return -RATE * x\n")
        (tmp_path / name / "parts" / "__init__.py").write_text("")
        (tmp_path / name / "parts" / "rate.py").write_text(f"RATE = {rate}\n")
        source = source_of({"python": tmp_path / name / "mine.py"})
        assert source.build().score(torch.ones(1, 2), 0.5)[0, 0] == -rate
        needed = source.needed("python", source.paths["python"])
        assert [file.relative_to(tmp_path / name).as_posix() for file in needed] == [
            "mine.py",
            "own.py",
            "parts/__init__.py",
            "parts/rate.py",
        ]
        assert [file.name for file in source.code] == ["mine.py", "own.py", "__init__.py", "rate.py"]
    assert "own" not in sys.modules
