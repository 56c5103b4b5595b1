"""The examples written as notebooks run from the first cell to the last, and show what they say."""

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
