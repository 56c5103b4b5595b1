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

__all__ = ["DOCS", "ROOT", "cells", "insert", "markdown"]

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
