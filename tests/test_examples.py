"""The examples written as notebooks run from the first cell to the last, and show what they say."""

import hashlib
import json
import re
import runpy
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from matplotlib import pyplot as plt

matplotlib.use("Agg")
EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted(path for path in EXAMPLES.glob("*.py") if path.read_text(encoding="utf-8").startswith("# %%"))


def run(name: str) -> dict[str, Any]:
    names = runpy.run_path(str(EXAMPLES / name))
    plt.close("all")
    return names


def test_every_notebook_is_run_by_a_test() -> None:
    assert [path.name for path in NOTEBOOKS] == ["missed_average.py", "rare_region.py"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_the_cells_showed_is_kept_and_of_their_present_code(path: Path) -> None:
    """Otherwise run: python scripts/example_outputs.py."""
    parts = [part.partition("\n") for part in re.split(r"^# %%", path.read_text(encoding="utf-8"), flags=re.MULTILINE)]
    codes = [body.strip() for kind, _, body in parts[1:] if "[markdown]" not in kind]
    kept = json.loads((EXAMPLES / "outputs" / f"{path.stem}.json").read_text(encoding="utf-8"))
    assert list(kept) == [hashlib.sha256(code.encode()).hexdigest()[:12] for code in codes]
    for picture in re.findall(r"\]\(\.\./(.*?)\)", "".join(kept.values())):
        assert (EXAMPLES.parent / "docs" / picture).exists()


@pytest.mark.slow
def test_a_missed_average_is_met() -> None:
    names = run("missed_average.py")
    assert names["run"].certificate.on_target
    assert len(names["table"]) == 4000


@pytest.mark.slow
def test_a_rare_region_is_reached() -> None:
    names = run("rare_region.py")
    assert names["run"].success.value > 0.9
    assert abs(names["run"].free_energy.value - 6.9) < 5 * names["run"].free_energy.stderr + 0.3
