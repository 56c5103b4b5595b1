"""The text format of BME (Bottaro, Bengtsen & Lindorff-Larsen, Methods Mol. Biol. 2112, 219, 2020) as a table of data.

    # DATA=JCOUPLINGS PRIOR=GAUSS          # DATA=NOE BOUND=LOWER
    label  average  error                  label  bound  error

Other comments are passed over, and decimals may have commas. Averages of powers, ``POWER=6``, are refused: the
observable itself has to be the power then.
"""

import re
from itertools import takewhile
from pathlib import Path

from leastwork.errors import ConfigError
from leastwork.support.csv_rows import cells as cells_of_csv
from leastwork.support.csv_rows import numbered
from leastwork.support.text import quoted

__all__ = ["bme_as_csv"]

_KEY = re.compile(
    r"(?<![A-Za-z_])([A-Za-z_]+)[ \t]*=[ \t]*(\S+)"
)  # begins at a word, or long words take quadratic time
_DECIMAL_COMMA = re.compile(r"^([+-]?\d*),(\d+(?:[eE][+-]?\d+)?)$", re.ASCII)
_COLUMN = {"": "value", "LOWER": "lower", "UPPER": "upper"}


def bme_as_csv(path: Path, text: str) -> str:
    """The same text, or that of a CSV file with the same lines where it is in BME's format.

    Args:
        path: of the file, for messages.
        text: its text.

    Raises:
        ConfigError: blanks separate the cells of a file that is not BME's, or a key of BME's is not known here.

    >>> print(bme_as_csv(Path("noe.dat"), "# DATA=NOE BOUND=LOWER\\na 5.2 0.1"))
    name,lower,error
    "a",5.2,0.1
    """
    lines = text.splitlines()
    comments = takewhile(lambda line: not line.strip() or line.lstrip().startswith("#"), lines)
    first, keys = next(((line, found) for line in comments if "DATA" in (found := _keys(line))), ("", {}))
    if "DATA" not in keys:
        _refuse_blanks(path, text)
        return text
    where = f"{path}, line {lines.index(first) + 1}"
    column = _COLUMN.get(keys.get("BOUND", ""))
    if column is None:
        raise ConfigError(f"{where}: BOUND={keys['BOUND']} is not known: LOWER and UPPER are, or leave it out")
    if keys.get("POWER", "1") not in ("1", "1.0"):
        raise ConfigError(
            f"{where}: POWER={keys['POWER']} asks for averages of a power: let the observable return "
            f"r**-{keys['POWER']}, give the values so, and leave POWER out"
        )
    if keys.get("PRIOR", "GAUSS") != "GAUSS":
        raise ConfigError(f"{where}: PRIOR={keys['PRIOR']} is not known: errors are standard errors, PRIOR=GAUSS")
    return "\n".join(
        f"name,{column},error" if line is first else _row(path, i, line) for i, line in enumerate(lines, 1)
    )


def _keys(line: str) -> dict[str, str]:
    return {key.upper(): value.upper() for key, value in _KEY.findall(line)}


def _row(path: Path, number: int, line: str) -> str:
    if not line.strip() or line.lstrip().startswith("#"):
        return ""
    plain = line.split("#")[0]
    cells = plain.split()
    cells = cells_of_csv(plain) if len(cells) == 1 else cells  # tabs have become commas
    if len(cells) != 3:
        raise ConfigError(
            f"{path}, line {number}: {len(cells)} cells, where BME has label, average and error: give three"
        )
    return ",".join([f'"{cells[0]}"', *(_DECIMAL_COMMA.sub(r"\1.\2", cell) for cell in cells[1:])])


def _refuse_blanks(path: Path, text: str) -> None:
    """Say so where cells are separated by blanks, as no comma is there."""
    table = numbered(text)
    if table and "," not in table[0][1] and len(table[0][1].split()) > 1:
        number, line = table[0]
        if text.lstrip().startswith("#! FIELDS"):
            raise ConfigError(
                f"{path}: this is a COLVAR file of PLUMED, with observables of a trajectory, and no averages that were "
                "measured: give these with the columns name,value,error"
            )
        raise ConfigError(
            f"{path}, line {number}: blanks separate the columns of {quoted(line)}: separate them by commas, and name "
            "the columns in the first line"
        )
