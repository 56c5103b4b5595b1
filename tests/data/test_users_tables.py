"""Tables as users have them: each is read as it is meant, or refused in a sentence that says what to write instead."""

from collections.abc import Callable
from pathlib import Path

import pytest

from leastwork.data.couplings import Couplings
from leastwork.data.experiment import Experiment
from leastwork.data.histogram_file import read_histogram
from leastwork.data.noe import read_noe
from leastwork.data.residue_table import read_residue_table
from leastwork.data.saxs_curve import read_saxs
from leastwork.errors import ConfigError
from leastwork.observables import component, stack

NAMED = stack(component(0, "a", "nm"), component(1, "b", "nm"))
HEAD, B = "name,value,error\n", "b,0.45,0.03\n"


def table(path: Path) -> object:
    data = Experiment.from_csv(path, NAMED)
    return data.values.tolist(), data.errors.tolist()


def couplings(path: Path) -> object:
    return [(row.residue, row.value, row.error) for row in Couplings.from_csv(path).rows]


def star(path: Path) -> object:
    return [(row.residue, row.value) for row in Couplings.from_nmr_star(path).rows]


def residues(path: Path) -> object:
    return [(row.residue, row.value) for row in read_residue_table(path, sequence="GHDPETGTWG").rows]


def noe(path: Path) -> object:
    return [(bound.i, bound.j, bound.upper) for bound in read_noe(path, "nm")]


def histogram(path: Path) -> object:
    return read_histogram(path, "nm").counts


def curve(path: Path) -> object:
    found = read_saxs(path, q_max=0.3)
    return found.q.tolist(), found.intensity.tolist()


READ = ([0.31, 0.45], [0.02, 0.03])
KIND = "kind,residue,value,error\n"
TAGS = ("ID", "Code", "Comp_index_ID_1", "Atom_ID_1", "Comp_index_ID_2", "Atom_ID_2", "Val", "Val_err")
LOOP = "loop_\n" + "".join(f"_Coupling_constant.{tag}\n" for tag in TAGS)
FRAME = (
    "save_{0}\n_Coupling_constant_list.Sf_category coupling_constants\n{1}1 3JHNHA {2} H {2} HA {3} 0.1\nstop_\nsave_\n"
)


def of_star(*values: str) -> str:
    """A file with a frame for each value, from residue 2 on."""
    return "data_x\n" + "".join(FRAME.format(f"c{k}", LOOP, k, value) for k, value in enumerate(values, 2))


@pytest.mark.parametrize(
    ("read", "text", "found"),
    [
        (table, "\ufeffname\tvalue\terror\na\t0,31\t0,02\nb\t0,45\t0,03\n".encode("utf-16-le"), READ),
        (table, "\ufeff\ufeffname,value,error\na,0.31,0.02\n" + B, READ),
        (table, 'name;value;error\na;"0,31";0,02\nb;0,45;0,03\n', READ),
        (table, "name;value;error\na;−0,31;0,02\nb;0,45;3e−2\n", ([-0.31, 0.45], [0.02, 0.03])),
        (table, HEAD + "\u200ba,\u00a00.31\u00a0,0.02\n" + B, READ),
        (table, '"Name","VALUE","error"\r"a","0.31","0.02"\r"b","0.45","0.03"\r', READ),
        (table, "name,value [nm],error (nm)\n\na,0.31,0.02\n,,\n" + B, None),
        (table, "# DATA = JCOUPLINGS PRIOR = GAUSS\na\t0.31\t0.02\nb\t0.45\t0.03\n", READ),
        (table, "name;value;error;held_out\na;0,31;0,02;FALSCH\nb;0,45;0,03;wahr\n", READ),
        (table, "# by us\n# DATA=JCOUPLINGS PRIOR=GAUSS\na 0,31 0,02\nb 0.45 3e-2\n", READ),
        (couplings, "kind\tresidue\tvalue\terror\n3JHNHA\t2\t5,59\t0,05\n", [(2, 5.59, 0.05)]),
        (couplings, KIND + "³J(HN;Hα),2,5.59,0.05\n", [(2, 5.59, 0.05)]),
        (residues, "resid,resname,value,error\n2,hie,7.35,0.15\n", [(2, 7.35)]),
        (star, of_star("5.5", "6.5"), [(2, 5.5), (3, 6.5)]),
        (star, of_star("−5.5").encode("utf-16"), [(2, -5.5)]),
        (noe, "i;j;upper\n3;18;0,45\n", [((3,), (18,), 0.45)]),
        (histogram, "lower [nm];upper [nm];count\n0,0;0,5;3\n0,5;1,0;4\n", (3.0, 4.0)),
        (curve, "Sample 1\n q I s dq\n0.01 10 0.1 0.001\n0.02 9.5 0.1 0.001\nend 1 2 3\n", ([0.01, 0.02], [10.0, 9.5])),
        (curve, "0,01;1,0e1;0,1\n0,02;9,5;0,1\n", ([0.01, 0.02], [10.0, 9.5])),
    ],
)  # fmt: skip
def test_what_is_meant_is_read(tmp_path: Path, read: Callable, text: str | bytes, found: object) -> None:
    path = tmp_path / "measured.dat"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    if found is None:
        with pytest.raises(ConfigError, match="line 4: the row has no name"):
            read(path)
    else:
        assert read(path) == found


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (table, HEAD + "a,0.31 ± 0.02,\n" + B, "line 2: .* '0.31 ± 0.02': give the error in a column of its own"),
        (table, HEAD + "a,0.31 +/- 0.02,\n" + B, "give the error in a column of its own"),
        (table, HEAD + "a,0.31(2),\n" + B, "give the error in a column of its own"),
        (table, HEAD + "a,31%,2%\n" + B, "write a fraction"),
        (table, HEAD + "a,1.2×10⁻³,0.02\n" + B, "write it as -1.2e-3"),
        (table, HEAD + "a,1.2*10^-3,0.02\n" + B, "write it as -1.2e-3"),
        (table, HEAD + "a,1.2D-3,0.02\n" + B, "write it as -1.2e-3"),
        (table, HEAD + "a,\u20130.31,0.02\n" + B, "write it as -1.2e-3"),
        (table, HEAD + 'a,"1,234",0.02\n' + B, "write it without commas"),
        (table, HEAD + 'a,"1,234.5",0.02\n' + B, "write it without marks of thousands, and with a point"),
        (table, "name;value;error\na;1.234,5;0,02\n", "write it without marks of thousands, and with a point"),
        (table, HEAD + "a,0,31,0,02\n" + B, "5 cells for 3 columns: quote commas, and write decimals with points"),
        (table, HEAD + "a,0.31 nm,0.02\n" + B, "leave out the unit"),
        (table, HEAD + "a,0.31,0.02 # good\n" + B, "let a comment stand in a line of its own"),
        (table, HEAD + "a,0.31,.\n" + B, "line 2: the error of 'a' is '.': write a number, or leave the row out"),
        (table, HEAD + "a,NA,0.02\n" + B, "write a number, or leave the row out"),
        (table, HEAD + "a,<5,0.02\n" + B, "a bound in the column for it"),
        (table, HEAD + "a,0.31,0.02\n" + B + "measured in 2021,,\n", "line 4: .* begin it with # if it is a note"),
        (table, HEAD + "a,0.31,0.02\na,0.33,0.02\n" + B, "lines 2 and 3: two different data for 'a'"),
        (table, "data,,\n" + HEAD, "line 1: there is no column 'data': known are"),
        (table, ",name,value,error\n0,a,0.31,0.02\n", "line 1: column 1 has no name: name it, or leave it out"),
        (table, "name,value [Å],error\na,3.1,0.2\n", "the column 'value' is in 'Å', and its numbers are read in 'nm'"),
        (table, "name,value,±\na,0.31,0.02\n", "there is no column '±'"),
        (table, "name value error\na 0.31 0.02\n", "blanks separate the columns"),
        (table, "#! FIELDS time a\n 0.0 0.31\n", "this is a COLVAR file of PLUMED"),
        (table, "# DATA=JCOUPLINGS\na 5.2 0.1\na 5.3 0.1\nb 1 1\n", "lines 2 and 3: two different data"),
        (couplings, KIND + "3JHNHA,52A,5.59,0.05\n", "'52A': write its number in the chain alone"),
        (couplings, KIND + "3JHNHA,A:2,5.59,0.05\n", "'A:2': write its number in the chain alone"),
        (couplings, KIND + "3JHNHA,2,5.59,.\n", "write a number, or leave the row out"),
        (couplings, "kind,residue,value (ppm),error\n3JHNHA,2,5.59,0.05\n", "is in 'ppm', .* read in 'Hz': convert"),
        (couplings, KIND + "3J(HN,HA),2,5.59,0.05\n", "5 cells for 4 columns: write a kind as 3JHNHA"),
        (residues, "resid,resname,value (ppm),error\n2,HIS,7.35,0.1\n", "is in 'ppm'"),
        (residues, "resid,resname,value,error\n11,HIS,7,0.1\n12,ASP,6,0.1\n", "all rows fit with first=10"),
        (residues, "resid,resname,value,error\n2,SEP,7.35,0.1\n", "'SEP': write one of the 20 residues"),
        (noe, "i,j,upper (Å)\n3,18,4.5\n", "the column 'upper' is in 'Å', and its numbers are read in 'nm'"),
        (noe, "i,j,upper\n3,18,strong\n", "'strong': write a length"),
        (noe, "i,j,upper\n3,3,0.45\n", "share an atom"),
        (noe, "assign (resid 3 and name HA) (resid 4 and name HN) 2.5 0.7 0.5\n", "begin with the line i,j,upper"),
        (histogram, "lower (Å),upper (Å),count\n0,5,3\n5,10,4\n", "the column 'lower' is in 'Å'"),
        (curve, "1 0.01 10 0.1\n2 0.02 9 0.1\n3 0.03 8 0.1\n", "line 1: the first column counts the points"),
        (curve, "".join(f"{q} 9 1\n" for q in (0.2, 1, 2, 3, 4)), "1 lie from .* the last is at 4 1/Å.*q_unit = 1/nm"),
        (curve, "0.01 10.0\n0.02 9.5\n", "there is no error beside"),
        (curve, "0.01 10 0.1\n# frame 2\n0.02 9.5 0.1\n", "words stand between the numbers"),
        (star, of_star("5,5"), "'5,5': write a finite number, in Hz"),
        (star, of_star("5.5(1)"), "give the error in a column of its own"),
        (star, "data_x\nsave_c\n_Saveframe_category coupling_constants\nsave_\n", "this is NMR-STAR 2.1"),
    ],
)  # fmt: skip
def test_what_is_not_read_ends_in_a_remedy(tmp_path: Path, read: Callable, text: str, said: str) -> None:
    path = tmp_path / "measured.dat"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as refused:
        read(path)
    assert str(refused.value).startswith(str(path))


def test_a_name_that_looks_the_same_is_meant(tmp_path: Path) -> None:
    """A keyboard has the micro sign and an alphabet the letter; macOS writes accents apart from their letters."""
    path = tmp_path / "measured.csv"
    path.write_text(HEAD + "\u03bcs,0.31,0.02\nA\u030a,0.45,0.03\n")
    named = stack(component(0, "\u00b5s"), component(1, "\u00c5"))
    assert Experiment.from_csv(path, named).values.tolist() == READ[0]
