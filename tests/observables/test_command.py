"""Observables that a program computes, in batches, on workers, within a time, and from a cache."""

import sys
from pathlib import Path

import pytest
import torch

from leastwork.errors import LeastworkError, NonFiniteError
from leastwork.observables import evaluate
from leastwork.observables.command import command

PROGRAM = """\
import sys, time
from pathlib import Path

structures, rows = [], []
for line in open("structures.pdb"):
    if line.startswith("ATOM"):
        rows.append([float(line[30:38]), float(line[38:46]), float(line[46:54])])
    if line.startswith("ENDMDL"):
        structures.append(rows)
        rows = []
how = sys.argv[1]
log = Path(sys.argv[2])
with log.open("a") as file:
    file.write(f"{len(structures)}\\n")
if how == "slow":
    time.sleep(60)
if how == "fail":
    sys.exit("no licence for this program")
values = ["nan" if how == "nan" and s[0][0] > 5 else str(s[1][0] - s[0][0]) for s in structures]
if how == "short":
    values = values[1:]
if how != "silent":
    Path("values.csv").write_text("number,d\\n" + "".join(f"{i},{v}\\n" for i, v in enumerate(values)))
"""
X = torch.zeros(7, 2, 3)
X[:, 1, 0] = torch.arange(7) / 10
X[3, :, 0] += 1


@pytest.fixture
def program(tmp_path: Path) -> Path:
    file = tmp_path / "predict.py"
    file.write_text(PROGRAM)
    return file


def observable(program: Path, how: str = "well", **choices):
    log = program.with_name("log")
    return command([sys.executable, program.name, how, str(log)], ["d"], files=[program], **choices)


def calls(program: Path) -> list[int]:
    return sorted(int(line) for line in program.with_name("log").read_text().split())


def test_a_program_sees_structures_in_angstrom_batch_by_batch(program: Path) -> None:
    found = evaluate(observable(program, batch=3, workers=2), X)
    assert found[:, 0].tolist() == pytest.approx([0, 1, 2, 3, 4, 5, 6], abs=1e-3)
    assert calls(program) == [1, 3, 3]


def test_results_are_kept_by_content(program: Path, tmp_path: Path) -> None:
    kept = tmp_path / "cache"
    first = evaluate(observable(program, batch=4, cache=kept), X)
    assert torch.equal(evaluate(observable(program, batch=4, cache=kept), X), first)
    assert calls(program) == [3, 4]
    for file in kept.iterdir():
        file.write_text("{")  # damaged, so it is computed again
    assert torch.equal(evaluate(observable(program, batch=4, cache=kept), X), first)
    program.write_text(PROGRAM + "\n")  # another program
    evaluate(observable(program, batch=4, cache=kept), X)
    assert len(calls(program)) == 6


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("fail", "ended with code 1: no licence for this program: try it by hand"),
        ("short", "wrote 6 rows for 7 structures: let it write a row for each"),
        ("silent", r"wrote no values\.csv"),
    ],
)
def test_what_a_program_does_wrong_is_said(how: str, message: str, program: Path) -> None:
    with pytest.raises(LeastworkError, match=message):
        evaluate(observable(program, how), X)


def test_a_structure_without_a_number_is_named(program: Path) -> None:
    with pytest.raises(NonFiniteError, match="'d' is NaN or infinite for 1 of 7 samples, the first at index 3"):
        evaluate(observable(program, "nan", batch=2), X)


def test_a_program_has_its_time(program: Path) -> None:
    with pytest.raises(LeastworkError, match=r"took longer than its 0\.5 s and was ended"):
        evaluate(observable(program, "slow", seconds=0.5), X)


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(LeastworkError, match="'no-such-program' cannot be started"):
        evaluate(command(["no-such-program"], ["d"]), X)


def test_a_program_may_read_a_trajectory(tmp_path: Path) -> None:
    pytest.importorskip("mdtraj")
    (tmp_path / "read.py").write_text(
        "import mdtraj\nx = mdtraj.load('structures.xtc', top='structures.pdb').xyz\n"
        "d = ((x[:, 1] - x[:, 0]) ** 2).sum(1) ** 0.5\n"
        "open('values.csv', 'w').write('d\\n' + ''.join(f'{v}\\n' for v in d))\n"
    )
    reading = command([sys.executable, "read.py"], ["d"], files=[tmp_path / "read.py"], trajectory=True)
    torch.testing.assert_close(evaluate(reading, X)[:, 0].float(), X[:, 1, 0] - X[:, 0, 0], atol=2e-3, rtol=0)
