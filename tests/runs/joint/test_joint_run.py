"""Joint runs end to end: each part is a run like any other, and what is finished is never redone."""

import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from leastwork.errors import ConfigError, InfeasibleError, LeastworkError, LeastworkWarning
from leastwork.runs.base.finished import read_metrics, write_metrics
from leastwork.runs.base.settings import JointConfig
from leastwork.runs.carry_out import run
from leastwork.runs.folder import default_folder
from leastwork.runs.load import load_config
from leastwork.sampling.storage import open_ensemble

GUIDED = 6 * 8  # batches times steps of the second part

pytestmark = pytest.mark.usefixtures("blank_pages")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, joint_case: Callable[[Path], Path]) -> Path:
    """A run file that no test changes."""
    return joint_case(tmp_path_factory.mktemp("joint"))


@pytest.fixture(scope="module")
def told(
    file: Path, tmp_path_factory: pytest.TempPathFactory, without_pages: Callable[[], AbstractContextManager[None]]
) -> tuple[Path, list[str]]:
    """Its run, finished, and what was told of its progress."""
    out, seen = tmp_path_factory.mktemp("finished") / "out", []

    @contextmanager
    def progress(what: str, total: int) -> Iterator:
        seen.append(what)
        yield lambda count=1: None

    with without_pages():
        assert run(load_config(file), out, progress=progress) == out / "report.html"
    return out, seen


@pytest.fixture(scope="module")
def finished(told: tuple[Path, list[str]]) -> Path:
    return told[0]


def metrics_of(folder: Path) -> dict[str, Any]:
    return read_metrics(folder)


def timeless(metrics: Any) -> Any:
    """Numbers that do not depend on the clock."""
    if isinstance(metrics, dict):
        return {key: timeless(value) for key, value in metrics.items() if key != "seconds"}
    return [timeless(value) for value in metrics] if isinstance(metrics, list) else metrics


def interrupted(label: str, total: int, after: int):
    """A progress that is Ctrl-C after some steps of what bears that label."""

    @contextmanager
    def progress(what: str, length: int) -> Iterator:
        left = after

        def tick(count: int = 1) -> None:
            nonlocal left
            left -= count
            if left < 0 and (what, length) == (label, total):
                raise KeyboardInterrupt

        yield tick

    return progress


def times(folder: Path) -> dict[str, int]:
    names = ("metrics.json", "fit/fit.json", "plots.safetensors", "config.yaml")
    return {name: (folder / name).stat().st_mtime_ns for name in names}


def test_a_joint_run_leaves_a_whole_run_for_each_part(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == {
        "average",
        "config.yaml",
        "metrics.json",
        "rare",
        "report.html",
    }
    kept = {
        "config.yaml",
        "ensemble.zarr",
        "fit",
        "fit.csv",
        "guidance",
        "metrics.json",
        "plots.safetensors",
        "report.html",
    }
    assert {path.name for path in (finished / "average").iterdir()} == kept | {"inputs"}
    assert {path.name for path in (finished / "rare").iterdir()} == kept | {"inputs"}
    assert not list(finished.rglob("*.tmp"))


def test_a_part_is_what_it_is_alone(file: Path, finished: Path, tmp_path: Path) -> None:
    run(load_config(file.with_name("average.yaml")), tmp_path / "alone")
    assert timeless(metrics_of(tmp_path / "alone")) == timeless(metrics_of(finished / "average"))
    one, other = (open_ensemble(folder / "ensemble.zarr").x for folder in (tmp_path / "alone", finished / "average"))
    assert torch.equal(one, other)  # type: ignore[arg-type]


def test_metrics_gather_those_of_the_parts(finished: Path) -> None:
    metrics = metrics_of(finished)
    assert list(metrics) == ["versions", "seconds", "network_evaluations", "parts"]
    parts = {part: metrics_of(finished / part) for part in ("average", "rare")}
    assert metrics["parts"] == parts
    for key in ("seconds", "network_evaluations"):
        assert metrics[key] == pytest.approx(sum(one[key] for one in parts.values()))
    assert metrics["versions"] == parts["rare"]["versions"]


@pytest.mark.usefixtures("forked_quickly")
def test_parts_side_by_side_come_out_the_same(file: Path, finished: Path, tmp_path: Path) -> None:
    run(load_config(file), tmp_path / "out", workers=2)
    assert timeless(metrics_of(tmp_path / "out")) == timeless(metrics_of(finished))


@pytest.mark.slow
def test_a_part_side_by_side_that_is_refused_is_named(file: Path, tmp_path: Path) -> None:
    config, out = load_config(file, ["rare.region.lower=1000"]), tmp_path / "out"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeastworkWarning)  # one that says the other part goes on, if it still does
        with pytest.raises(LeastworkError, match=r"part 'rare': .*region holds none of the guides.*out, --resume cont"):
            run(config, out, workers=2)
    assert {path.name for path in out.iterdir()} == {"config.yaml", "average"}


def test_versions_that_changed_between_parts_are_all_named(file: Path, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    metrics = metrics_of(out / "rare")
    metrics["versions"]["torch"] = "99.0"
    write_metrics(out / "rare", metrics)
    run(load_config(file), out, resume=True)
    assert metrics_of(out)["versions"]["torch"] == f"{metrics_of(out / 'average')['versions']['torch']}, 99.0"


def test_progress_says_which_part(told: tuple[Path, list[str]]) -> None:
    _, seen = told
    parts = [label.partition(": ")[0] for label in seen]
    assert parts == sorted(parts)  # average, and then rare
    assert {"average: samples: sampling", "rare: samples: sampling"} <= set(seen)


@pytest.mark.parametrize(
    ("label", "total", "after"), [("rare: samples: sampling", GUIDED, 20), ("average: samples: sampling", 24, 10)]
)
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    label: str, total: int, after: int, file: Path, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(load_config(file), out, progress=interrupted(label, total, after))
    part = label.partition(":")[0]
    assert (out / part / "ensemble.zarr.partial" / "finished").is_dir()
    assert not (out / "metrics.json").exists()
    before = times(out / "average") if part == "rare" else None
    run(load_config(file), out, resume=True)
    assert before is None or times(out / "average") == before
    assert timeless(metrics_of(out)) == timeless(metrics_of(finished))


def test_a_finished_run_is_not_redone(file: Path, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    before, text = [times(out / part) for part in ("average", "rare")], (out / "metrics.json").read_bytes()
    run(load_config(file), out, resume=True)
    assert [times(out / part) for part in ("average", "rare")] == before
    assert (out / "metrics.json").read_bytes() == text


def test_a_run_can_be_repeated_from_its_folder_alone(
    finished: Path, tmp_path: Path, joint_case: Callable[[Path], Path]
) -> None:
    (tmp_path / "case").mkdir()
    file = joint_case(tmp_path / "case")
    run(load_config(file, ["rare.sampling.steps=6"]), tmp_path / "a")
    for name in ("both.yaml", "average.yaml", "path.yaml", "guides.csv"):
        (tmp_path / "case" / name).unlink()
    (tmp_path / "a").rename(tmp_path / "moved")
    run(load_config(tmp_path / "moved" / "config.yaml"), tmp_path / "b")
    assert timeless(metrics_of(tmp_path / "moved")) == timeless(metrics_of(tmp_path / "b"))


def test_other_settings_do_not_continue_a_run(file: Path, finished: Path) -> None:
    with pytest.raises(ConfigError, match="is not empty: continue it with --resume"):
        run(load_config(file), finished)
    with pytest.raises(
        ConfigError, match=r"rare.config\.yaml is of .* begun with other settings \('success: 0.5' is new\)"
    ):
        run(load_config(file, ["rare.success=0.5"]), finished, resume=True)
    with pytest.raises(
        ConfigError,
        match=r"out.config\.yaml is of .* begun with other settings \('third: third/config.yaml' is new\)",
    ):
        run(load_config(file, ["runs.third=moons"]), finished, resume=True)


def test_all_inputs_are_checked_before_anything_is_drawn(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"part 'rare': .*there is no such file of guides"):
        run(load_config(file, ["rare.guides={csv: none.csv}"]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_first_part_that_is_refused_leaves_no_folder(file: Path, tmp_path: Path) -> None:
    with pytest.raises(InfeasibleError, match=r"part 'average': .*'x'"):
        run(load_config(file, ["average.data.0.value=1000", "average.data.0.error=0"]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_second_part_that_is_refused_keeps_the_first_and_may_change(
    file: Path, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(LeastworkError, match=r"part 'rare': .*region holds none of the guides.*out, --resume cont"):
        run(load_config(file, ["rare.region.lower=1000"]), out)
    assert {path.name for path in out.iterdir()} == {"config.yaml", "average"}
    before = times(out / "average")
    run(load_config(file), out, resume=True)
    assert times(out / "average") == before
    assert timeless(metrics_of(out)) == timeless(metrics_of(finished))


def test_a_failure_midway_names_the_whole_folder(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments, **choices):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("leastwork.runs.drawing.draw_stored", full)
    with pytest.raises(LeastworkError, match=r"No space left.* is in \S*out, --resume continues there"):
        run(load_config(file), tmp_path / "out")


def test_a_part_without_a_report_does_not_stop_the_next(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> Path:
        raise ConfigError(f"no figure of {folder.name}")

    monkeypatch.setattr("leastwork.runs.carry_out.write_report", refuse)
    with (
        pytest.warns(LeastworkWarning, match="part '(average|rare)' has no report yet: no figure of"),
        pytest.raises(ConfigError, match="no figure of out"),
    ):
        run(load_config(file), tmp_path / "out")
    assert (tmp_path / "out" / "metrics.json").exists()


def test_the_default_folder_names_every_seed_once(file: Path) -> None:
    assert default_folder(load_config(file, ["seed=3"])) == Path("runs/both-seed3")
    both = load_config(file, ["rare.seed=4"])
    assert isinstance(both, JointConfig)
    assert default_folder(both) == Path("runs/both-seed0-4")
