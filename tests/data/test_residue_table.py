"""Tables resid, resname, value, error: what is read, and what is refused, with file and line."""

import re
from pathlib import Path

import pytest

from leastwork.data.coupling import Coupling
from leastwork.data.residue_table import read_residue_table
from leastwork.errors import ConfigError, LeastworkWarning
from leastwork.observables import Backbone

CSV = """# of a peptide
resid,resname,value,error

2,GLU,7.35,0.15
3, v ,8.1,
5,LEU,6.0,0
"""
SEQUENCE = "AEVKL"


def csv(folder: Path, text: str) -> Path:
    path = folder / "j.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_become_couplings(tmp_path: Path) -> None:
    path = csv(tmp_path, CSV)
    table = read_residue_table(path, sequence=SEQUENCE, measurement_error=0.2)
    assert table.rows == (
        Coupling("3J(HN,HA)", 2, 7.35, 0.15, False, 4),
        Coupling("3J(HN,HA)", 3, 8.1, 0.2, False, 5),
        Coupling("3J(HN,HA)", 5, 6.0, 0.0, False, 6),
    )
    assert table.source == str(path)
    data = table.experiment(Backbone.chain(5))
    assert data.names == ("3J(HN,HA) 2", "3J(HN,HA) 3", "3J(HN,HA) 5")
    assert data.covariance[0, 0].sqrt().item() == pytest.approx((0.42**2 + 0.15**2) ** 0.5)


def test_other_kinds_and_held_out_rows(tmp_path: Path) -> None:
    table = read_residue_table(csv(tmp_path, "resname,resid,value,error,held_out\nLYS,4,1.1,0.1,yes\n"), "³J(HN,Cβ)")
    assert table.rows == (Coupling("3J(HN,CB)", 4, 1.1, 0.1, True, 2),)


def test_glycine_is_left_out_and_told(tmp_path: Path) -> None:
    path = csv(tmp_path, "resid,resname,value,error\n2,GLY,7,0.1\n3,ALA,6,0.1\n")
    with pytest.warns(LeastworkWarning, match=r"3J\(HN,HA\) of glycine 2 is left out: glycine has two Hα"):
        table = read_residue_table(path)
    assert [row.residue for row in table.rows] == [3]
    assert len(table.left_out) == 1


def test_a_shifted_numbering_is_recognised(tmp_path: Path) -> None:
    path = csv(tmp_path, CSV)
    message = f"{path}, line 4: residue 2 is GLU in the table and LYS in the sequence: all rows fit with first=-1"
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_residue_table(path, sequence="MKAEVKL", measurement_error=0.1)
    assert len(read_residue_table(path, sequence="MKAEVKL", first=-1, measurement_error=0.1).rows) == 3


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("2,GLU,7,0.1,0,1", ", line 2: 6 cells for 5 columns"),
        ("two,GLU,7,0.1,", ", line 2: resid is 'two'"),
        ("2,XYZ,7,0.1,", ", line 2: resname is 'XYZ'"),
        ("2,GLU,fast,0.1,", ", line 2: the value of GLU 2 is 'fast'"),
        ("2,GLU,,0.1,", ", line 2: the value of GLU 2 is ''"),
        ("2,GLU,7,,", ", line 2: 3J(HN,HA) of GLU 2 has no error"),
        ("2,GLU,7,-1,", ", line 2: the error of GLU 2 is -1"),
        ("2,GLU,7,0.1,maybe", ", line 2: held_out of GLU 2 is 'maybe'"),
        ("2,PRO,7,0.1,", ", line 2: PRO 2 has no HN, so no 3J(HN,HA)"),
        ("2,GLY,7,0.1,", ": of all rows 3J(HN,HA) is of glycine"),
        ("2,ALA,7,0.1,", ", line 2: residue 2 is ALA in the table and GLU in the sequence: all rows fit with first=2"),
        ("2,CYS,7,0.1,", ", line 2: residue 2 is CYS in the table and GLU in the sequence: check the row, and first="),
        ("7,GLU,7,0.1,", ", line 2: there is no residue 7, the sequence has 1 to 5: all rows fit with first=6"),
        ("2,GLU,7,0.1,\n2,GLU,7,0.1,", ", lines 2 and 3: two rows for 3J(HN,HA) of residue 2"),
    ],
)
def test_what_is_refused(tmp_path: Path, row: str, message: str) -> None:
    path = csv(tmp_path, f"resid,resname,value,error,held_out\n{row}\n")
    sequence = None if "PRO" in row or "GLY" in row else SEQUENCE
    with pytest.raises(ConfigError, match=re.escape(f"{path}{message}")):
        read_residue_table(path, sequence=sequence)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": the file holds no couplings: begin with the line resid,resname,value,error"),
        ("resid,resname,value\n", ": the file holds no couplings: add a row"),
        ("resid,value\n1,2\n", ", line 1: there is no column 'resname'"),
        ("resid,resnam,value\n1,A,2\n", ", line 1: there is no column 'resnam': did you mean 'resname'?"),
    ],
)
def test_what_is_no_table(tmp_path: Path, text: str, message: str) -> None:
    path = csv(tmp_path, text)
    with pytest.raises(ConfigError, match=re.escape(f"{path}{message}")):
        read_residue_table(path)


def test_arguments_are_checked(tmp_path: Path) -> None:
    path = csv(tmp_path, CSV)
    with pytest.raises(ConfigError, match="there is no such file"):
        read_residue_table(tmp_path / "other.csv")
    with pytest.raises(ConfigError, match="there is no coupling '3JXX'"):
        read_residue_table(path, "3JXX")
    with pytest.raises(ConfigError, match="sequence = 'AXV'"):
        read_residue_table(path, sequence="AXV")
    with pytest.raises(ConfigError, match="measurement_error = -1"):
        read_residue_table(path, measurement_error=-1)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is no text: give comma-separated text"):
        read_residue_table(path)
