"""Text of messages about bad input: plurals, quotations, the word that was probably meant."""

import difflib
import reprlib
import unicodedata
from collections.abc import Sequence

__all__ = ["as_known", "brief", "nearest", "plural", "quoted"]

_MOST_QUOTED = 80  # characters of what is refused that a message quotes
_MOST_TOLD = 120  # characters of what another program says
_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxlist, _BRIEF.maxdict, _BRIEF.maxtuple = 4, 10, 10, 10
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = _MOST_QUOTED


def plural(count: int, noun: str) -> str:
    """The noun with its number.

    >>> plural(1, "row"), plural(3, "row")
    ('1 row', '3 rows')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def quoted(value: object) -> str:
    """A value on one line of bounded length, however long or deep it is.

    >>> quoted("a b"), len(quoted("9" * 5000)), quoted([[1, 2.5]])
    ("'a b'", 80, '[[1, 2.5]]')
    """
    if isinstance(value, str):
        text = repr(value[: 2 * _MOST_QUOTED])
    elif isinstance(value, int) and value.bit_length() > 8 * _MOST_QUOTED:
        text = f"a number of {value.bit_length()} bits"
    else:
        text = _BRIEF.repr(value)
    line = " ".join(text.split())
    return line if len(line) <= _MOST_QUOTED else line[: _MOST_QUOTED - 1] + "…"


def brief(told: object) -> str:
    """The message of an error of another program, on one line of bounded length."""
    line = " ".join(str(told).split())
    return line if len(line) <= _MOST_TOLD else line[: _MOST_TOLD - 1] + "…"


def as_known(word: str, known: Sequence[str]) -> str:
    """The known word that looks the same, as µ of a keyboard and μ of an alphabet do, or else the word itself.

    >>> as_known("\u03bcs", ["\u00b5s"]) == "\u00b5s", as_known("ms", ["s"])
    (True, 'ms')
    """
    alike = {unicodedata.normalize("NFKC", one): one for one in known}
    return word if word in known else alike.get(unicodedata.normalize("NFKC", word), word)


def nearest(word: str, known: Sequence[str]) -> str:
    """A clause that suggests the nearest known word, or lists them all.

    >>> nearest("stepz", ["n", "steps"])
    ": did you mean 'steps'?"
    """
    close = difflib.get_close_matches(word[:_MOST_QUOTED], known, n=1)
    return f": did you mean {close[0]!r}?" if close else f": known are {', '.join(known)}"
