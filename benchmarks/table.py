"""Tables in Markdown, and their places in the documentation.

>>> print(markdown(("system", "s"), [("prinz", "1.5"), ("moons", "12")]))
| system | s |
|---|---|
| prinz | 1.5 |
| moons | 12 |
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["DOCS", "ROOT", "cells", "insert", "markdown", "merge"]

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def cells(row: Sequence[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(row)} |"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, without a line break at the end."""
    return "\n".join([cells(head), "|" + "---|" * len(head), *map(cells, rows)])


def insert(file: Path, name: str, table: str) -> None:
    """Replace what stands between the markers of that name, if the file has them."""
    text = file.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->", f"<!-- end {name} -->"
    found, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n{table.rstrip()}\n{end}", text, flags=re.DOTALL
    )
    if count:
        file.write_text(found, encoding="utf-8")


def merge(file: Path, name: str, table: str) -> None:
    """As :func:`insert`, but rows of the present table whose first cell the new one lacks stay, in their places.

    Tables that several commands fill stay whole if only one of them runs. If the heads differ, all is replaced.
    """
    pattern = f"<!-- {re.escape(name)} -->\n(.*?)<!-- end {re.escape(name)} -->"
    found = re.search(pattern, file.read_text(encoding="utf-8"), flags=re.DOTALL)
    old, new = (found.group(1) if found else "").splitlines(), table.splitlines()
    if old[:1] != new[:1]:
        insert(file, name, table)
        return
    rows = {_first(line): line for line in old[2:]} | {_first(line): line for line in new[2:]}
    insert(file, name, "\n".join([*new[:2], *rows.values()]))


def _first(line: str) -> str:
    return line.split("|")[1].strip()
