"""More samples for a finished run: the folder is that of a run that asked for them at once."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

import leastwork as lw
from leastwork.networks.equivariant import EquivariantPerceptron
from leastwork.runs.base.sealed import settings_in
from leastwork.runs.carry_out import run
from leastwork.runs.load import load_config
from leastwork.runs.top_up import more_samples
from leastwork.sampling.ensemble import log_weight_under
from leastwork.sampling.work import kish_ess
from leastwork.schedules.files import describe_schedule

SMALL = ("fit.samples=300", "fit.fit_samples=64", "sampling.steps=4", "sampling.batch_size=16", "method=scheduled")

pytestmark = pytest.mark.usefixtures("blank_pages")


def carried_out(out: Path, n: int, *more: str) -> Path:
    run(load_config("prinz", [*SMALL, f"sampling.n={n}", *more]), out)
    return out


def numbers(folder: Path) -> dict[str, object]:
    found = json.loads((folder / "metrics.json").read_text())
    return {key: value for key, value in found.items() if key not in ("seconds", "sha256")}


def test_it_is_the_run_that_asked_for_them_at_once(begun: Path, tmp_path: Path) -> None:
    wanted = carried_out(tmp_path / "at once", 100)
    found = Path(shutil.copytree(begun, tmp_path / "grown"))
    with ThreadPoolExecutor(2) as executor:
        more_samples(found, 100, executor=executor)
    assert numbers(found) == numbers(wanted)
    assert settings_in(found) == settings_in(wanted)
    there, here = (lw.open_ensemble(folder / "ensemble.zarr") for folder in (wanted, found))
    assert torch.equal(there.x, here.x)
    assert torch.equal(there.log_weight, here.log_weight)
    with pytest.raises(lw.ConfigError, match=r"holds 100 samples, more than n=50: read them by lw\.open_ensemble"):
        more_samples(found, 50)


def test_a_run_of_less_than_one_batch_grows(tmp_path: Path) -> None:
    wanted = carried_out(tmp_path / "at once", 40, "sampling.batch_size=32")
    found = carried_out(tmp_path / "grown", 20, "sampling.batch_size=32")
    more_samples(found, 40)
    there, here = (lw.open_ensemble(folder / "ensemble.zarr") for folder in (wanted, found))
    assert torch.equal(there.x, here.x)


def test_it_goes_on_until_there_are_enough_effective_samples(begun: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(begun, tmp_path / "a"))
    more_samples(folder, until_ess=60.0)
    ensemble = lw.load_run(folder).ensemble
    assert ensemble is not None
    assert len(ensemble) > 60
    assert kish_ess(log_weight_under("target", ensemble)).value * len(ensemble) >= 60


CHAIN = """\
model: net
sequence: GAVL
observables:
  - {kind: component, index: 0, name: x}
data:
  - {name: x, value: 0.05, error: 0.1}
"""


@pytest.mark.filterwarnings("ignore::leastwork.errors.LeastworkWarning")
def test_structures_and_the_joint_run_follow(tmp_path: Path) -> None:
    """A small random network of four atoms; without the extra for proteins there are no trajectories."""
    torch.manual_seed(0)
    net = EquivariantPerceptron(4, describe_schedule(lw.VPSchedule()), width=8, depth=1)
    lw.save_model(lw.DiffusionModel(net, lw.VPSchedule(), predicts="data", event_shape=(4, 3)), tmp_path / "net")
    (tmp_path / "one.yaml").write_text(CHAIN)
    (tmp_path / "both.yaml").write_text("runs: {a: one.yaml, b: one.yaml}")
    out = tmp_path / "out"
    run(load_config(tmp_path / "both.yaml", [*SMALL, "sampling.n=20"]), out)
    before = (out / "a" / "structures" / "guided-weights.csv").read_text().splitlines()
    more_samples(out / "a", 40)
    after = (out / "a" / "structures" / "guided-weights.csv").read_text().splitlines()
    assert (len(before), len(after)) == (21, 41)
    parts = json.loads((out / "metrics.json").read_text())["parts"]
    assert parts["a"] == {
        key: one for key, one in json.loads((out / "a" / "metrics.json").read_text()).items() if key != "sha256"
    }
    assert parts["a"]["network_evaluations"] > parts["b"]["network_evaluations"]


def test_a_run_without_guidance_or_fit_is_refused(tmp_path: Path) -> None:
    folder = carried_out(tmp_path / "a", 40, "method=reweight", "fit.fit_samples=10000")
    with pytest.raises(lw.ConfigError, match="guides nothing, since its method is 'reweight'"):
        more_samples(folder, 50)
    (folder / "fit" / "fit.json").unlink()
    with pytest.raises(lw.ConfigError, match="holds no finished fit"):
        more_samples(folder, 50)
    with pytest.raises(lw.ConfigError, match="there is no such folder"):
        more_samples(tmp_path / "b", 50)
