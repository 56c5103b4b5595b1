"""The page's templates, style and scripts, and the numbers of its sections, figures and tables."""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count as count_from
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from leastwork.report.drawing import Drawing
from leastwork.report.palette import PALETTE
from leastwork.report.works import WORKS, Work

__all__ = ["Heading", "Numbering", "environment", "render_page"]

_HERE = Path(__file__).parent
_VIEWER, _STRUCTURES = "vendor/3Dmol-min.js", "scripts/structures.js"
_SCRIPTS = ("scripts/contents.js", "scripts/words.js", "scripts/figures.js", "scripts/tables.js", "scripts/pages.js")
_CONTROL = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"} | {127: 0x2421}
_TURNING = dict.fromkeys((*range(8234, 8239), *range(8294, 8298)), 65533)


@dataclass(frozen=True)
class Heading:
    """A line of the contents: how deep, where, and its words."""

    level: int
    id: str
    title: str


class Numbering:
    """Sections, figures and tables are numbered as they come, through all parts of a page."""

    def __init__(self) -> None:
        self._figures, self._tables = count_from(1), count_from(1)
        self.contents: list[Heading] = []
        self.has_structures = False
        self.cited: list[str] = []

    def figure(self) -> int:
        return next(self._figures)

    def table(self) -> int:
        return next(self._tables)

    def section(self, title: str, level: int) -> str:
        """The place of a section, which joins the contents."""
        heading = Heading(level, f"s{len(self.contents) + 1}", title)
        self.contents.append(heading)
        return heading.id

    def cite(self, works: Sequence[str]) -> None:
        self.cited += [one for one in works if one not in self.cited]

    def structures(self) -> str:
        """Note that the page has structures, which need a viewer."""
        self.has_structures = True
        self.cite(["3dmol"])
        return ""


@cache
def environment() -> Environment:
    """The templates, compiled once; whatever they are given is escaped, and control characters are made visible."""
    found = Environment(
        loader=FileSystemLoader(_HERE / "templates", encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    found.globals |= {"drawing": _drawing, "as_json": _as_json, "with_states": _with_states}
    return found


def render_page(template: str, number: Numbering, **given: Any) -> str:
    """A whole page, with its style and those scripts that its content needs.

    Args:
        template: name of a template that extends ``page.html.j2``.
        number: the numbering that the content of the page was rendered with.
        given: what the template shows.
    """
    scripts = [_read(name) for name in (*_SCRIPTS, *([_STRUCTURES] if number.has_structures else []))]
    viewer = _read(_VIEWER) if number.has_structures else ""
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in (*scripts, *([viewer] if viewer else [])))
    works: list[Work] = [WORKS[name] for name in number.cited]
    return environment().get_template(template).render(
        number=number,
        works=works,
        palette=PALETTE,
        light={name: colour.light for name, colour in PALETTE.items()},
        style=Markup(_read("page.css")),
        scripts=[Markup(script) for script in scripts],
        viewer=Markup(viewer),
        hashes=Markup(hashes),
        **given,
    )  # fmt: skip


def _visible(value: Any) -> Any:
    """Text in which control characters are seen and none turns the direction of what follows."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return value.translate(_CONTROL).translate(_TURNING)
    return value


def _with_states(text: str) -> Markup:
    """Text in which the free energies F_A and F_B of two states are written as such."""
    return Markup(re.sub(r"\bF_([AB])\b", r"<i>F</i><sub>\1</sub>", str(escape(_visible(text)))))


def _drawing(drawing: Drawing, number: int, alt: str) -> Markup:
    """A figure's SVG, with its description."""
    svg = _visible(drawing.numbered(number))
    points = re.search(r'viewBox="\S+ \S+ (\S+)', svg)
    style = f' style="--points: {float(points[1]):g}"' if points else ""  # its width, so that letters have one size
    head = f'<svg role="img" aria-label="{escape(_visible(alt))}" class="drawing"{style}'
    return Markup(head + svg.removeprefix("<svg"))


def _as_json(value: Any) -> Markup:
    """Plain values for a script, which no text among them can end."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


@cache
def _read(name: str) -> str:
    """A file beside this one, whose lines end alike everywhere, since a page names the hash of its scripts."""
    return (_HERE / name).read_text(encoding="utf-8").replace("\r\n", "\n")


@cache
def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
