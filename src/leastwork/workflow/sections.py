"""Sections that a report has besides its own, for runs of one system: what only those who know it can show.

A builder makes them from a finished run, as its folder holds it, and from nothing else, so that ``leastwork report``
makes the same page again::

    def profile(run: Finished) -> list[Section]:
        rmsd = deviation(run.ensemble.x)                        # run.config, run.metrics, run.plots and run.folder, too
        picture = Image(figures.image(draw, 7.2, 2.5), caption="The free energy along the RMSD.", alt="Two wells")
        return [Section("Free energy", ["Errors are one standard error."], [picture])]

    register("chignolin", part=profile, joint=both_on_one_map)

``part`` is asked for every run whose ``system`` it is, on its own page and on that of a joint run. ``joint`` is asked
once for a joint run whose parts are all of the system, and gets them all: ``run.parts["stability"]`` is a finished run.
A module that registers builders of the package's own systems is imported by :mod:`leastwork.workflow.report`.

Text is text: it is escaped, and "k_BT" is set as in the rest of the page. Figures and tables are numbered along.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from leastwork.errors import LeastworkError
from leastwork.workflow.finished import Finished
from leastwork.workflow.joint_finished import FinishedJoint

__all__ = ["Image", "Section", "Table", "joint_sections", "part_sections", "register"]

_KINDS = {b"\x89PNG\r\n": "png", b"<svg": "svg+xml", b"<?xml": "svg+xml"}


@dataclass(frozen=True)
class Image:
    """A figure.

    Args:
        data: the bytes of a PNG or SVG file, or the data URI that :func:`leastwork.workflow.figures.image` makes.
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
        rows: cells as text; :mod:`leastwork.workflow.numerals` writes numbers with their errors.
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


PartBuilder: TypeAlias = Callable[[Finished], Sequence[Section]]
JointBuilder: TypeAlias = Callable[[FinishedJoint], Sequence[Section]]

_PART: dict[str, PartBuilder] = {}
_JOINT: dict[str, JointBuilder] = {}


def register(system: str, *, part: PartBuilder | None = None, joint: JointBuilder | None = None) -> None:
    """Have sections in the reports of a system.

    Args:
        system: as run files name it.
        part: makes those of a run.
        joint: makes those of a joint run as a whole, which come before its parts.

    A builder that was registered before for the system is replaced.
    """
    if part is not None:
        _PART[system] = part
    if joint is not None:
        _JOINT[system] = joint


def part_sections(run: Finished) -> Sequence[Section]:
    """Those of a run's system."""
    builder = _PART.get(run.config.system or "")
    return () if builder is None else builder(run)


def joint_sections(run: FinishedJoint) -> Sequence[Section]:
    """Those of the system that all parts have in common."""
    systems = {one.system for one in run.config.runs.values()}
    builder = _JOINT.get(systems.pop() or "") if len(systems) == 1 else None
    return () if builder is None else builder(run)
