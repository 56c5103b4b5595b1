"""What is handed over for a viewer: samples with their weights, and the target itself."""

from pathlib import Path

import pytest
import torch

import leastwork as lw
from leastwork.runs.base.ensemble_structures import write_ensemble_structures
from leastwork.runs.base.structures import read_structures
from leastwork.sampling.ensemble import Ensemble, Ledger

N = 400


@pytest.fixture(scope="module")
def chains() -> Ensemble:
    """Straight and bent chains of four atoms, of which the target has nine bent for each straight one."""
    straight = torch.tensor([[0.0, 0, 0], [0.38, 0, 0], [0.76, 0, 0], [1.14, 0, 0]])
    bent = torch.tensor([[0.0, 0, 0], [0.38, 0, 0], [0.38, 0.38, 0], [0.0, 0.38, 0]])
    x = torch.where(torch.arange(N)[:, None, None] % 2 == 0, straight, bent)
    tilt = torch.where(torch.arange(N) % 2 == 0, 0.0, torch.log(torch.tensor(9.0)))
    return Ensemble(x, Ledger(torch.tensor([1.0, 0.0]), log_weight=torch.zeros(N), why_no_weights=""), tilt)


def bent_share(file: Path, top: Path) -> float:
    x = read_structures(file, 4, top)
    return float(((x[:, 0] - x[:, 3]).norm(dim=1) < 0.6).double().mean())


@pytest.mark.parametrize(("guided", "name"), [(True, "guided"), (False, "model")])
def test_the_target_is_handed_over_beside_the_samples(
    chains: Ensemble, guided: bool, name: str, tmp_path: Path
) -> None:
    pytest.importorskip("mdtraj")
    assert write_ensemble_structures(tmp_path, "GAVL", chains, guided) == []
    found = sorted(file.name for file in tmp_path.iterdir())
    assert found == sorted([f"{name}-weights.csv", f"{name}.pdb", f"{name}.xtc", "target.pdb", "target.xtc"])
    assert bent_share(tmp_path / f"{name}.xtc", tmp_path / f"{name}.pdb") == 0.5
    assert bent_share(tmp_path / "target.xtc", tmp_path / "target.pdb") == pytest.approx(0.9, abs=1 / N)
    rows = (tmp_path / f"{name}-weights.csv").read_text().splitlines()
    assert rows[0] == "frame,weight"
    weights = [float(row.split(",")[1]) for row in rows[1:]]
    assert weights[:2] == pytest.approx([0.2, 1.8])
    assert sum(weights) == pytest.approx(N)


def test_samples_without_weights_are_handed_over_alone(chains: Ensemble, tmp_path: Path) -> None:
    pytest.importorskip("mdtraj")
    bare = lw.Ensemble(chains.x, Ledger(torch.tensor([1.0, 0.0]), why_no_weights="an ODE"), chains.log_tilt)
    write_ensemble_structures(tmp_path, "GAVL", bare, True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["guided.pdb", "guided.xtc"]
