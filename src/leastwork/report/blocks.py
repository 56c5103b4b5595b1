"""What a report is made of: sections of text, tables and images."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from leastwork.errors import LeastworkError

__all__ = ["Image", "Section", "Table"]

_KINDS = {b"\x89PNG\r\n": "png", b"<svg": "svg+xml", b"<?xml": "svg+xml"}


@dataclass(frozen=True)
class Image:
    """A figure.

    Args:
        data: the bytes of a PNG or SVG file, or the data URI that :func:`leastwork.report.figures.image` makes.
        caption: what it shows, sentences.
        alt: the same in a few words, for those who do not see it.

    Raises:
        LeastworkError: the data are of another kind.
    """

    data: bytes | str
    caption: str
    alt: str

    def __post_init__(self) -> None:
        if not self.source.startswith("data:image/"):
            raise LeastworkError(f"figure {self.alt!r} is no PNG, no SVG and no data URI: pass the bytes of the file")

    @property
    def source(self) -> str:
        """A data URI, which stands in the page itself."""
        if isinstance(self.data, str):
            return self.data
        kind = next((kind for mark, kind in _KINDS.items() if self.data.lstrip().startswith(mark)), None)
        return "" if kind is None else f"data:image/{kind};base64,{base64.b64encode(self.data).decode('ascii')}"


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        caption: what it shows, sentences.
        head: one for each column.
        rows: cells as text; :mod:`leastwork.support.numerals` writes numbers with their errors.
        text_columns: so many columns are text, the first ones; those of numbers come after and are set to the right.

    Raises:
        LeastworkError: a row with more or fewer cells than the head.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1

    def __post_init__(self) -> None:
        for i, row in enumerate(self.rows, 1):
            if len(row) != len(self.head):
                raise LeastworkError(f"row {i} of a table has {len(row)} cells for {len(self.head)} columns")


@dataclass(frozen=True)
class Section:
    """A section: paragraphs, then figures, then tables."""

    title: str
    paragraphs: Sequence[str] = ()
    images: Sequence[Image] = ()
    tables: Sequence[Table] = ()
