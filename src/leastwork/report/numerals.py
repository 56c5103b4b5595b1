"""Numbers as a report writes them."""

from leastwork.support.numerals import count, fraction, plain, plus_minus

__all__ = ["count", "fraction", "plain", "plus_minus"]
