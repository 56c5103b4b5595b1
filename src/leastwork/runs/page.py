"""The page that reports a run: its results, their cost and their quality, made from the run's folder alone.

A joint run has one page, too: its parts side by side in a table, and then what each would have on its own page.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from leastwork.errors import WriteError
from leastwork.report.blocks import Part
from leastwork.report.render import Numbering, environment, render_page
from leastwork.runs.base.cases import joint_sections, part_sections
from leastwork.runs.base.chains import chain_sections
from leastwork.runs.base.finished import Finished, FinishedJoint
from leastwork.runs.base.settings import AnyConfig
from leastwork.runs.files_of_run import LinkedFile, files_of
from leastwork.runs.joint.kinds import kind_of_run
from leastwork.runs.joint.sections import introduction, overview
from leastwork.runs.physical import physical_sections
from leastwork.runs.read import read_finished, read_joint
from leastwork.support.arguments import path_of
from leastwork.support.files import write_text

__all__ = ["write_report"]


def write_report(folder: str | Path) -> Path:
    """Make ``report.html`` of a finished run, again if need be.

    Args:
        folder: the folder of the run.

    Raises:
        ConfigError: the folder holds no finished run.
        WriteError: the page cannot be written.
    """
    folder = path_of("folder", folder)
    path, joint = folder / "report.html", read_joint(folder)
    page = _page(read_finished(folder)) if joint is None else _joint_page(joint)
    try:
        write_text(path, page)
    except OSError as error:
        what = error.strerror or str(error)
        raise WriteError(f"{path} cannot be written ({what}): make room, and then leastwork report {folder}") from error
    return path


def _page(run: Finished[AnyConfig]) -> str:
    number = Numbering()
    part = _part(run)
    body = _body(part, number, level=2, files=files_of(run.folder))
    return render_page(
        "run.html.j2", number, title=run.config.name, config=run.config, metrics=run.metrics, kind=part.kind, body=body
    )


def _joint_page(run: FinishedJoint) -> str:
    """The page of a joint run; numbered figures and tables are rendered in the order of the page."""
    number = Numbering()
    overview_number = number.table()
    whole = environment().get_template("sections.html.j2").render(sections=joint_sections(run), number=number, level=2)
    shown = {name: _part(one) for name, one in run.parts.items()}
    parts = [
        {
            "id": number.section(name, 2),
            "name": name,
            "config": one.config,
            "kind": shown[name].kind,
            "seed": one.metrics["seed"],
            "body": _body(shown[name], number, level=3, files=files_of(one.folder, name)),
        }
        for name, one in run.parts.items()
    ]
    return render_page(
        "joint.html.j2",
        number,
        title=run.config.name,
        config=run.config,
        introduction=introduction(run),
        overview=overview(list(run.parts.values()), [len(part.warnings) for part in shown.values()]),
        overview_number=overview_number,
        whole=whole,
        parts=parts,
    )


def _part(run: Finished[AnyConfig]) -> Part:
    """The content of a run's report, with the sections of its case, or else the structures that it has."""
    part = kind_of_run(run.config).part(run)
    own = part_sections(run)
    chains = [] if any(section.structures for section in own) else chain_sections(run)
    return replace(part, sections=[*part.sections, *physical_sections(run), *own, *chains])


def _body(part: Part, number: Numbering, level: int, files: Sequence[LinkedFile]) -> str:
    """The report of a run below its title, as HTML.

    Args:
        part: what the run shows.
        number: numbering of sections, figures and tables, which continues.
        level: level of its headings.
        files: files of the run, which are linked.
    """
    number.cite(part.cited)
    return environment().get_template("part.html.j2").render(part=part, number=number, level=level, files=files)
