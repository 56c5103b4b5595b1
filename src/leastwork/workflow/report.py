"""One page that says what a run did, what it cost and what it is worth; made from the run's folder alone."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from leastwork.storage import write_text
from leastwork.workflow import observable_report, path_report
from leastwork.workflow.finished import read_finished
from leastwork.workflow.numerals import count, fraction, plain, plus_minus
from leastwork.workflow.path_config import PathConfig

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
    run = read_finished(Path(folder))
    if isinstance(run.config, PathConfig):
        template, shown = "path.html.j2", path_report.context(run, run.config)
    else:
        template, shown = "observables.html.j2", observable_report.context(run, run.config)
    pages = Environment(
        loader=FileSystemLoader(_TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters.update(plain=plain, fraction=fraction, count=count)
    pages.globals.update(pm=plus_minus)
    page = pages.get_template(template).render(config=run.config, metrics=run.metrics, **shown)
    write_text(path, page)
    return path
