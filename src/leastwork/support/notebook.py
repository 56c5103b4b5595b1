"""A progress bar below the cell of a notebook, of HTML alone, so that it needs no widgets."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from importlib import import_module

__all__ = ["in_notebook", "notebook_bar"]

_BETWEEN = 0.2  # seconds between two updates of what is shown


def in_notebook() -> bool:
    """Whether a kernel of a notebook runs this program.

    >>> in_notebook()
    False
    """
    return "ipykernel" in sys.modules and import_module("IPython").get_ipython() is not None


@contextmanager
def notebook_bar(label: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """A bar that is told how many steps are done and a few words; it vanishes at the end."""
    shown = import_module("IPython.display")

    def html(done: int, words: str) -> object:
        text = f"{escape(label)}: {done} of {total} {escape(words)}"
        return shown.HTML(f'<label>{text} <progress max="{total}" value="{done}"></progress></label>')

    handle = shown.display(html(0, ""), display_id=True)
    last = time.monotonic()

    def show(done: int, words: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _BETWEEN or done >= total:
            last = time.monotonic()
            handle.update(html(done, words))

    try:
        yield show
    finally:
        handle.update(shown.HTML(""))
