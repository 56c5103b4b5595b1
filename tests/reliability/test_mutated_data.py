"""Files of data that are cut, flipped, spliced or filled with impossible cells: each is read, or ends in a sentence."""

import random
import re
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from mutations import Spot, mutated

from leastwork.data.couplings import Couplings
from leastwork.data.experiment import Experiment
from leastwork.data.histogram_file import read_histogram
from leastwork.data.noe import noe_experiment, read_noe
from leastwork.data.residue_table import read_residue_table
from leastwork.data.saxs_curve import read_saxs
from leastwork.errors import ConfigError, LeastworkWarning
from leastwork.observables import Backbone, component, stack

NAMED = stack(component(0, "a"), component(1, "b"), component(2, "c"))
CHAIN = Backbone.chain(5, end=True)
STAR = """\
data_1
save_J
   _Coupling_constant_list.Sf_category coupling_constants
   loop_
      _Coupling_constant.ID
      _Coupling_constant.Code
      _Coupling_constant.Entity_assembly_ID_1
      _Coupling_constant.Comp_index_ID_1
      _Coupling_constant.Atom_ID_1
      _Coupling_constant.Entity_assembly_ID_2
      _Coupling_constant.Comp_index_ID_2
      _Coupling_constant.Atom_ID_2
      _Coupling_constant.Val
      _Coupling_constant.Val_err
      1 3JHNHA 1 2 H 1 2 HA 5.6 0.1
      2 3JHNHA 1 3 H 1 3 HA 5.9 0.1
      3 2JNCA 1 3 N 1 2 CA -8.4 0.1
   stop_
save_
"""


def _couplings(path: Path) -> object:
    return Couplings.from_csv(path).experiment(CHAIN)


def _star(path: Path) -> object:
    return Couplings.from_nmr_star(path).experiment(CHAIN)


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "table": (
        "name,value,error,lower,upper,held_out\na,0.5,0.1,,,no\nb,,0.1,0.2,0.9,yes\nc,1e-3,0,,,\n",
        lambda path: Experiment.from_csv(path, NAMED),
    ),
    "excel": ("sep=;\nname;value;error\na;0,5;0,1\nb;1,5;0,1\nc;2;0\n", lambda path: Experiment.from_csv(path, NAMED)),
    "bme": ("# DATA=NOE BOUND=LOWER\na 0.5 0.1\nb 0.7 0.1\nc 0.9 0.2\n", lambda path: Experiment.from_csv(path, NAMED)),
    "couplings": (
        '# unit: Hz\nkind,residue,value,error,held_out\n3JHNHA,2,5.6,0.05,no\n"3J(HN,CB)",3,1.8,1,yes\n1JNCA,4,11,1,\n',
        _couplings,
    ),
    "residues": (
        "resid,resname,value,error\n2,GLU,7.35,0.15\n3,A,6.1,0.2\n4,GLY,5,0.1\n",
        lambda path: read_residue_table(path, sequence="AEAGA"),
    ),
    "star": (STAR, _star),
    "noe": (
        "i,j,upper,unseen,error,correction\n0,4,0.5,,0.05,0.1\n1,5 6 7,,0.6,0.05,\n",
        lambda path: noe_experiment(read_noe(path), source=str(path)),
    ),
    "histogram": ("lower,upper,count\n0,0.5,12\n0.5,1,40\n1,3,8\n", read_histogram),
    "saxs": ("a curve\n0.01 95.1 1.1\n0.02 89.2 1.0\n0.03 80.0 1.0\nend: here\n", read_saxs),
}
CELLS = [
    "", " ", "nan", "-inf", "1e999", "-1", "0", "9" * 5000, "1" * 500 + ".", "0x1f", "1_000", "١٢", "−3", "1,5",
    '"', '""', '"a', "a" * 100_000, "\t", "\0", "\ufeff", "\u2028", "\x1c", "#", "yes", "perhaps", "a", "name", "value",
    "3JHNHA", "1J(N,CA)", "-0.0", "1e-400", "2" * 9, "2" * 12, "_Coupling_constant.Val", "loop_", "stop_", "save_", ";",
    "data_2", "'", "$x", "''", "é", "=1+1", "0 1 2", "Hz", "value (Å)", ",", ";;;", "|",
]  # fmt: skip


def of_data(case: int, spot: Spot, chance: random.Random) -> bytes:
    """A part of another file, a mark of another encoding before it, or an impossible cell."""
    match case:
        case 0:
            other = chance.choice(list(READERS.values()))[0].encode()
            return spot.text[: spot.at] + other[: spot.end - spot.at] + spot.text[spot.end :]
        case 1:
            return chance.choice([b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"sep=;\n", b"\r"]) + spot.text
        case _:
            cells = re.split(rb"([,; \t]+)", spot.lines[spot.line])
            cells[chance.randrange(len(cells))] = chance.choice(CELLS).encode("utf-8", "surrogatepass")
            spot.lines[spot.line] = b"".join(cells)
            return b"\n".join(spot.lines)


def check(path: Path, read: Callable[[Path], object], text: bytes) -> None:
    """Read, or refused by one sentence that names the file and, after a colon, what to do."""
    path.write_bytes(text)
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeastworkWarning)
        try:
            read(path)
        except ConfigError as error:
            said = str(error)
            assert said.startswith(str(path)) or f"{path}" in said, said
            assert len(said) < 1000 + 2 * len(str(path)), said
            assert ": " in said.replace(str(path), ""), said
    assert time.perf_counter() - begin < 20


def check_many(folder: Path, count: int, seed: int) -> None:
    chance = random.Random(seed)
    for k in range(count):
        name = chance.choice(list(READERS))
        text, read = READERS[name]
        changed = mutated(text.encode(), chance, of_data, cases=5)
        try:
            check(folder / f"{name}.dat", read, changed)
        except Exception as error:
            raise AssertionError(f"mutation {k} of {name}: {changed[:2000]!r}") from error


@pytest.mark.parametrize("name", READERS)
def test_what_is_mutated_can_be_read(tmp_path: Path, name: str) -> None:
    text, read = READERS[name]
    (tmp_path / "whole.dat").write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeastworkWarning)
        read(tmp_path / "whole.dat")


def test_mutations(tmp_path: Path) -> None:
    check_many(tmp_path, 200, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 12))
def test_many_mutations(tmp_path: Path, seed: int) -> None:
    check_many(tmp_path, 1000, seed)
