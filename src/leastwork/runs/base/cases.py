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
A module that registers builders of the package's own systems is imported by :mod:`leastwork.runs.page`.

Text is text: it is escaped, and "k_BT" is set as in the rest of the page. Figures and tables are numbered along.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from leastwork.report.blocks import Section
from leastwork.runs.base.finished import Finished
from leastwork.runs.joint.finished import FinishedJoint

__all__ = ["joint_sections", "part_sections", "register"]


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
