"""One page on several runs, and the index of a folder of runs."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leastwork.cli import app
from leastwork.errors import ConfigError
from leastwork.runs.carry_out import run
from leastwork.runs.load import load_config
from leastwork.runs.several import write_pages

Reader = Callable[[Path], str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, joint_case: Callable[[Path], Path]) -> Path:
    """A folder with a joint run, a single one of the same observable, and one that is not finished."""
    place = tmp_path_factory.mktemp("several")
    out = place / "runs"
    joint_case(place)
    (place / "twice.yaml").write_text("runs: {first: average.yaml, second: average.yaml}\n")
    few = ["method=reweight", "fit={samples: 200}", "sampling.n=32", "sampling.steps=2"]
    run(load_config(place / "twice.yaml", few), out / "both")
    run(load_config(place / "average.yaml", [*few, "seed=1", "description=A <b>joke."]), out / "one <u>")
    shutil.copytree(out / "one <u>", out / "half")
    (out / "half" / "metrics.json").unlink()
    return out


def test_runs_stand_side_by_side(folder: Path, text_of: Reader) -> None:
    found = CliRunner().invoke(app, ["report", str(folder / "both"), str(folder / "one <u>")])
    assert found.exit_code == 0
    page = folder / "comparison.html"
    assert found.stdout.strip() == str(page.resolve())
    text = text_of(page)
    for words in (
        "both/first",
        "both/second",
        "one &lt;u&gt;",
        "A &lt;b&gt;joke.",
        "held-out data",
        "Averages",
    ):
        assert words in text
    assert text.count('class="drawing"') == 0
    assert page.read_text().count('class="drawing"') == 1


def test_a_folder_of_runs_has_an_index(folder: Path, text_of: Reader) -> None:
    text = text_of(write_pages([folder]))
    assert "Left out: half." in text
    assert "metrics.json is missing" in text
    assert "both/second" in text


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    for folders in ([tmp_path], [tmp_path / "none"], [tmp_path / "none", tmp_path]):
        with pytest.raises(ConfigError, match="holds no finished run"):
            write_pages(folders)
