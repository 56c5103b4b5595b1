"""Shards of a run: several processes without a coordinator leave the folder of one process."""

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import leastwork as lw
from leastwork.cli import app
from leastwork.runs.base.finished import write_metrics
from leastwork.runs.top_up import draw_shard, more_samples
from leastwork.sampling.shares import Share
from leastwork.support.locks import lock

TIMED = ("seconds", "sha256")

pytestmark = pytest.mark.usefixtures("blank_pages")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without metrics, of tests that compare the samples alone."""
    monkeypatch.setattr("leastwork.runs.carry_out.measure_run", lambda folder, *_: write_metrics(folder, {"seed": 0}))


@pytest.fixture
def folder(begun: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(begun, tmp_path / "small"))


@pytest.fixture(scope="module")
def wanted(begun: Path, without_pages: Callable[[], AbstractContextManager[None]]) -> Path:
    """The folder of a run that asked for 100 samples."""
    out = Path(shutil.copytree(begun, begun.with_name("at once") / "small"))
    with without_pages():
        more_samples(out, 100)
    return out


def plain_bytes(folder: Path) -> dict[str, object]:
    """All files but reports, and without seconds."""
    found: dict[str, object] = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.name == "metrics.json":
            found[name] = {key: one for key, one in json.loads(path.read_text()).items() if key not in TIMED}
        elif path.name == ".zattrs" and "seconds" in path.read_text():
            found[name] = {**json.loads(path.read_text()), "seconds": 0}
        elif path.is_file() and path.name not in (".zmetadata", "report.html"):
            found[name] = path.read_bytes()
    return found


def test_shards_leave_the_folder_of_one_process(folder: Path, wanted: Path) -> None:
    said: list[str] = []
    assert draw_shard(folder, 100, Share(2, 3), tell=said.append) is None
    assert said == ["share 2/3 is drawn, and 5 blocks of other shares are missing"]
    assert len(lw.open_ensemble(folder / "ensemble.zarr")) == 40
    assert draw_shard(folder, 100, Share(3, 3), tell=said.append) is None
    assert draw_shard(folder, 100, Share(1, 3), tell=said.append) == folder / "report.html"
    assert plain_bytes(folder) == plain_bytes(wanted)
    before = (folder / "metrics.json").stat().st_mtime_ns
    assert draw_shard(folder, 100, Share(2, 3)) == folder / "report.html"
    assert (folder / "metrics.json").stat().st_mtime_ns == before
    with pytest.raises(lw.ConfigError, match="holds 100 samples, more than n=50"):
        draw_shard(folder, 50, Share(1, 2))


@pytest.mark.usefixtures("quick")
def test_the_last_shard_draws_damaged_blocks_of_others_again(folder: Path, wanted: Path) -> None:
    draw_shard(folder, 100, Share(1, 2))
    chunk = folder / "ensemble.zarr.partial" / "work" / "4"
    chunk.write_bytes(b"")
    with pytest.warns(lw.LeastworkWarning, match=r"work/4 is not what was written: the batch .* begins at 64 is drawn"):
        assert draw_shard(folder, 100, Share(2, 2)) == folder / "report.html"
    assert plain_bytes(folder / "ensemble.zarr") == plain_bytes(wanted / "ensemble.zarr")


@pytest.mark.usefixtures("quick")
def test_a_kill_before_the_end_is_finished_by_anybody(
    folder: Path, wanted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_shard(folder, 100, Share(1, 2))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("leastwork.runs.top_up._complete", killed)
        with pytest.raises(KeyboardInterrupt):
            draw_shard(folder, 100, Share(2, 2))
    assert draw_shard(folder, 100, Share(1, 2)) == folder / "report.html"
    assert plain_bytes(folder / "ensemble.zarr") == plain_bytes(wanted / "ensemble.zarr")


@pytest.mark.usefixtures("quick")
def test_whoever_shares_the_folder_leaves_the_end_to_the_last(folder: Path) -> None:
    others = lock(folder / ".lock", "it", shared=True)
    said: list[str] = []
    draw_shard(folder, 100, Share(1, 2))
    assert draw_shard(folder, 100, Share(2, 2), tell=said.append) is None
    assert said[0].startswith("all blocks are there, and another process finishes")
    with pytest.raises(lw.ConfigError, match="is being written by process"):
        more_samples(folder, 100)
    others.release()
    assert draw_shard(folder, 100, Share(2, 2)) == folder / "report.html"


@pytest.mark.usefixtures("quick")
def test_without_locks_the_end_is_one_command(folder: Path, wanted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr("leastwork.support.locks.fcntl", None)
        for k in (1, 2):
            assert draw_shard(folder, 100, Share(k, 2), tell=said.append) is None
    assert said[1].endswith(f"without locks: finish by leastwork sample {folder} --n 100")
    more_samples(folder, 100)
    assert plain_bytes(folder / "ensemble.zarr") == plain_bytes(wanted / "ensemble.zarr")


@pytest.mark.parametrize("what", ["version of leastwork", "version of torch", "model", "fit", "inputs"])
def test_another_worker_is_refused(what: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_shard(folder, 100, Share(1, 2))
    if what == "inputs":
        (folder / "inputs").mkdir(exist_ok=True)
        (folder / "inputs" / "data.csv").write_text("another")
    if what == "fit":
        file = folder / "fit" / "fit.json"
        file.write_text(file.read_text() + "\n")
    if what == "model":
        monkeypatch.setattr("leastwork.runs.worker.fingerprint", lambda model: "another")
    if what.startswith("version"):
        package = what.split()[-1]
        monkeypatch.setattr("leastwork.runs.worker.versions", lambda: {"leastwork": "0", "torch": "0", package: "1"})
        with pytest.raises(lw.ConfigError, match="begun by a worker with another version of"):
            draw_shard(folder, 100, Share(2, 2))
        return
    for draw in (lambda: draw_shard(folder, 100, Share(2, 2)), lambda: more_samples(folder, 100)):
        with pytest.raises(lw.ConfigError, match=f"begun by a worker with another .*{what}"):
            draw()


def call(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.usefixtures("quick")
def test_the_command_line(folder: Path, wanted: Path) -> None:
    code, out, err = call("sample", folder, "--n", 100, "--shard", "1/2", "--quiet")
    assert (code, out, err) == (0, "", "share 1/2 is drawn, and 3 blocks of other shares are missing\n")
    assert call("sample", folder, "--n", 100, "--shard", "2/2", "--quiet")[:2] == (0, f"{folder}/report.html\n")
    assert torch.equal(lw.open_ensemble(folder / "ensemble.zarr").x, lw.open_ensemble(wanted / "ensemble.zarr").x)
    for wrong, words in (
        (("--n", 200, "--shard", "5/4"), "error: share 5/4 does not exist: the shares are 1/4 to 4/4\n"),
        (("--shard", "1/4"), "error: a shard is a share of a number that all shards know: give --n, and no"),
        (("--n", 200, "--until-ess", 5, "--shard", "1/4"), "error: a shard is a share of a number"),
        (("--n", 60, "--shard", "1/4"), "holds 100 samples, more than n=60"),
    ):
        code, out, err = call("sample", folder, *wrong)
        assert (code, out) == (2, "")
        assert words in err


def test_status_and_report_say_what_is_missing(folder: Path, tmp_path: Path) -> None:
    code, out, _ = call("status", folder)
    lines = dict(line.split("  ", 1) for line in out.splitlines())
    assert code == 0
    assert [lines["stage"].strip(), lines["samples"].strip()] == ["finished", "40 of 40"]
    whole = lw.load_run(folder).ensemble
    assert whole is not None
    call("sample", folder, "--n", 100, "--shard", "2/3")
    code, out, _ = call("status", folder, "--json")
    found = json.loads(out)
    assert (code, found["stage"]) == (0, "drawing")
    assert (found["samples"], found["blocks"]) == ({"done": 32, "asked": 100}, {"done": 2, "asked": 7})
    assert found["missing"] == [[0, 15], [32, 63], [80, 99]]
    assert found["effective_samples"]["value"] == pytest.approx(32 * found["ess"]["value"])
    assert found["samples_per_second"] > 0
    _, out, _ = call("status", folder)
    assert "missing            samples 0–15, 32–63, 80–99\n" in out
    (folder / "metrics.json").unlink()
    code, _, err = call("report", folder)
    assert code == 2
    assert "metrics.json is missing" in err
    assert "is being filled with 100 samples, of which 32 are there: samples 0–15, 32–63, 80–99" in err
    code, _, err = call("status", tmp_path / "nothing")
    assert (code, err) == (2, f"error: {tmp_path}/nothing holds no run, there is no such folder: pass a folder of "
                           "leastwork run, or of run.save\n")  # fmt: skip
