"""Protection factors and uptake curves in run files: atoms by a PDB, and what is refused."""

from pathlib import Path

import pytest
import torch

from leastwork.data.indirect import Indirect
from leastwork.errors import ConfigError, LeastworkError
from leastwork.networks.equivariant import EquivariantPerceptron
from leastwork.observables import Amide, log_protection
from leastwork.runs.load import load_config
from leastwork.runs.observables.amides import HdxConfig
from leastwork.runs.observables.inputs import build_inputs

NAMES = ("N", "H", "CA", "O")
PROLINE = 3


def pdb(residues: int = 7, chain: str = "A") -> str:
    """A chain of N, H, CA and O; the third residue is a proline, which has no H."""
    lines = []
    for number in range(1, residues + 1):
        kind = "PRO" if number == PROLINE else "ALA"
        lines += [
            f"ATOM  {len(lines) + 1:5d}  {name:<3s} {kind} {chain}{number:4d}    {0:8.3f}{0:8.3f}{0:8.3f}\n"
            for name in NAMES
            if not (number == PROLINE and name == "H")
        ]
    return "".join(lines)


def states(count: int = 5) -> torch.Tensor:
    return 0.3 * torch.randn(count, 27, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "all.pdb"
    path.write_text(pdb())
    return path


def test_atoms_of_residues_more_than_two_away_are_counted(file: Path) -> None:
    observable = HdxConfig(kind="hdx", atoms=file, residues=(6,)).build((27, 3))
    far = tuple(i for i in range(11) if i not in (1, 5))  # N CA O of residues 1 to 3, without H
    same = log_protection([Amide(6, n=19, h=20, heavy=far, acceptors=(3, 7, 10))])
    torch.testing.assert_close(observable(states()), same(states()), rtol=1e-12, atol=0)
    every = HdxConfig(kind="hdx", atoms=file).build((27, 3))
    assert every.names == ("ln P 2", "ln P 4", "ln P 5", "ln P 6", "ln P 7")


def test_an_uptake_curve_runs_from_its_file(file: Path, tmp_path: Path) -> None:
    import leastwork as lw
    from leastwork.schedules.files import describe_schedule

    torch.manual_seed(0)
    schedule = lw.VPSchedule()
    net = EquivariantPerceptron(27, describe_schedule(schedule), width=4, depth=1)
    lw.save_model(lw.DiffusionModel(net, schedule, "v", (27, 3), subspace=lw.ZeroCentre(), scale=0.3), tmp_path / "net")
    (tmp_path / "mine.yaml").write_text(
        "model: net\nobservables: [{kind: hdx, atoms: all.pdb, residues: [5, 6], rates: [2, 5], times: [0.1, 10]}]\n"
        "data:\n  - {name: uptake 5-6 at 0.1 s, value: 0.2, error: 0.05}\n"
        "  - {name: uptake 5-6 at 10 s, value: 0.8, error: 0.05}\nmethod: reweight\n"
    )
    data = build_inputs(load_config(tmp_path / "mine.yaml")).data  # pyright: ignore[reportArgumentType]
    assert isinstance(data, Indirect)
    free = data.evaluated(torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(free, 1 - 0.5 * sum(torch.exp(-torch.tensor([0.1, 10.0]).double() * k) for k in (2, 5)))


@pytest.mark.parametrize(("choices", "said"), [
    ({"residues": (3,)}, r"residue 3 \(PRO\) of .* has no amide, as prolines have none"),
    ({"residues": (1, 9)}, "has no residue 9: it has 1 to 7"),
    ({"residues": (5, 5)}, "stands twice"),
    ({"residues": (5,), "rates": (1.0,)}, "both rates and times"),
    ({"residues": (5,), "times": (1.0,)}, "both rates and times"),
    ({"residues": (5, 6), "rates": (1.0,), "times": (1.0,)}, "1 rate for 2 amides"),
    ({"residues": (5,), "rates": (1.0,), "times": (1.0, 1.0)}, "given twice"),
])  # fmt: skip
def test_bad_settings_are_told(file: Path, choices: dict, said: str) -> None:
    config = HdxConfig(kind="hdx", atoms=file, **choices)
    with pytest.raises(LeastworkError, match=said):
        config.of_averages(config.build((27, 3)))


def test_bad_files_are_told(file: Path, tmp_path: Path) -> None:
    config = HdxConfig(kind="hdx", atoms=file)
    with pytest.raises(LeastworkError, match="names 27 atoms, and a state of the model has 9"):
        config.build((9, 3))
    with pytest.raises(ConfigError, match="no structure"):
        config.build((9,))
    two = tmp_path / "two.pdb"
    two.write_text(pdb() + pdb(chain="B"))
    with pytest.raises(LeastworkError, match="chains A, B"):
        HdxConfig(kind="hdx", atoms=two).build((54, 3))
    trace = tmp_path / "trace.pdb"
    trace.write_text("".join(line + "\n" for line in pdb().splitlines() if " CA " in line))
    with pytest.raises(LeastworkError, match="a model of all atoms"):
        HdxConfig(kind="hdx", atoms=trace).build((7, 3))
    short = tmp_path / "short.pdb"
    short.write_text(pdb(residues=2))
    with pytest.raises(LeastworkError, match="no heavy atoms or acceptors"):
        HdxConfig(kind="hdx", atoms=short).build((8, 3))
