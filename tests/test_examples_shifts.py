"""The example of chemical shifts: models of a PDB are taken apart, and each gets a row."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from leastwork.observables import evaluate
from leastwork.observables.command import command

EXAMPLE = Path(__file__).parents[1] / "examples" / "shifts_by_caustic.py"
FAKE = """\
class _Found:
    seq_ids = [1, 2]

    def __init__(self, path):
        self.mean = {"CA": [float(open(path).read()[30:38]), 50.0], "N": None}


def predict_shifts_onnx(path, network):
    return _Found(path)
"""


def test_each_model_is_predicted_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "caustic" / "data").mkdir(parents=True)
    (tmp_path / "caustic" / "__init__.py").write_text(FAKE)
    (tmp_path / "caustic" / "data" / "__init__.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    x = torch.zeros(3, 2, 3)
    x[:, 0, 0] = torch.tensor([0.1, 0.2, 0.3])
    shifts = command([sys.executable, EXAMPLE.name], ["CA 1", "CA 2"], files=[EXAMPLE], unit="ppm")
    assert evaluate(shifts, x).tolist() == [[1.0, 50.0], [2.0, 50.0], [3.0, 50.0]]


def test_models_are_whole() -> None:
    found = importlib.util.spec_from_file_location("shifts_by_caustic", EXAMPLE)
    assert found is not None
    assert found.loader is not None
    example: ModuleType = importlib.util.module_from_spec(found)
    found.loader.exec_module(example)
    assert example.models("MODEL     1\nATOM a\nENDMDL\nMODEL     2\nATOM b\nENDMDL\nEND\n") == [
        "ATOM a\nEND\n",
        "ATOM b\nEND\n",
    ]
