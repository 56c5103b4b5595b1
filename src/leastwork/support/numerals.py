"""A number and its error as one writes them: two digits of the error, and no more of the number than it supports."""

import math

__all__ = ["count", "duration", "fraction", "plain", "plus_minus"]

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def plus_minus(value: float | None, stderr: float | None = None) -> str:
    """Value ± standard error.

    >>> plus_minus(1.3, 1.2e-8)
    '1.300000000 ± 0.000000012'
    >>> plus_minus(0.38321, 0.0014), plus_minus(-1234.5, 12), plus_minus(3.1e-7, 2e-8), plus_minus(None)
    ('0.3832 ± 0.0014', '−1234 ± 12', '(3.10 ± 0.20) × 10⁻⁷', '–')
    """
    if value is None:
        return "–"
    if stderr is None or not stderr > 1e-9 * abs(value):  # exact, or the same for every sample
        return plain(value)
    decimals = 1 - int(f"{stderr:.1e}".split("e")[1])  # of the rounded error: 0.0009999 is 0.0010
    if decimals > 6 and max(abs(value), stderr) < 0.1:
        exponent = math.floor(math.log10(max(abs(value), stderr)))
        shifted = plus_minus(value / 10.0**exponent, stderr / 10.0**exponent)
        return f"({shifted}) × 10{str(exponent).translate(_SUPERSCRIPT)}"
    decimals = max(decimals, 0)
    return f"{value:.{decimals}f} ± {stderr:.{decimals}f}".replace("-", "−")


def plain(value: float | None, digits: int = 4) -> str:
    """A number without an error, to some digits.

    >>> plain(0.0959511), plain(-2.0), plain(1.5e-9), plain(20000)
    ('0.09595', '−2', '1.5 × 10⁻⁹', '20000')
    """
    if value is None:
        return "–"
    text = f"{value + 0.0:.{digits}g}"  # no −0
    if "e+" in text and abs(value) < 1e7:
        text = f"{value:.0f}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        text = f"{mantissa} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}"
    return text.replace("-", "−")


def fraction(value: float | None, stderr: float | None = None) -> str:
    """A fraction and its error in per cent.

    >>> fraction(0.7745, 0.0036), fraction(None)
    ('77.45 ± 0.36 %', '–')
    """
    if value is None:
        return "–"
    text = plus_minus(100 * value, None if stderr is None else 100 * stderr)
    return f"({text}) %" if "×" in text and not text.startswith("(") else f"{text} %"


def count(n: int) -> str:
    """A whole number with thousands set apart.

    >>> count(20000)
    '20,000'
    """
    return f"{n:,}"


def duration(seconds: float) -> str:
    """In words, coarse.

    >>> duration(12.3), duration(100.0), duration(8000.0)
    ('10 s', '1 min 40 s', '2 h 15 min')
    """
    if seconds < 60:
        return f"{max(10 * round(seconds / 10), 1)} s"
    if seconds < 3600:
        minutes, rest = divmod(10 * round(seconds / 10), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(15 * round(seconds / 900), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
