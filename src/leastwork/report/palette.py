"""Colours of a report, each on white and on black paper, told apart with any colour vision (after Okabe and Ito).

Lines and letters have a contrast of at least 4.5 : 1 to their paper. Figures are drawn in the colours of white paper.
On the page :func:`in_page_colours` puts the name of a colour in place of its value, and the page says what it means.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PALETTE",
    "PURPLE",
    "SHADES",
    "WHITE",
    "Colour",
    "in_page_colours",
]


@dataclass(frozen=True)
class Colour:
    """A colour on white paper and on black paper, as ``#rrggbb``."""

    light: str
    dark: str


PALETTE: Mapping[str, Colour] = {
    "paper": Colour("#ffffff", "#14171a"),
    "ink": Colour("#222222", "#e8e8e8"),
    "blue": Colour("#0072b2", "#5bb3ee"),
    "orange": Colour("#b94f00", "#f2955a"),
    "green": Colour("#007d5c", "#35c79c"),
    "purple": Colour("#a4437b", "#e59cc8"),
    "grey": Colour("#6b6b6b", "#9aa3ad"),
    "shade-1": Colour("#ececec", "#25292e"),
    "shade-2": Colour("#e6e6e6", "#2a2f35"),
    "shade-3": Colour("#d9d9d9", "#3a4148"),
    "shade-4": Colour("#c4c4c4", "#4d555e"),
    "shade-5": Colour("#b0b0b0", "#5d6670"),
    "amber": Colour("#8a5a00", "#e0b04c"),
    "red": Colour("#b3261e", "#f5938a"),
}
"""Colours by their names on the page; shades are areas and broad bands, from light to strong."""

WHITE, BLACK, BLUE, ORANGE, GREEN, PURPLE, GREY = (
    PALETTE[name].light for name in ("paper", "ink", "blue", "orange", "green", "purple", "grey")
)
SHADES = [PALETTE[f"shade-{i}"].light for i in range(1, 6)]

_NAMES = {colour.light: name for name, colour in PALETTE.items()}
_VALUE = re.compile("|".join(_NAMES))


def in_page_colours(markup: str) -> str:
    """Markup with the names of colours in place of their values on white paper.

    >>> in_page_colours('<path style="stroke: #0072b2"/>')
    '<path style="stroke: var(--blue)"/>'
    """
    return _VALUE.sub(lambda found: f"var(--{_NAMES[found[0]]})", markup)
