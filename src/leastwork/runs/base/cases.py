"""Cases: what is known of a system that runs are about, found by the name that run files give it.

A case is a :class:`Case`, all of whose parts are optional: the shape of its states, quantities that a run file may name
as observables, exact answers, and sections of the report that only those who know the system can show::

    def profile(run: Finished) -> list[Section]:
        rmsd = deviation(run.ensemble.x)                        # run.config, run.metrics, run.plots and run.folder, too
        picture = Image(figures.image(draw, 7.2, 2.5), caption="The free energy along the RMSD.", alt="Two wells")
        return [Section("Free energy", ["Errors are one standard error."], [picture])]

    register_case("hairpin", Case(event_shape=(12, 3), part=profile))

A run file then says ``system: hairpin``. A package makes a case known to every process, the command line included, by
an entry point ``hairpin = "package.module:CASE"`` of the group ``leastwork.cases``. The cases of this package are found
in ``leastwork.cases.<folder>.case``, in a dictionary ``CASES``; a module is imported when its case is asked for.

Sections are made from a finished run, as its folder holds it, and from nothing else, so that ``leastwork report`` makes
the same page again. Their text is escaped, and figures and tables are numbered along with the rest of the page.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, TypeAlias

import torch
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError
from torch import Tensor

from leastwork.errors import ConfigError
from leastwork.geometry.state import EventShape
from leastwork.observables import Backbone, Observable
from leastwork.report.blocks import Section
from leastwork.runs.base.kinds import RegionKind
from leastwork.support.text import quoted
from leastwork.systems.line import LineDensity

if TYPE_CHECKING:
    from leastwork.runs.base.finished import Finished, FinishedJoint

__all__ = [
    "Case",
    "CaseName",
    "GroupMeans",
    "RegionTruth",
    "all_cases",
    "case",
    "check_shape",
    "find_case",
    "joint_sections",
    "part_sections",
    "register_case",
]

_GROUP = "leastwork.cases"  # of entry points
_FOLDER = Path(__file__).parents[2] / "cases"


class RegionTruth(Protocol):
    """The truth about a region: ln p(A), and draws of the true distribution given A."""

    source: str
    """Whose truth, and how it was found."""

    @property
    def log_probability(self) -> float: ...
    def sample(self, n: int, generator: torch.Generator) -> Tensor: ...


PartBuilder: TypeAlias = Callable[["Finished"], Sequence[Section]]
JointBuilder: TypeAlias = Callable[["FinishedJoint"], Sequence[Section]]


@dataclass(frozen=True)
class GroupMeans:
    """Averages that are derived from the columns of a case's reported observable.

    Args:
        key: the name of their list in the quality of metrics.json.
        values: makes the columns to be averaged, (B, L), from those of the reported observable, (B, K).
        labels: what stands before the averages in each of the L entries.
    """

    key: str
    values: Callable[[Tensor], Tensor]
    labels: Sequence[Mapping[str, object]]


@dataclass(frozen=True)
class Case:
    """The knowledge about a system; a part that is not given is unknown, and whatever needs it is left out.

    Args:
        event_shape: the shape of its states.
        observables: quantities that a run file names by ``kind: <case>`` and ``quantity: <name>``, each a function that
            builds the observable; the first is taken where a file names none.
        reported: builds the observable whose averages are reported without data.
        means: derives further averages from the reported observable.
        backbone: says which atoms of a state are the backbone, for couplings.
        density: builds the exact density on a line that averages are compared with.
        model_density: builds the exact density of the bundled model of the same name, in data units; its guidance of
            least work is the ceiling of the efficiency.
        region_kinds: settings of regions that a run file may name; the name of each begins with that of the case.
        region_truth: takes a membership test and gives the truth about its region, or None where nothing is known.
        part: builds the sections that the report of a run of this system has besides its own.
        joint: builds the sections of a joint run whose parts are all of this system; they come before its parts.
    """

    event_shape: EventShape | None = None
    observables: Mapping[str, Callable[[], Observable]] = field(default_factory=dict)
    reported: Callable[[], Observable] | None = None
    means: Callable[[], GroupMeans] | None = None
    backbone: Callable[[], Backbone] | None = None
    density: Callable[[], LineDensity] | None = None
    model_density: Callable[[], LineDensity] | None = None
    region_kinds: Sequence[type[RegionKind]] = ()
    region_truth: Callable[[Callable[[Tensor], Tensor]], RegionTruth | None] | None = None
    part: PartBuilder | None = None
    joint: JointBuilder | None = None


_REGISTERED: dict[str, Case] = {}


def register_case(name: str, case: Case) -> None:
    """Make a case known in this process, as a script of one's own needs it.

    Parts of a joint run that are carried out side by side have processes of their own; a case is known there if the
    script registers it whenever it is imported, or by an entry point.

    Args:
        name: the name that run files give it.
        case: what is known; it replaces any other case of the name.
    """
    _REGISTERED[name] = case


def case(name: str) -> Case:
    """The case of a name.

    Raises:
        ConfigError: there is none.
    """
    found = find_case(name)
    if found is None:
        raise ConfigError(f"there is no system {quoted(name)}: {_known()}")
    return found


def find_case(name: str) -> Case | None:
    """The case of a name, or None: one registered in this process, of another package, or of this one."""
    if name in _REGISTERED:
        return _REGISTERED[name]
    for entry in entry_points(group=_GROUP, name=name):
        return _of_package(name, entry.load())
    folders = sorted(_folders(), key=lambda folder: folder != name)  # a folder of that name is asked first
    return next((cases[name] for folder in folders if name in (cases := _of_folder(folder))), None)


def all_cases() -> dict[str, Case]:
    """Every case by its name, in alphabetical order; this imports all of them."""
    found = {name: each for folder in _folders() for name, each in _of_folder(folder).items()}
    found |= {entry.name: _of_package(entry.name, entry.load()) for entry in entry_points(group=_GROUP)}
    found |= _REGISTERED
    return dict(sorted(found.items()))


def _of_package(name: str, found: object) -> Case:
    if not isinstance(found, Case):
        raise ConfigError(
            f"entry point {name!r} of group {_GROUP!r} is a {type(found).__name__} and no Case: mend or remove the "
            "package that has it"
        )
    return found


def _folders() -> list[str]:
    return sorted(file.parent.name for file in _FOLDER.glob("*/case.py"))


def _of_folder(folder: str) -> Mapping[str, Case]:
    return import_module(f"leastwork.cases.{folder}.case").CASES


def _known() -> str:
    return f"known are {', '.join(all_cases())}"


def _checked(name: str) -> str:
    if find_case(name) is None:
        raise PydanticCustomError("unknown_name", "{known}", {"known": _known()})
    return name


CaseName = Annotated[str, AfterValidator(_checked)]
"""A key of a run file that names a case."""


def check_shape(system: str | None, model: str, event_shape: EventShape) -> None:
    """Check that a model's states have the shape of those of a system.

    Raises:
        ConfigError: the shapes differ, or there is no such system.
    """
    shape = None if system is None else case(system).event_shape
    if shape is not None and shape != event_shape:
        raise ConfigError(
            f"system {system} has events {shape}, but model {quoted(model)} {event_shape}: leave out system"
        )


def part_sections(run: "Finished") -> Sequence[Section]:
    """Sections that a run's system adds to its report."""
    builder = None if run.config.system is None else case(run.config.system).part
    return () if builder is None else builder(run)


def joint_sections(run: "FinishedJoint") -> Sequence[Section]:
    """Sections that the system which all parts have in common adds to the report of a joint run."""
    (system, *others) = {one.system for one in run.config.parts.values()}
    builder = None if system is None or others else case(system).joint
    return () if builder is None else builder(run)
