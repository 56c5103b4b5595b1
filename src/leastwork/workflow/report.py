"""One page that says what a run did, what it cost and what it is worth; made from the run's folder alone.

A joint run has one page, too: its parts side by side in a table, and then what each would have on its own page.
"""

from itertools import count as count_from
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import leastwork.workflow.ala5_sections
import leastwork.workflow.chignolin_sections  # noqa: F401  registers its sections
from leastwork.storage import write_text
from leastwork.workflow import couplings_sections, observable_report, path_report
from leastwork.workflow.finished import Finished, read_finished
from leastwork.workflow.joint_finished import FinishedJoint, read_joint
from leastwork.workflow.joint_report import introduction, overview
from leastwork.workflow.numerals import count, fraction, plain, plus_minus
from leastwork.workflow.path_config import PathConfig
from leastwork.workflow.sections import joint_sections, part_sections

__all__ = ["write_report"]

_TEMPLATES = Path(__file__).with_name("templates")


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


class _Numbering:
    """Figures and tables are numbered as they come, through all parts of a page."""

    def __init__(self) -> None:
        self._figures, self._tables = count_from(1), count_from(1)

    def figure(self) -> int:
        return next(self._figures)

    def table(self) -> int:
        return next(self._tables)


def _page(run: Finished) -> str:
    pages = _environment()
    shown = _shown(run)
    body = _body(pages, run, shown, _Numbering(), level=2)
    page = pages.get_template("page.html.j2")
    return page.render(config=run.config, metrics=run.metrics, kind=shown["kind"], body=body)


def _joint_page(run: FinishedJoint) -> str:
    """Whatever carries a number is rendered in the order in which it stands."""
    pages, number = _environment(), _Numbering()
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


def _shown(run: Finished) -> dict[str, Any]:
    """What the templates show of a run."""
    config = run.config
    return (
        path_report.context(run, config) if isinstance(config, PathConfig) else observable_report.context(run, config)
    )


def _body(pages: Environment, run: Finished, shown: dict[str, Any], number: _Numbering, level: int) -> str:
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


def _environment() -> Environment:
    pages = Environment(
        loader=FileSystemLoader(_TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters.update(plain=plain, fraction=fraction, count=count)
    pages.globals.update(pm=plus_minus)
    return pages
