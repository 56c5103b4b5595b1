"""A fit that is stopped at any of its pieces goes on and ends as if it had not been: the same numbers, bit for bit."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from leastwork.errors import ConfigError, LeastworkError
from leastwork.fit.labels import fit_labels
from leastwork.fit.value import fit_value
from leastwork.models.files import load_model, save_model
from leastwork.observable_guidance import least_work
from leastwork.runs.base.finished import read_metrics
from leastwork.runs.carry_out import run
from leastwork.runs.load import load_config
from leastwork.support import checkpoints

OBSERVABLES = ["sampling.n=64", "sampling.steps=10", "fit.budget=140000", "fit.iterations=12", "certificate_samples=32"]
SCHEDULED = ["sampling.n=64", "sampling.steps=8", "method=scheduled", "fit.samples=200", "fit.fit_samples=50"]
PATH = ["sampling.n=64", "sampling.steps=12", "fit.budget=260000", "fit.samples=400", "certificate_samples=null"]
SEARCH = ["sampling.n=64", "sampling.steps=30", "method=transported", "fit.budget=600000", "fit.samples=200"]

pytestmark = pytest.mark.usefixtures("blank_pages")


class Stopped(BaseException):
    """As a kill: nothing may catch it."""


def numbers(folder: Path) -> Any:
    def without(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {key: without(item) for key, item in tree.items() if key != "seconds"}
        return [without(item) for item in tree] if isinstance(tree, list) else tree

    return without(read_metrics(folder))


def stop_at(monkeypatch: pytest.MonkeyPatch, piece: int, before: bool) -> None:
    """Stop when that piece is to be written, or has just been."""
    write, count = checkpoints.Checkpoints.write, 0

    def counted(self: checkpoints.Checkpoints, path: Path, value: Any) -> None:
        nonlocal count
        count += 1
        if count == piece and before:
            raise Stopped
        write(self, path, value)
        if count == piece:
            raise Stopped

    monkeypatch.setattr(checkpoints.Checkpoints, "write", counted)


def _cases() -> list[Any]:
    quick = [("prinz", OBSERVABLES, 3, False), ("prinz", OBSERVABLES, 9, True), ("prinz", SCHEDULED, 4, False)]
    slow = [("prinz", OBSERVABLES, piece, piece % 2 == 0) for piece in (1, 2, 5, 12, 20, 30, 40)]
    slow += [("muller-brown", PATH, piece, piece % 2 == 0) for piece in (1, 4, 9, 16, 25, 40)]
    slow += [("muller-brown", SEARCH, piece, False) for piece in (2, 6)]
    return [*quick, *(pytest.param(*case, marks=pytest.mark.slow) for case in slow)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {}


@pytest.mark.parametrize(("name", "settings", "piece", "before"), _cases())
def test_it_ends_the_same(
    name: str, settings: list[str], piece: int, before: bool, undisturbed: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(checkpoints, "_SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(least_work, "fit_labels", partial(fit_labels, iterations=12))  # each of which is written
    monkeypatch.setattr(least_work, "fit_value", partial(fit_value, batch_size=64))
    key = f"{name} {settings}"
    config = load_config(name, settings)
    if key not in undisturbed:
        undisturbed[key] = tmp_path_factory.mktemp("whole") / "out"
        run(config, undisturbed[key])
    out = tmp_path_factory.mktemp("stopped") / "out"
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, piece, before)
        try:
            run(config, out)
        except Stopped:
            assert (out / "fit.partial").is_dir()
        else:
            assert piece > 9, "the fit has fewer pieces than the test thinks"
    run(config, out, resume=True)
    assert numbers(out) == numbers(undisturbed[key])
    assert not (out / "fit.partial").exists()
    for chunk in (undisturbed[key] / "ensemble.zarr" / "x").iterdir():
        assert (out / "ensemble.zarr" / "x" / chunk.name).read_bytes() == chunk.read_bytes()


def test_a_fit_of_another_model_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "_SECONDS_BETWEEN", 0.0)
    model = load_model("prinz")
    save_model(model, tmp_path / "model")
    settings = [*SCHEDULED, f"model={tmp_path / 'model'}"]
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 2, False)
        with pytest.raises(Stopped):
            run(load_config("prinz", settings), tmp_path / "out")
    next(iter(model.parameters())).data.add_(0.1)
    save_model(model, tmp_path / "model")
    with pytest.raises(LeastworkError, match=r"model\.safetensors is not what .*model\.safetensors is"):
        run(load_config("prinz", settings), tmp_path / "out", resume=True)


def test_a_fit_that_is_refused_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(LeastworkError, match="budget=1000 is too small"):
        run(load_config("prinz", ["fit.budget=1000", "fit.samples=50"]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_that_fit_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "_SECONDS_BETWEEN", 0.0)
    config, seen = load_config("prinz", SCHEDULED), []
    write = checkpoints.Checkpoints.write

    def second(self: checkpoints.Checkpoints, path: Path, value: Any) -> None:
        if not seen:
            seen.append("")
            with pytest.raises(ConfigError, match=r"is being written by process \d+ on .* since 20"):
                run(config, tmp_path / "out", resume=True)
            seen[0] = "refused"
        write(self, path, value)

    monkeypatch.setattr(checkpoints.Checkpoints, "write", second)
    run(config, tmp_path / "out")
    assert seen == ["refused"]
    shutil.rmtree(tmp_path / "out")
