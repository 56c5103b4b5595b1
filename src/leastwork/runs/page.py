"""One page that says what a run did, what it cost and what it is worth; made from the run's folder alone.

A joint run has one page, too: its parts side by side in a table, and then what each would have on its own page.
"""

from pathlib import Path
from typing import Any

from jinja2 import Environment

from leastwork.report.render import Numbering, environment
from leastwork.runs.base.cases import joint_sections, part_sections
from leastwork.runs.base.finished import Finished, FinishedJoint
from leastwork.runs.joint.config import AnyRun
from leastwork.runs.joint.sections import introduction, overview
from leastwork.runs.observables import sections as observable_report
from leastwork.runs.observables.couplings import sections as couplings_sections
from leastwork.runs.path import sections as path_report
from leastwork.runs.path.config import PathConfig
from leastwork.runs.read import read_finished, read_joint
from leastwork.support.files import write_text

__all__ = ["write_report"]


def write_report(folder: str | Path) -> Path:
    """Make ``report.html`` of a finished run, again if need be.

    Args:
        folder: of the run.

    Raises:
        ConfigError: the folder holds no finished run.
    """
    path = Path(folder) / "report.html"
    joint = read_joint(Path(folder))
    page = _page(read_finished(Path(folder))) if joint is None else _joint_page(joint)
    write_text(path, page)
    return path


def _page(run: Finished[AnyRun]) -> str:
    pages = environment()
    shown = _shown(run)
    body = _body(pages, run, shown, Numbering(), level=2)
    page = pages.get_template("page.html.j2")
    return page.render(config=run.config, metrics=run.metrics, kind=shown["kind"], body=body)


def _joint_page(run: FinishedJoint) -> str:
    """Whatever carries a number is rendered in the order in which it stands."""
    pages, number = environment(), Numbering()
    overview_number = number.table()
    whole = pages.get_template("sections.html.j2").render(sections=joint_sections(run), number=number, level=2)
    shown = {part: _shown(one) for part, one in run.parts.items()}
    parts = [
        {
            "name": part,
            "config": one.config,
            "kind": shown[part]["kind"],
            "seed": one.metrics["seed"],
            "body": _body(pages, one, shown[part], number, level=3),
        }
        for part, one in run.parts.items()
    ]
    return pages.get_template("joint.html.j2").render(
        config=run.config,
        introduction=introduction(run),
        overview=overview(list(run.parts.values()), [len(one["warnings"]) for one in shown.values()]),
        overview_number=overview_number,
        whole=whole,
        parts=parts,
    )


def _shown(run: Finished[AnyRun]) -> dict[str, Any]:
    """What the templates show of a run."""
    config = run.config
    return (
        path_report.context(run, config) if isinstance(config, PathConfig) else observable_report.context(run, config)
    )


def _body(pages: Environment, run: Finished[AnyRun], shown: dict[str, Any], number: Numbering, level: int) -> str:
    """All of a run below its title.

    Args:
        pages: templates.
        run: a finished run.
        shown: of it.
        number: of figures and tables, which goes on.
        level: of its headings.
    """
    template = pages.get_template("path.html.j2" if isinstance(run.config, PathConfig) else "observables.html.j2")
    rest = {"sections": [*couplings_sections.sections(run), *part_sections(run)], "number": number, "level": level}
    return template.render(config=run.config, metrics=run.metrics, **shown, **rest)
