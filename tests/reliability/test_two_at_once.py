"""Two calls that draw into one folder: the second is told who draws there, and the first does not notice."""

from pathlib import Path

import pytest
import torch

import leastwork as lw
from leastwork.errors import ConfigError
from leastwork.sampling.stepping import StepInfo
from leastwork.sampling.storage import add_log_tilt, save_ensemble

MODEL = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(2,))


@pytest.mark.parametrize("second", ["resume", "begin", "save"])
def test_the_second_is_refused(tmp_path: Path, second: str) -> None:
    out = tmp_path / "e.zarr"
    alone = lw.sample(MODEL, 64, steps=4, batch_size=32)
    refused = []
    calls = {
        "save": lambda: save_ensemble(alone, out),
        "begin": lambda: lw.sample(MODEL, 64, steps=4, batch_size=32, out=out),
        "resume": lambda: lw.sample(MODEL, 64, steps=4, batch_size=32, out=out, resume=True),
    }

    def at_the_same_time(info: StepInfo) -> None:
        with pytest.raises(ConfigError) as error:
            calls[second]()
        refused.append(str(error.value))

    drawn = lw.sample(MODEL, 64, steps=4, batch_size=32, out=out, callback=at_the_same_time)
    assert torch.equal(drawn.load().x, alone.x)
    assert refused
    assert all("is being written by process" in words and "\n" not in words for words in refused)
    add_log_tilt(out, torch.zeros(64, dtype=torch.float64))
    assert [path.name for path in tmp_path.iterdir()] == ["e.zarr"]


def test_a_call_that_failed_holds_nothing(tmp_path: Path) -> None:
    out = tmp_path / "e.zarr"

    def stop(info: StepInfo) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lw.sample(MODEL, 64, steps=4, batch_size=32, out=out, callback=stop)
    with pytest.raises(ConfigError, match="other settings"):
        lw.sample(MODEL, 65, steps=4, batch_size=32, out=out, resume=True)
    lw.sample(MODEL, 64, steps=4, batch_size=32, out=out, resume=True)
