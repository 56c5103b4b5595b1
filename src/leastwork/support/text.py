"""What messages about bad input have in common: numbers of things, and the word that was meant."""

import difflib
from collections.abc import Sequence

__all__ = ["nearest", "plural"]


def plural(count: int, noun: str) -> str:
    """The noun with its number.

    >>> plural(1, "row"), plural(3, "row")
    ('1 row', '3 rows')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def nearest(word: str, known: Sequence[str]) -> str:
    """A clause that suggests the nearest known word, or lists them all.

    >>> nearest("stepz", ["n", "steps"])
    ": did you mean 'steps'?"
    """
    close = difflib.get_close_matches(word, known, n=1)
    return f": did you mean {close[0]!r}?" if close else f": known are {', '.join(known)}"
