"""The Python of the README and of the pages on rare regions and on rigid frames runs as it stands."""

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the examples save is not left in the project."""
    monkeypatch.chdir(tmp_path)


def run(page: str) -> dict[str, Any]:
    """All blocks of a page, one after the other."""
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL):
        exec(compile(code, page, "exec"), names)
    return names


@pytest.mark.slow
def test_the_examples_of_the_readme_run(capsys) -> None:
    names = run("README.md")
    printed = capsys.readouterr().out
    assert "on_target=True" in printed
    assert names["run"].success.value > 0.9  # the last is the one into the saddle
    assert 6 < names["run"].free_energy.value < 7.5


@pytest.mark.slow
def test_the_page_on_rare_regions_runs() -> None:
    names = run("docs/path.md")
    guided = names["run"]
    assert guided.success.value > 0.9
    assert abs(guided.free_energy.value - 4.6) < 0.3  # −ln 0.01, of the discretised model
    assert names["certificate"].efficiency.value > 0.84  # nothing learned


@pytest.mark.slow
def test_the_page_on_rigid_frames_runs() -> None:
    names = run("docs/frames.md")
    certificate = names["run"].certificate
    assert abs(float(certificate.miss.value)) < 0.1 + 5 * float(certificate.miss.stderr)
    assert names["rotations"].shape == (4096, 2, 3, 3)
