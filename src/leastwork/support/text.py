"""What messages about bad input have in common: numbers of things, and the word that was meant."""

import difflib
import reprlib
from collections.abc import Sequence

__all__ = ["brief", "nearest", "plural", "quoted"]

_SHOWN = 80  # characters of what is refused that a message quotes
_TOLD = 120  # characters of what another program says
_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxlist, _BRIEF.maxdict, _BRIEF.maxtuple = 4, 10, 10, 10
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = _SHOWN


def plural(count: int, noun: str) -> str:
    """The noun with its number.

    >>> plural(1, "row"), plural(3, "row")
    ('1 row', '3 rows')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def quoted(value: object) -> str:
    """What was given, on one line of bounded length, however long or deep it is.

    >>> quoted("a b"), len(quoted("9" * 5000)), quoted([[1, 2.5]])
    ("'a b'", 80, '[[1, 2.5]]')
    """
    if isinstance(value, str):
        text = repr(value[: 2 * _SHOWN])
    elif isinstance(value, int) and value.bit_length() > 8 * _SHOWN:
        text = f"a number of {value.bit_length()} bits"
    else:
        text = _BRIEF.repr(value)
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def brief(told: object) -> str:
    """What another program says of an error, on one line of bounded length."""
    line = " ".join(str(told).split())
    return line if len(line) <= _TOLD else line[: _TOLD - 1] + "…"


def nearest(word: str, known: Sequence[str]) -> str:
    """A clause that suggests the nearest known word, or lists them all.

    >>> nearest("stepz", ["n", "steps"])
    ": did you mean 'steps'?"
    """
    close = difflib.get_close_matches(word[:_SHOWN], known, n=1)
    return f": did you mean {close[0]!r}?" if close else f": known are {', '.join(known)}"
