"""Every form of ``model:`` in a run: its folder holds what the model needs, and is resumed, read back and reported."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

import leastwork as lw
from leastwork.models.files import fingerprint
from leastwork.networks.perceptron import Perceptron
from leastwork.runs.carry_out import run
from leastwork.runs.load import load_config
from leastwork.runs.observables.inputs import build_inputs
from leastwork.runs.page import write_report
from leastwork.sampling.sample import draw

NETWORK = "from leastwork.networks.perceptron import Perceptron as Net\n"
MODEL = """\
from pathlib import Path
import leastwork as lw
from leastwork.networks.perceptron import Perceptron
from safetensors.torch import load_file
net = Perceptron(2, width=8, depth=1)
net.load_state_dict(load_file(Path(__file__).parent / "weights" / "w.safetensors"))
model = lw.DiffusionModel(net, lw.VPSchedule(), predicts="v", event_shape=(2,))
"""
OWN = {
    "adapter": "network", "python": "net.py", "options": {"dimension": 2, "width": 8, "depth": 1},
    "weights": "weights/w.safetensors", "event_shape": [2], "predicts": "v", "schedule": "vp", "times": "one",
}  # fmt: skip
FORMS: dict[str, Any] = {
    "a folder": "./prinz",
    "a Python file": {"python": "mine.py", "files": ["weights/w.safetensors"]},
    "an adapter": OWN,
}
REST = {
    "observables": [{"kind": "component", "name": "x"}],
    "data": [{"name": "x", "value": 0.2, "error": 0.02}],
    "method": "reweight",
    "fit": {"samples": 100},
    "sampling": {"n": 48, "solver": "euler", "steps": 4, "batch_size": 16},
}


_MEAN = 0.1178  # of x in the model's samples, the same in all forms


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a random network in all forms, one of which has the name of a bundled model."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Perceptron(2, width=8, depth=1)
    lw.save_model(lw.DiffusionModel(net, lw.VPSchedule(), predicts="v", event_shape=(2,)), tmp_path / "prinz")
    (tmp_path / "weights").mkdir()
    save_file(net.state_dict(), tmp_path / "weights" / "w.safetensors")
    (tmp_path / "net.py").write_text(NETWORK)
    (tmp_path / "mine.py").write_text(MODEL)
    return tmp_path


def written(place: Path, **keys: Any) -> Path:
    file = place / "run.yaml"
    file.write_text(yaml.safe_dump({**keys, **REST}))
    return file


@pytest.mark.usefixtures("blank_pages")
@pytest.mark.parametrize("form", FORMS)
def test_a_run_folder_holds_what_its_model_needs(form: str, place: Path) -> None:
    config = load_config(written(place, model=FORMS[form]))
    out = place / "out"
    run(config, out)
    first = json.loads((out / "metrics.json").read_text())
    run(config, out, resume=True)
    assert (form, first["observables"][0]["model"]) == (form, pytest.approx(_MEAN, abs=1e-3))
    if form == "an adapter":
        other = {**OWN, "schedule": {"name": "vp", "beta_max": 10.0}}
        with pytest.raises(lw.ConfigError, match=r"begun with other settings \(.* is new\)"):
            run(load_config(written(place, model=other)), out, resume=True)
    there = place.parent / f"{place.name}-elsewhere"  # the folder alone, as on another machine
    shutil.move(out, there)
    shutil.rmtree(place)
    if isinstance(FORMS[form], dict):
        with pytest.raises(lw.ConfigError, match=r"would run .*inputs/.*\.py: look into that file.*trust_code=True"):
            lw.load_run(there)
    again = lw.load_run(there, trust_code=True)
    assert again.model.event_shape == (2,)
    assert fingerprint(again.model) is not None
    assert again.sample(4).x.isfinite().all()
    assert str(place) not in (there / "config.yaml").read_text()
    assert "of model" in write_report(there).read_text(encoding="utf-8")


KINDS = {
    "frames": """\
def scores(x, t):
    return -x[0], 0 * x[0]
model = lw.FrameModel(scores, lw.VPSchedule(), lw.AngleSchedule(), 4)
""",
    "a flow": "model = lw.VelocityModel(lambda x, t: -x, (4, 3))\n",
    "latents": """\
def decode(z):
    return z.unflatten(-1, (4, 3))
model = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), "score", (12,), decode=decode)
""",
}


@pytest.mark.parametrize("kind", KINDS)
def test_frames_flows_and_latents_go_in_by_a_python_file(kind: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(f"import leastwork as lw\n{KINDS[kind]}")
    run_file = {**REST, "observables": [{"kind": "end_to_end", "name": "x"}], "model": {"python": "mine.py"}}
    process = {"process": "ode"} if kind == "a flow" else {}
    run_file["sampling"] = {"n": 16, "solver": "euler", "steps": 3, "batch_size": 16, **process}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run_file))
    (config,) = load_config(tmp_path / "run.yaml").parts.values()
    inputs = build_inputs(config)  # pyright: ignore[reportArgumentType]  (a run with data)
    drawn = draw(inputs.model, 16, inputs.choices)
    assert inputs.data.sampled_by(inputs.model).observable(drawn.x).shape == (16, 1)


def test_settings_of_a_model_by_set_and_errors_with_their_key(place: Path) -> None:
    config = load_config(written(place, model=OWN), ["model.options.width=16"])
    assert config.parts[""].source.plain()["options"] == {"dimension": 2, "width": 16, "depth": 1}
    with pytest.raises(lw.ConfigError, match=r"run.yaml: unknown key 'weigths' in 'model': did you mean 'weights'"):
        load_config(written(place, model={**OWN, "weigths": "w"}))
    with pytest.raises(lw.ConfigError, match=r"run.yaml: 'model' is \[\]: give a bundled model's name, a folder"):
        load_config(written(place, model=[]))


def test_a_bundled_name_wins_over_a_folder_beside_the_run_file(place: Path) -> None:
    with pytest.warns(lw.LeastworkWarning, match=r"prinz is a bundled model, which is taken"):
        config = load_config(written(place, model="prinz"))
    assert config.parts[""].model == "prinz"
    assert load_config(written(place, model="./prinz")).parts[""].model == str(place / "prinz")


def test_a_run_saved_in_python_names_an_adapter(place: Path) -> None:
    own = {**OWN, "python": str(place / "net.py"), "weights": str(place / "weights/w.safetensors")}
    observable = lw.Observable(lambda x: x[:, 0], names=("x",))
    data = lw.Experiment(observable, values=[0.2], errors=[0.02])
    model = lw.load_model(own)
    fitted = lw.guide_observables(model, data, "reweight", samples=100, steps=4)
    fitted.save(place / "saved", model=own)
    assert "../net.py" in (place / "saved" / "config.yaml").read_text()
    again = lw.load_run(place / "saved", observable=observable, trust_code=True)
    assert fingerprint(again.model) == fingerprint(model)


def test_device_and_dtype_are_keys(place: Path) -> None:
    run(load_config(written(place, model="./prinz", device="cpu", dtype="float64")), place / "out")
    described = place / "out" / "config.yaml"
    assert "device: cpu\ndtype: float64\n" in described.read_text()
    again = lw.load_run(place / "out")
    assert again.sample(4).x.dtype == again.model.parameters()[0].dtype == torch.float64
    described.write_text(
        "model: ./inputs/prinz\ndevice: cuda:77\n" + described.read_text().split("dtype: float64\n")[1]
    )
    write_report(place / "out")
    with pytest.warns(lw.LeastworkWarning, match="made on device cuda:77, which this machine has not"):
        assert lw.load_run(place / "out").sample(2).x.shape == (2, 2)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"device": "cuda:77"}, r"run: device='cuda:77' cannot be used: give one that this machine has"),
        ({"device": "gpu"}, "device='gpu' cannot be used"),
        ({"dtype": "float16"}, r"run: the network is in torch.float16, which is too coarse"),
    ],
)
def test_devices_and_precisions_are_refused_before_a_folder_is_made(
    keys: dict[str, str], words: str, place: Path
) -> None:
    with pytest.raises(lw.ConfigError, match=words):
        run(load_config(written(place, model="./prinz", **keys)), place / "out")
    assert not (place / "out").exists()


def test_an_unknown_precision_and_a_network_that_cannot_be_moved(place: Path) -> None:
    with pytest.raises(lw.ConfigError, match=r"'dtype' is 'double': give float32 or float64"):
        load_config(written(place, model="./prinz", dtype="double"))
    (place / "fn.py").write_text(
        "import leastwork as lw\nmodel = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), 'score', (2,))\n"
    )
    with pytest.raises(lw.ConfigError, match=r"model fn is a function without parameters, which 'device' and 'dtype'"):
        run(load_config(written(place, model={"python": "fn.py"}, dtype="float64")), place / "out")
