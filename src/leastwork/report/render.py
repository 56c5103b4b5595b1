"""The page's templates, and the numbers of its tables and figures."""

from functools import cache
from itertools import count as count_from
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

__all__ = ["Numbering", "environment"]

_TEMPLATES = Path(__file__).with_name("templates")


class Numbering:
    """Figures and tables are numbered as they come, through all parts of a page."""

    def __init__(self) -> None:
        self._figures, self._tables = count_from(1), count_from(1)

    def figure(self) -> int:
        return next(self._figures)

    def table(self) -> int:
        return next(self._tables)


@cache
def environment() -> Environment:
    """The templates, compiled once; whatever they are given is escaped."""
    return Environment(
        loader=FileSystemLoader(_TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
