"""Run files to begin with are read without a complaint, and each key of theirs is one of the adapter's."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

import leastwork as lw
from leastwork.adapters.registry import adapter_names
from leastwork.cli import app
from leastwork.runs.beginnings import beginning, beginning_names
from leastwork.runs.load import load_config


@pytest.mark.parametrize("name", beginning_names())
def test_every_run_file_to_begin_with_is_read(name: str, tmp_path: Path) -> None:
    printed = CliRunner().invoke(app, ["init", name])
    assert printed.exit_code == 0
    assert printed.stdout.startswith("# ")
    assert all(len(line) <= 140 for line in printed.stdout.splitlines())
    (tmp_path / "run.yaml").write_text(printed.stdout, encoding="utf-8")
    (config,) = load_config(tmp_path / "run.yaml").parts.values()
    if name in adapter_names():
        assert config.source.adapter == name


def test_every_adapter_has_a_run_file_to_begin_with() -> None:
    assert set(adapter_names()) <= set(beginning_names())


@pytest.mark.parametrize("name", [[], ["prinzz"], ["nothing"]])
def test_without_a_known_name_the_known_are_listed(name: list[str]) -> None:
    printed = CliRunner().invoke(app, ["init", *name])
    assert printed.exit_code == 2
    assert "error: " in printed.stderr
    assert all(known in printed.stderr for known in ("prinz", "bioemu", "diffusers", "network", "python"))


def test_prinz_can_be_run_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(beginning("prinz"), encoding="utf-8")
    (config,) = load_config(tmp_path / "run.yaml", ["seed=3"]).parts.values()
    assert lw.load_model(config.model).event_shape == (1,)
