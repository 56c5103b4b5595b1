"""A run's folder stands alone: it can be moved, and names no place on the machine that it was made on."""

import json
import os
import shutil
from pathlib import Path

import pytest

import leastwork as lw
from leastwork.errors import ConfigError
from leastwork.runs.base.sealed import settings_in
from leastwork.runs.carry_out import run
from leastwork.runs.load import load_config
from leastwork.runs.page import write_report


@pytest.mark.parametrize("kind", ["observables", "joint"])
def test_no_file_says_where_it_was_made(kind: str, runs) -> None:
    texts = [path for path in runs.finished(kind).rglob("*") if path.suffix in (".yaml", ".json", ".html", ".md")]
    assert len(texts) > 4
    for path in texts:
        assert str(runs.place) not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("from_its_own_file", [True, False])
def test_an_interrupted_run_goes_on_elsewhere(from_its_own_file: bool, runs, tmp_path: Path) -> None:
    shutil.copytree(runs.interrupted("path", "drawing"), tmp_path / "moved")
    file = tmp_path / "moved/config.yaml" if from_its_own_file else runs.place / "path.yaml"
    run(load_config(file), tmp_path / "moved", resume=True)
    for name in ("report.html", "metrics.json", "config.yaml"):
        assert (tmp_path / "moved" / name).read_bytes() == (runs.finished("path") / name).read_bytes()


def test_a_finished_run_is_reported_and_loaded_elsewhere(runs, tmp_path: Path) -> None:
    shutil.copytree(runs.finished("joint"), tmp_path / "moved")
    before = (tmp_path / "moved/report.html").read_bytes()
    assert write_report(tmp_path / "moved").read_bytes() == before
    assert lw.load_run(tmp_path / "moved/rare").sample(4).x.isfinite().all()


def test_a_folder_that_was_begun_before_still_goes_on(runs, tmp_path: Path) -> None:
    """It named the model by where that lay, and had no checksums in its files of text."""
    old = tmp_path / "old"
    shutil.copytree(runs.interrupted("path", "drawing"), old)
    shutil.rmtree(old / "inputs/net")
    text = settings_in(old).replace("inputs/net", str(runs.place / "net"))
    (old / "config.yaml").write_text(text)
    for file in (old / "fit/fit.json", old / "guidance/guidance.json"):
        plain = {key: value for key, value in json.loads(file.read_text()).items() if key != "sha256"}
        file.write_text(json.dumps(plain))
    run(load_config(runs.place / "path.yaml"), old, resume=True)
    assert (old / "metrics.json").read_bytes() == (runs.finished("path") / "metrics.json").read_bytes()
    assert lw.load_run(old).ensemble is not None


@pytest.mark.parametrize("name", ["fit.partial", "ensemble.zarr", "inputs/net", ".lock"])
def test_nothing_is_written_through_links(name: str, runs, tmp_path: Path) -> None:
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "copy"
    elsewhere.mkdir()
    shutil.copytree(runs.interrupted("path", "fitting"), out)
    shutil.rmtree(out / name, ignore_errors=True)
    (out / name).symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="is a link, and nothing is written through it"):
        runs.carry_out("path", out)
    assert not list(elsewhere.iterdir())


def test_a_lock_that_is_no_file(runs, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(runs.interrupted("path", "fitting"), out)
    (out / ".lock").unlink(missing_ok=True)
    os.mkfifo(out / ".lock")
    with pytest.raises(ConfigError, match=r"\.lock is no plain file: delete it"):
        runs.carry_out("path", out)
