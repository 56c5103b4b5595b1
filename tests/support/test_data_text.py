"""Files of data as spreadsheets write them: encodings, separators, decimal commas; what is no text is refused."""

from pathlib import Path

import pytest

import leastwork as lw
from leastwork.support.data_text import data_text

BOTH = lw.Observable(lambda x: x, names=("a", "b"))
PLAIN = "name,value,error\na,0.31,0.02\nb,0.45,0.03\n"


@pytest.mark.parametrize("text", [
    PLAIN,
    PLAIN.replace(",", "\t"),
    PLAIN.replace(",", ";"),
    PLAIN.replace(",", ";").replace(".", ","),
    PLAIN.replace(",", "\t").replace(".", ","),
    "# in µs, ± one σ\n\n" + PLAIN.replace(",", "; ").replace(".", ","),
    PLAIN.replace("\n", "\r\n"),
    '"name";"value";"error"\n"a";"0,31";"0,02"\n"b";"0,45";"3e-2"\n',
    'name,value,error\na,"0,31","0,02"\nb,0.45,0.03\n',
    "sep=;\n" + PLAIN.replace(",", ";").replace(".", ","),
    PLAIN.replace("\n", ",,\n") + ",,,,\n",
    PLAIN.replace("0.02", "0.02,,"),
    "," + PLAIN[:-1].replace("\n", "\n,") + "\n",
    PLAIN.replace(",", "|"),
    PLAIN.replace("name,value,error", "Name,Value (nm),Error [nm]").replace("0.45", "\u00a00.45"),
])  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_it_is_read_whoever_wrote_it(text: str, encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "measured.csv"
    file.write_bytes(text.encode(encoding))
    data = lw.Experiment.from_csv(file, BOTH)
    assert data.values.tolist() == [0.31, 0.45]
    assert data.errors.tolist() == [0.02, 0.03]


def test_windows_is_read_with_a_word(tmp_path: Path) -> None:
    file = tmp_path / "measured.csv"
    file.write_bytes(("# T = 298 ± 0.5 K\n" + PLAIN).encode("cp1252"))
    with pytest.warns(lw.LeastworkWarning, match=r"read as Windows-1252, in which line 1 has '±': save it as UTF-8 if"):
        assert lw.Experiment.from_csv(file, BOTH).values.tolist() == [0.31, 0.45]


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\x00\x00", b"PK\x03\x04\x90\x81", b"name,value\x00", b"\xff\xfea"])
def test_what_is_no_text_is_refused(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "measured.csv"
    file.write_bytes(data)
    with pytest.raises(lw.ConfigError, match=r"measured\.csv is no text: give comma-separated text in UTF-8"):
        lw.Experiment.from_csv(file, BOTH)


def test_lines_keep_their_numbers(tmp_path: Path) -> None:
    file = tmp_path / "measured.csv"
    file.write_text("# first\nname;value;error\n\na;0,31;oops\nb;1;1\n")
    assert data_text(file).splitlines()[3] == "a,0.31,oops"
    with pytest.raises(lw.ConfigError, match=r"measured\.csv, line 4: .*'oops'"):
        lw.Experiment.from_csv(file, BOTH)


def test_commas_within_cells_stay(tmp_path: Path) -> None:
    file = tmp_path / "measured.csv"
    file.write_text('name;value;error\n"d(0,9)";0,31;0,02\n')
    one = lw.Observable(lambda x: x, names=("d(0,9)",))
    assert lw.Experiment.from_csv(file, one).values.tolist() == [0.31]


def test_text_of_bme(tmp_path: Path) -> None:
    file = tmp_path / "noe.dat"
    file.write_text("# DATA=NOE BOUND=LOWER\n# a comment\na 5.2 0.1\nb\t4.6 0.1  # another\n")
    data = lw.Experiment.from_csv(file, BOTH)
    assert data.lower.tolist() == [5.2, 4.6]
    assert bool(data.values.isnan().all())
    file.write_text("# DATA=JCOUPLINGS PRIOR=GAUSS\nb 4.6 0.1\na 5.2 0.2\n")
    data = lw.Experiment.from_csv(file, BOTH)
    assert data.values.tolist() == [5.2, 4.6]
    assert data.errors.tolist() == [0.2, 0.1]


@pytest.mark.parametrize(("text", "message"), [
    ("# DATA=NOE BOUND=BOTH\na 1 1\n", "line 1: BOUND=BOTH is not known: LOWER and UPPER are"),
    ("# DATA=NOE POWER=6\na 1 1\n", r"line 1: POWER=6 asks for averages of a power: let the observable return r\*\*-6"),
    ("# DATA=NOE PRIOR=LAPLACE\na 1 1\n", "line 1: PRIOR=LAPLACE is not known"),
    ("# DATA=NOE\na 1\nb 1 1\n", "line 2: 2 cells, where BME has label, average and error"),
    ("name value error\na 1 1\n", "line 1: blanks separate the columns of 'name value error': separate them by commas"),
    ("# noe\na 5.2 0.1\n", "line 2: blanks separate the columns"),
])  # fmt: skip
def test_other_texts_are_refused_with_their_line(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "noe.dat"
    file.write_text(text)
    with pytest.raises(lw.ConfigError, match=message):
        lw.Experiment.from_csv(file, BOTH)


def test_a_typographic_minus_is_a_minus(tmp_path: Path) -> None:
    file = tmp_path / "measured.csv"
    file.write_text(PLAIN.replace("0.31", "\u22120.31"), encoding="utf-8")
    assert lw.Experiment.from_csv(file, BOTH).values.tolist() == [-0.31, 0.45]


def test_three_decimals_after_a_quoted_comma_could_be_thousands(tmp_path: Path) -> None:
    file = tmp_path / "measured.csv"
    file.write_text(PLAIN.replace("0.31", '"1,310"'))
    with pytest.raises(
        lw.ConfigError, match=r"measured\.csv, line 2: the value of 'a' is '1,310': write it without commas"
    ):
        lw.Experiment.from_csv(file, BOTH)


def test_a_unit_in_the_header_is_compared(tmp_path: Path) -> None:
    file = tmp_path / "measured.csv"
    file.write_text(PLAIN.replace("value", "value (Å)"), encoding="utf-8")
    both = lw.Observable(lambda x: x, names=("a", "b"), unit="nm")
    with pytest.raises(lw.ConfigError, match=r"line 1: the column 'value' is in 'Å', and its numbers are read in 'nm'"):
        lw.Experiment.from_csv(file, both)
