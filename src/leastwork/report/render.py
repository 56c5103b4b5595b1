"""The page's templates, and the numbers of its tables and figures."""

from itertools import count as count_from
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from leastwork.support.numerals import count, fraction, plain, plus_minus

__all__ = [
    "Numbering",
    "environment",
]

_TEMPLATES = Path(__file__).with_name("templates")


class Numbering:
    """Figures and tables are numbered as they come, through all parts of a page."""

    def __init__(self) -> None:
        self._figures, self._tables = count_from(1), count_from(1)

    def figure(self) -> int:
        return next(self._figures)

    def table(self) -> int:
        return next(self._tables)


def environment() -> Environment:
    pages = Environment(
        loader=FileSystemLoader(_TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters.update(plain=plain, fraction=fraction, count=count)
    pages.globals.update(pm=plus_minus)
    return pages
