"""Objects as tables in a notebook: what ``_repr_html_`` returns. All text is escaped."""

from collections.abc import Sequence
from html import escape

from leastwork.support.numerals import count
from leastwork.support.text import brief

__all__ = ["html_table"]

_MOST_ROWS = 60  # of a table that a notebook shows


def html_table(caption: str, rows: Sequence[Sequence[object]], header: Sequence[str] = ()) -> str:
    """A table with a caption, as HTML in which every cell is escaped; of a long table the first 60 rows.

    Args:
        caption: stands above the table.
        rows: cells, of which the first of a row names it.
        header: names of the columns.

    >>> html_table("<b>", [("x", 1)])
    '<table><caption>&lt;b&gt;</caption><tbody><tr><th scope="row">x</th><td>1</td></tr></tbody></table>'
    """
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in header)
    body = [
        f'<tr><th scope="row">{_text(first)}</th>' + "".join(f"<td>{_text(cell)}</td>" for cell in rest) + "</tr>"
        for first, *rest in rows[:_MOST_ROWS]
    ]
    if len(rows) > _MOST_ROWS:
        width = max(len(row) for row in rows)
        body.append(f'<tr><td colspan="{width}">and {count(len(rows) - _MOST_ROWS)} more</td></tr>')
    top = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f"<table><caption>{_text(caption)}</caption>{top}<tbody>{''.join(body)}</tbody></table>"


def _text(value: object) -> str:
    return escape(brief(value))
