"""Files of scalar couplings: what is read, what an experiment makes of it, and what is refused, with file and line."""

import re
from pathlib import Path

import pytest
import torch

from leastwork.data.coupling import Coupling
from leastwork.data.couplings import Couplings
from leastwork.errors import ConfigError, LeastworkError, LeastworkWarning
from leastwork.observables import KARPLUS, KINDS, Backbone, forward_model_covariance, scalar_couplings

CHAIN = Backbone.chain(4, end=True)

CSV = """# a peptide
# unit: Hz
kind,residue,value,error,held_out

3JHNHA,2,5.59,0.05,no
"3J(HN,HA)",3,5.74,0.1,
# of the terminal residue
1JNCA, 4, 11.36, 0, yes
"""

TAGS = ("ID", "Code", "Comp_index_ID_1", "Comp_ID_1", "Atom_ID_1", "Comp_index_ID_2", "Atom_ID_2", "Val", "Val_err")


def csv(folder: Path, text: str) -> Path:
    path = folder / "couplings.csv"
    path.write_text(text, encoding="utf-8")
    return path


def star(folder: Path, *loops: str, tags: tuple[str, ...] = TAGS) -> Path:
    """An NMR-STAR file with the rows of some lists; the first row of the first list is in line 16."""
    path = folder / "couplings.str"
    text = "data_test\n"
    for k, rows in enumerate(loops):
        text += f"save_couplings_{k}\n   _Coupling_constant_list.Sf_category coupling_constants\n\n   loop_\n"
        text += "".join(f"      _Coupling_constant.{tag}\n" for tag in tags) + f"\n{rows}\n   stop_\nsave_\n"
    path.write_text(text, encoding="utf-8")
    return path


def refused(path: Path, message: str, **arguments) -> None:
    """Both file and, where it is given, line stand in the message."""
    read = Couplings.from_csv if path.suffix == ".csv" else Couplings.from_nmr_star
    with pytest.raises(ConfigError, match=re.escape(f"{path}{message}")):
        read(path, **arguments)


def test_csv(tmp_path: Path) -> None:
    path = csv(tmp_path, CSV)
    table = Couplings.from_csv(path)
    assert table.rows == (
        Coupling("3J(HN,HA)", 2, 5.59, 0.05, False, 5),
        Coupling("3J(HN,HA)", 3, 5.74, 0.1, False, 6),
        Coupling("1J(N,CA)", 4, 11.36, 0.0, True, 8),
    )
    assert table.source == str(path)
    assert table.kinds == ("3J(HN,HA)", "3J(HN,HA)", "1J(N,CA)")
    assert [row.name for row in table.rows] == ["3J(HN,HA) 2", "3J(HN,HA) 3", "1J(N,CA) 4"]


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_have_several_spellings(tmp_path: Path, kind: str) -> None:
    plain = re.sub("[(),']", "", kind)
    greek = kind.replace("HA", "Hα").replace("CA", "Cα").replace("CB", "Cβ").replace("'", "′")
    raised = greek.translate(str.maketrans("123", "¹²³"))
    for spelling in (plain, plain.lower(), f'"{kind}"', f'"{raised}"'):
        table = Couplings.from_csv(csv(tmp_path, f"kind,residue,value,error\n{spelling},2,1.0,0.1\n"))
        assert table.kinds == (kind,)


def test_columns_in_any_order_and_no_unit(tmp_path: Path) -> None:
    table = Couplings.from_csv(csv(tmp_path, "error,value,residue,kind\n0.1,5.5,3,3JHNCO\n"))
    assert table.rows == (Coupling("3J(HN,C')", 3, 5.5, 0.1, False, 2),)


def test_an_error_for_rows_that_have_none(tmp_path: Path) -> None:
    path = csv(tmp_path, "kind,residue,value,error\n3JHNHA,2,5.59,0.05\n3JHNHA,3,5.74,\n")
    assert [row.error for row in Couplings.from_csv(path, measurement_error=0.2).rows] == [0.05, 0.2]
    without = csv(tmp_path, "kind,residue,value\n3JHNHA,2,5.59\n")
    assert [row.error for row in Couplings.from_csv(without, measurement_error=0.0).rows] == [0.0]


def test_an_experiment_has_both_errors_times_theta(tmp_path: Path) -> None:
    table = Couplings.from_csv(csv(tmp_path, CSV))
    data = table.experiment(CHAIN, karplus="hu1997", shared=0.25, theta=2.0)
    sigma, other = KARPLUS["hu1997"]["3J(HN,HA)"].sigma, KARPLUS["hu1997"]["1J(N,CA)"].sigma
    expected = torch.tensor(
        [
            [sigma**2 + 0.05**2, 0.25 * sigma**2, 0.0],
            [0.25 * sigma**2, sigma**2 + 0.1**2, 0.0],
            [0.0, 0.0, other**2],
        ],
        dtype=torch.float64,
    )
    torch.testing.assert_close(data.covariance, 2.0 * expected)
    assert data.values.tolist() == [5.59, 5.74, 11.36]
    assert data.fitted.tolist() == [0, 1]
    assert data.names == ("3J(HN,HA) 2", "3J(HN,HA) 3", "1J(N,CA) 4")
    assert set(data.units) == {"Hz"}
    x = torch.randn(2, 13, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pairs = [(row.kind, row.residue) for row in table.rows]
    torch.testing.assert_close(data.observable(x), scalar_couplings(CHAIN, pairs, KARPLUS["hu1997"])(x))


def test_the_defaults_of_an_experiment(tmp_path: Path) -> None:
    table = Couplings.from_csv(csv(tmp_path, CSV))
    measurement = torch.tensor([0.05, 0.1, 0.0], dtype=torch.float64).square().diag()
    expected = forward_model_covariance(table.kinds, KARPLUS["vogeli2007"], shared=0.5) + measurement
    torch.testing.assert_close(table.experiment(CHAIN).covariance, expected)
    own = table.experiment(CHAIN, karplus=KARPLUS["schmidt1999"])
    torch.testing.assert_close(own.covariance, table.experiment(CHAIN, karplus="schmidt1999").covariance)
    assert not torch.equal(own.covariance, expected)


def test_data_are_held_out_by_a_condition(tmp_path: Path) -> None:
    table = Couplings.from_csv(csv(tmp_path, CSV))
    other = table.held_out_where(lambda row: row.kind == "3J(HN,HA)" and row.residue == 3)
    assert [row.held_out for row in other.rows] == [False, True, False]
    assert [row.held_out for row in table.rows] == [False, False, True]
    assert other.source == table.source
    assert other.experiment(CHAIN).fitted.tolist() == [0, 2]


HEADER = "kind,residue,value,error,held_out\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": the file holds no couplings: begin with the line kind,residue,value,error,held_out"),
        ("# unit: Hz\n", ": the file holds no couplings: begin with the line"),
        (HEADER, ": the file holds no couplings: add a row for each below kind,residue,value,error,held_out"),
        ("kind,residue,valu\n", ", line 1: there is no column 'valu': did you mean 'value'?"),
        ("# a\nkind,residue,x\n", ", line 2: there is no column 'x': known are kind, residue, value, error, held_out"),
        ("kind,residue\n", ", line 1: there is no column 'value', name at least kind, residue, value"),
        ("kind,kind,value\n", ", line 1: the column 'kind' appears twice: keep one of them"),
        (HEADER + "3J(HN,HA),2,5.5,0.1,no\n", ", line 2: 6 cells for 5 columns: write a kind as 3JHNHA, or in quotat"),
        (HEADER + "3JHNHB,2,5.5,0.1,no\n", ", line 2: there is no coupling '3JHNHB': did you mean '3J(HN,HA)'?"),
        (HEADER + "shift,2,5.5,0.1,no\n", ", line 2: there is no coupling 'shift': known are 3J(HN,HA), 3J(HN,CB), "),
        (HEADER + ",2,5.5,0.1,no\n", ", line 2: there is no coupling '': known are"),
        (HEADER + "3JHNHA,ALA2,5.5,0.1,no\n", ", line 2: the residue of 3J(HN,HA) is 'ALA2': write its number"),
        (HEADER + "3JHNHA,2.5,5.5,0.1,no\n", ", line 2: the residue of 3J(HN,HA) is '2.5': write its number"),
        (HEADER + "3JHNHA,2,,0.1,no\n", ", line 2: 3J(HN,HA) of residue 2 has no value: write it in Hz, or leave the"),
        (HEADER + "3JHNHA,2,big,0.1,no\n", ", line 2: the value of 3J(HN,HA) of residue 2 is 'big': write a finite nu"),
        (HEADER + "3JHNHA,2,nan,0.1,no\n", ", line 2: the value of 3J(HN,HA) of residue 2 is 'nan': write a finite"),
        (HEADER + "3JHNHA,2,5.5,inf,no\n", ", line 2: the error of 3J(HN,HA) of residue 2 is 'inf': write a finite"),
        (HEADER + "3JHNHA,2,5.5,-1,no\n", ", line 2: the error of 3J(HN,HA) of residue 2 is -1: write 0 for exact"),
        (HEADER + "3JHNHA,2,5.5,0.1,maybe\n", ", line 2: held_out of 3J(HN,HA) of residue 2 is 'maybe': write yes or"),
        (
            HEADER + "3JHNHA,2,5.5,0.1,no\n3JHNHA,3,5.5,,no\n",
            ", line 3: 3J(HN,HA) of residue 3 has no error: write its standard error in the file, or give "
            "measurement_error= for all rows that have none",
        ),
        ("kind,residue,value\n3JHNHA,2,5.5\n", ", line 2: 3J(HN,HA) of residue 2 has no error: write its standard"),
        (
            HEADER + '3JHNHA,2,5.5,0.1,no\n1JNCA,2,11.0,0.1,no\n"3J(HN,HA)",2,5.5,0.1,no\n',
            ", lines 2 and 4: two rows for 3J(HN,HA) of residue 2, alike: keep one",
        ),
        (
            HEADER + "3JHNHA,2,5.5,0.1,no\n3JHNHA,2,5.7,0.1,no\n",
            ", lines 2 and 3: two rows for 3J(HN,HA) of residue 2, with 5.5 and 5.7 Hz: keep one",
        ),
        ("# unit: rad/s\n" + HEADER + "3JHNHA,2,35,1,no\n", ", line 1: the unit is 'rad/s': give the couplings in Hz"),
        (
            "# unit: Hz\n" + HEADER + "3JHNHA,2,5.5,0.1,no\n# unit: ppm\n3JHNHA,3,5.5,0.1,no\n",
            ", lines 1 and 4: mixed units, 'Hz' and 'ppm': give all couplings in Hz",
        ),
        (
            "kind,residue,value,error,unit\n3JHNHA,2,5.5,0.1,Hz\n3JHNHA,3,35,1,rad/s\n",
            ", lines 2 and 3: mixed units, 'Hz' and 'rad/s': give all couplings in Hz",
        ),
        ("kind,residue,value,error,unit\n3JHNHA,2,35,1,rad/s\n", ", line 2: the unit is 'rad/s': give the couplings"),
    ],
)
def test_csv_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    refused(csv(tmp_path, text), message)


@pytest.mark.parametrize("line", ["# unit: Hz", "#units=hz", "# Unit : HZ"])
def test_hertz_has_several_spellings(tmp_path: Path, line: str) -> None:
    table = Couplings.from_csv(csv(tmp_path, f"{line}\nkind,residue,value,error,unit\n3JHNHA,2,5.5,0.1,Hz\n"))
    assert len(table.rows) == 1


def test_files_that_are_not_there_or_no_text(tmp_path: Path) -> None:
    for name in ("absent.csv", "absent.str"):
        refused(tmp_path / name, ": there is no such file of couplings")
    path = tmp_path / "binary.csv"
    path.write_bytes(b"\xff\xfe\x00")
    refused(path, " is no text: give a CSV or an NMR-STAR file in UTF-8")


@pytest.mark.parametrize("error", [-0.1, float("nan"), float("inf")])
def test_errors_for_all_rows_that_are_none(tmp_path: Path, error: float) -> None:
    with pytest.raises(ConfigError, match=r"measurement_error = .*: give 0 for exact data, or a positive standard err"):
        Couplings.from_csv(csv(tmp_path, CSV), measurement_error=error)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("3JHNHA,9,5.5,0.1,no", ", line 3: there is no residue 9: the chain has residues 1 to 4"),
        ("3JHNHA,0,5.5,0.1,no", ", line 3: there is no residue 0: the chain has residues 1 to 4"),
        ("3JHNHA,1,5.5,0.1,no", ", line 3: 3J(HN,HA) of residue 1, the first, is undefined, for it depends on its phi"),
        ("2JNCA,1,8.5,0.1,yes", ", line 3: 2J(N,CA) of residue 1, the first, is undefined, for it depends on the psi"),
        ("1JNCA,4,11.2,0.1,no", ", line 3: 1J(N,CA) of residue 4, the last, is undefined without the terminal oxygen"),
    ],
)
def test_data_that_the_chain_does_not_have(tmp_path: Path, row: str, message: str) -> None:
    path = csv(tmp_path, f"{HEADER}3JHNHA,2,5.5,0.1,no\n{row}\n")
    with pytest.raises(ConfigError, match=re.escape(f"{path}{message}")):
        Couplings.from_csv(path).experiment(Backbone.chain(4))


def test_experiments_that_are_none(tmp_path: Path) -> None:
    path = csv(tmp_path, CSV)
    table = Couplings.from_csv(path)
    with pytest.raises(ConfigError, match="there is no Karplus set 'bax2007': known are vogeli2007, "):
        table.experiment(CHAIN, karplus="bax2007")
    for theta in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(LeastworkError, match=r"theta = .*: give a positive number, 1 for the errors as they are"):
            table.experiment(CHAIN, theta=theta)
    with pytest.raises(LeastworkError, match=r"shared = 2: give a correlation from 0"):
        table.experiment(CHAIN, shared=2)
    with pytest.raises(ConfigError, match=re.escape(f"{path}: all of the couplings are held out: leave at least one")):
        table.held_out_where(lambda row: True).experiment(CHAIN)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((), "the couplings: there are no couplings: give at least one"),
        ((Coupling("J", 2, 5.5, 0.1),), "the couplings: there is no coupling 'J': known are"),
        ((Coupling("1J(N,CA)", 2, float("nan"), 0.1, line=7),), "the couplings, line 7: 1J(N,CA) of residue 2 is nan "),
        ((Coupling("1J(N,CA)", 2, 11.0, -0.1),), "the couplings: 1J(N,CA) of residue 2 is 11.0 ± -0.1 Hz: give finite"),
        ((Coupling("1J(N,CA)", 2, 11.0, 0.1), Coupling("1J(N,CA)", 2, 12.0, 0.1)), "with 11 and 12 Hz: keep"),
    ],
)
def test_tables_that_are_none(rows, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        Couplings(rows)


def test_nmr_star(tmp_path: Path) -> None:
    pytest.importorskip("pynmrstar")
    rows = """      1 3JHNHA 2 ALA H  2 HA 5.59 0.05
      2 3JHNCB 2 ALA HN 2 CB 2.30 0.1
      3 3JHNC  2 ALA C  2 H  1.13 0.1
      # one that is read from its atoms alone
      4 .      2 ALA HA 1 C  1.85 0.1
      5 3JHNCA 3 ALA H  2 CA 0.68 .
      6 1JNCA  3 ALA N  3 CA 11.26 0.1
      7 2JNCA  2 ALA CA 3 N  8.55 0.1"""
    path = star(tmp_path, rows)
    table = Couplings.from_nmr_star(path, measurement_error=0.02)
    assert table.rows == (
        Coupling("3J(HN,HA)", 2, 5.59, 0.05, line=16),
        Coupling("3J(HN,CB)", 2, 2.30, 0.1, line=17),
        Coupling("3J(HN,C')", 2, 1.13, 0.1, line=18),
        Coupling("3J(HA,C')", 2, 1.85, 0.1, line=20),
        Coupling("3J(HN,CA)", 3, 0.68, 0.02, line=21),
        Coupling("1J(N,CA)", 3, 11.26, 0.1, line=22),
        Coupling("2J(N,CA)", 3, 8.55, 0.1, line=23),
    )
    assert table.left_out == ()
    assert len(table.experiment(CHAIN).names) == 7


def test_the_lines_of_an_nmr_star_file_are_those_of_its_rows(tmp_path: Path) -> None:
    pytest.importorskip("pynmrstar")
    path = star(
        tmp_path, "1 3JHNHA 2 ALA H 2 HA 5.59 0.05", "", "2 3JHNHA 3 ALA H 3 HA 5.74 0.1\n3 . 4 ALA N 4 CA 11 1"
    )
    lines = path.read_text(encoding="utf-8").splitlines()
    for row in Couplings.from_nmr_star(path).rows:
        assert row.line is not None
        assert f" {row.residue} ALA " in lines[row.line - 1]


def test_nmr_star_rows_over_several_lines_have_the_line_of_the_loop(tmp_path: Path) -> None:
    pytest.importorskip("pynmrstar")
    path = star(tmp_path, "1 3JHNHA 2 ALA H\n 2 HA 5.59 0.05 2 3JHNHA 3 ALA H 3 HA 5.74 .\n 3 . 3 ALA N\n3 CA 11 1")
    refused(path, ", line 14: 3J(HN,HA) of residue 3 has no error")
    compact = " ".join(path.read_text(encoding="utf-8").split())
    path.write_text(compact, encoding="utf-8")
    refused(path, ": 3J(HN,HA) of residue 3 has no error")


def test_sequence_numbers_stand_in_for_those_of_the_chain(tmp_path: Path) -> None:
    pytest.importorskip("pynmrstar")
    tags = tuple(tag.replace("Comp_index", "Seq") for tag in TAGS)
    table = Couplings.from_nmr_star(star(tmp_path, "1 3JHNHA 2 ALA H 2 HA 5.59 0.05", tags=tags))
    assert table.rows[0].residue == 2
    upper = tuple(tag.upper() for tag in TAGS)
    assert Couplings.from_nmr_star(star(tmp_path, "1 3JHNHA 2 ALA H 2 HA 5.59 0.05", tags=upper)).rows[0].value == 5.59


def test_couplings_of_other_kinds_are_reported(tmp_path: Path) -> None:
    pytest.importorskip("pynmrstar")
    path = star(tmp_path, "1 3JHNHA 2 ALA H 2 HA 5.59 0.05\n2 3JHAHB 2 ALA HA 2 HB2 4.2 0.1\n3 2JHNC 3 ALA H 2 C 4 .")
    with pytest.warns(
        LeastworkWarning, match=r"2 couplings of kinds that there is no relation for are left out: 3JHAHB"
    ):
        table = Couplings.from_nmr_star(path)
    assert [row.name for row in table.rows] == ["3J(HN,HA) 2"]
    assert table.left_out == ("3JHAHB of HA 2 and HB2 2 in line 17", "2JHNC of H 3 and C 2 in line 18")
    refused(star(tmp_path, "1 3JHAHB 2 ALA HA 2 HB2 4.2 0.1"), ": there are no couplings of a known kind, 3J(HN,HA), ")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("",), ": there are no couplings, that is no rows of a loop _Coupling_constant: give a CSV"),
        ((), ": there are no couplings, that is no rows of a loop _Coupling_constant: give a CSV"),
        (("1 3JHNHA 2 ALA H 2 HA 5.59 .",), ", line 16: 3J(HN,HA) of residue 2 has no error: write its standard error"),
        (("1 3JHNHA 2 ALA H 2 HA . 0.1",), ", line 16: 3J(HN,HA) of residue 2 has no value"),
        (("1 3JHNHA 2 ALA H 2 HA x 0.1",), ", line 16: the value of 3J(HN,HA) of residue 2 is 'x': write a finite nu"),
        (("1 3JHNHA 2 ALA H 2 HA 5.5 -1",), ", line 16: the error of 3J(HN,HA) of residue 2 is -1: write 0 for exact"),
        (("1 3JHNHA . ALA H 2 HA 5.5 0.1",), ", line 16: the residue of the atom H is '': write its number"),
        (("1 3JHNHA 2 ALA . 2 HA 5.5 0.1",), ", line 16: the coupling has no Atom_ID_1: name both of its atoms"),
        (("1 2JNCA 2 ALA N 2 CA 8.5 0.1",), ", line 16: the code is 2JNCA but the atoms N 2 and CA 2 have 1J(N,CA)"),
        (
            ("1 3JHNHA 2 ALA H 2 HA 5.5 0.1\n2 3JHNHA 2 ALA H 2 HA 5.5 0.1",),
            ", lines 16 and 17: two rows for 3J(HN,HA) of residue 2, alike: keep one",
        ),
        (
            ("1 3JHNHA 2 ALA H 2 HA 5.5 0.1", "1 3JHNHA 2 ALA HA 2 H 5.7 0.1"),
            ", lines 16 and 33: two rows for 3J(HN,HA) of residue 2, with 5.5 and 5.7 Hz: keep one",
        ),
    ],
)
def test_nmr_star_that_cannot_be_used(tmp_path: Path, rows: tuple[str, ...], message: str) -> None:
    pytest.importorskip("pynmrstar")
    refused(star(tmp_path, *rows), message)


def test_a_file_that_is_no_nmr_star(tmp_path: Path) -> None:
    pytest.importorskip("pynmrstar")
    path = tmp_path / "rubbish.str"
    path.write_text("kind,residue\n", encoding="utf-8")
    refused(path, ", line 1: this is no NMR-STAR file (")


def test_the_extra_that_reads_nmr_star(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = star(tmp_path, "1 3JHNHA 2 ALA H 2 HA 5.59 0.05")

    def absent(package: str, extra: str) -> None:
        raise LeastworkError(f"{package} of {extra}")

    monkeypatch.setattr("leastwork.data.nmr_star.needs", absent)
    with pytest.raises(LeastworkError, match="pynmrstar of nmr"):
        Couplings.from_nmr_star(path)


def test_kinds_without_a_relation_are_left_out_with_a_word(tmp_path: Path) -> None:
    text = "kind,residue,value,error\n1j_n_ca,3,10.5,0.05\n3j_co_co,3,0.8,0.05\n3j_hn_ha,3,7.2,0.05\n"
    with pytest.warns(LeastworkWarning, match=r"left out: .*, line 3: there is no Karplus relation for '3j_co_co'"):
        couplings = Couplings.from_csv(csv(tmp_path, text))
    assert len(couplings.rows) == 2
    assert len(couplings.left_out) == 1
    with pytest.raises(ConfigError, match="there is no Karplus relation for any of its couplings"):
        Couplings.from_csv(csv(tmp_path, "kind,residue,value,error\n3j_co_co,3,0.8,0.05\n"))
    with pytest.raises(ConfigError, match="did you mean"):  # a slip of the keys
        Couplings.from_csv(csv(tmp_path, "kind,residue,value,error\n3j_hn_hb,3,0.8,0.05\n"))


def test_physical_signs_are_turned_with_a_word() -> None:
    rows = (Coupling("2J(N,CA)", 3, -8.6, 0.1), Coupling("3J(HN,HA)", 3, 7.0, 0.1))
    with pytest.warns(LeastworkWarning, match=r"these values are turned: 2J\(N,CA\) of residue 3 \(-8\.6 Hz"):
        data = Couplings(rows).experiment(Backbone.chain(5, end=True))
    assert data.values.tolist() == [8.6, 7.0]
    wild = (Coupling("2J(N,CA)", 3, -60.0, 0.1),)  # reached with no sign: left as it is
    assert Couplings(wild).experiment(Backbone.chain(5, end=True)).values.tolist() == [-60.0]


def test_signs_are_turned_by_kind_and_only_where_the_nuclei_allow_it() -> None:
    """¹J(N,Cα) of −11 and −8 Hz: both are turned, though 3 σ of the relation reach neither sign of a third."""
    rows = (
        Coupling("1J(N,CA)", 2, -11.0, 0.1),
        Coupling("1J(N,CA)", 3, -9.5, 0.1),
        Coupling("1J(N,CA)", 4, -40.0, 0.1),
    )
    with pytest.warns(LeastworkWarning, match="gyromagnetic ratios"):
        data = Couplings(rows).experiment(Backbone.chain(5, end=True))
    assert data.values.tolist() == [11.0, 9.5, 40.0]
    proton = (Coupling("3J(HN,HA)", 3, -8.0, 0.1),)
    assert Couplings(proton).experiment(Backbone.chain(5, end=True)).values.tolist() == [-8.0]


MANY = ("ID", "Code", "Entity_assembly_ID_1", "Comp_index_ID_1", "Atom_ID_1", "Entity_assembly_ID_2",
        "Comp_index_ID_2", "Atom_ID_2", "Val", "Val_err")  # fmt: skip
TWO = "1 3JHNHA 1 2 H 1 2 HA 5.6 0.1\n2 3JHNHA 2 2 H 2 2 HA 7.9 0.1\n3 3JHNHA 1 3 H 2 3 HA 1.0 0.1"


def test_molecules_are_kept_apart(tmp_path: Path) -> None:
    file = star(tmp_path, TWO, tags=MANY)
    with pytest.raises(ConfigError, match="several molecules, Entity_assembly_ID or Entity_ID '1' and '2': name one"):
        Couplings.from_nmr_star(file)
    assert [row.value for row in Couplings.from_nmr_star(file, molecule=2).rows] == [7.9]
    assert [row.value for row in Couplings.from_nmr_star(file, molecule="1").rows] == [5.6]
    with pytest.raises(ConfigError, match="of molecule '3': it has those of '1' and '2'"):
        Couplings.from_nmr_star(file, molecule="3")


def test_the_older_format_is_recognised(tmp_path: Path) -> None:
    file = tmp_path / "old.str"
    file.write_text(
        "data_1\nsave_J\n   _Saveframe_category   coupling_constants\n   loop_\n   _Coupling_constant_code\n"
        "   _Coupling_constant_value\n 3JHNHA 5.6\n   stop_\nsave_\n"
    )
    with pytest.raises(ConfigError, match=r"this is NMR-STAR 2\.1, .*give the entry in NMR-STAR 3"):
        Couplings.from_nmr_star(file)
