"""Building blocks of a report: a part for each run, with sections of text, tables and images.

Text is a plain string, or a sequence of plain strings and :class:`Mark` if some words have another style. All of it is
escaped. In plain strings the templates set "k_BT" as a formula and keep numbers together with their errors and units.
"""

import base64
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from leastwork.errors import LeastworkError
from leastwork.report.drawing import Drawing
from leastwork.report.structures import Structures

__all__ = ["Check", "Fact", "Image", "Mark", "Part", "Section", "State", "Table", "Words", "italic"]

_KINDS = {b"\x89PNG\r\n": "png", b"<svg": "svg+xml", b"<?xml": "svg+xml"}


@dataclass(frozen=True)
class Mark:
    """Words with a style of their own, which are shown without changes.

    Args:
        text: the words.
        style: ``italic`` for a variable, ``raised`` for an exponent, ``quiet`` for an aside in grey, ``tag`` for a
            label in a box, ``name`` for a name that somebody gave, which may be long and is broken anywhere.
    """

    text: str
    style: Literal["italic", "raised", "quiet", "tag", "name"]


Words: TypeAlias = str | Sequence[str | Mark]
"""Text, parts of which may have a style."""


def italic(variable: str) -> Mark:
    """The symbol of a variable."""
    return Mark(variable, "italic")


@dataclass(frozen=True)
class Image:
    """A figure.

    Args:
        data: the drawing that :func:`leastwork.report.figures.image` makes, whose numbers are offered to the reader and
            which takes the colours of the page; or the bytes of a PNG or SVG file, or a data URI.
        caption: sentences that say what the figure shows.
        alt: a short description for readers who cannot see the figure.

    Raises:
        LeastworkError: the data are of another kind.
    """

    data: Drawing | bytes | str
    caption: Words
    alt: str

    def __post_init__(self) -> None:
        if self.drawing is None and not self.source.startswith("data:image/"):
            raise LeastworkError(f"figure {self.alt!r} is no PNG, no SVG and no data URI: pass the bytes of the file")

    @property
    def drawing(self) -> Drawing | None:
        """The drawing, if the figure is one."""
        return self.data if isinstance(self.data, Drawing) else None

    @property
    def source(self) -> str:
        """A data URI, which is embedded in the page; empty for a drawing."""
        if isinstance(self.data, str):
            return self.data
        if isinstance(self.data, Drawing):
            return ""
        kind = next((kind for mark, kind in _KINDS.items() if self.data.lstrip().startswith(mark)), None)
        return "" if kind is None else f"data:image/{kind};base64,{base64.b64encode(self.data).decode('ascii')}"


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        caption: sentences that say what the table shows.
        head: a title for each column.
        rows: cells as text; :mod:`leastwork.support.numerals` writes numbers with their errors.
        text_columns: number of columns of text, which come first; columns of numbers follow and are set to the right.
        grey_rows: indices of the rows that are set in grey.

    Raises:
        LeastworkError: a row with more or fewer cells than the head.
    """

    caption: Words
    head: Sequence[Words]
    rows: Sequence[Sequence[Words]]
    text_columns: int = 1
    grey_rows: Collection[int] = ()

    def __post_init__(self) -> None:
        for i, row in enumerate(self.rows, 1):
            if len(row) != len(self.head):
                raise LeastworkError(f"row {i} of a table has {len(row)} cells for {len(self.head)} columns")


@dataclass(frozen=True)
class Section:
    """A section: paragraphs, then structures, figures and tables."""

    title: str
    paragraphs: Sequence[Words] = ()
    images: Sequence[Image] = ()
    tables: Sequence[Table] = ()
    structures: Sequence[Structures] = ()


@dataclass(frozen=True)
class Fact:
    """One number of the strip at the top of a report, with the unit that stands behind it."""

    label: str
    value: str
    unit: str = ""


State: TypeAlias = Literal["good", "doubtful", "bad", "unknown"]
"""What a check found."""


@dataclass(frozen=True)
class Check:
    """A traffic light: one question to the run, what was found, and what to do if it is not good.

    Args:
        name: what is checked, in a few words.
        state: green, yellow, red, or no light at all.
        finding: a sentence with the number that decides.
        remedy: what to do, in the imperative; empty if nothing is to be done.
    """

    name: str
    state: State
    finding: Words
    remedy: str = ""


@dataclass(frozen=True)
class Part:
    """The part of a report on one run, below the name of the run.

    Args:
        kind: the kind of run, in a few words.
        outcome: one sentence that says what was asked, what was reached and what it cost.
        facts: up to four numbers that matter most.
        warnings: sentences that say what to beware of, each with a remedy.
        sections: the body.
        methods: a paragraph to start a methods section from.
        settings: names and values of the settings that shape the numbers.
        asked: sentences for the first screen, in plain words: what was asked.
        met: whether that is met.
        believe: what to believe, and what not.
        checks: the checks of the run, in the order of their weight.
        cited: numbers of the works in :mod:`leastwork.report.works` that the part rests on.
    """

    kind: str
    outcome: str
    facts: Sequence[Fact]
    warnings: Sequence[str]
    sections: Sequence[Section]
    methods: str
    settings: Sequence[tuple[str, str]]
    asked: Sequence[Words] = ()
    met: Sequence[Words] = ()
    believe: Sequence[Words] = ()
    checks: Sequence[Check] = ()
    cited: Sequence[str] = ()
