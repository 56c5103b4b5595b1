"""One page on several runs: what was asked of each, what came of it, its checks, and averages that they share.

``comparison.html`` stands in the folder that holds them all, ``index.html`` in a folder of runs.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from leastwork.errors import ConfigError, WriteError
from leastwork.report import figures
from leastwork.report.blocks import Check, Image, Mark, Section, Table, Words
from leastwork.report.render import Numbering, environment, render_page
from leastwork.runs.base.finished import Finished
from leastwork.runs.files_of_run import LinkedFile
from leastwork.runs.joint.kinds import kind_of_run
from leastwork.runs.joint.sections import overview
from leastwork.runs.observables.averages import distances_of
from leastwork.runs.observables.numbers import ObservableRow, observable_numbers
from leastwork.runs.page import write_report
from leastwork.runs.read import read_finished, read_joint
from leastwork.sampling.work import ON_TARGET
from leastwork.support.files import write_text
from leastwork.support.numerals import count, plus_minus

__all__ = ["write_pages"]

_LIGHTS = {"good": "● good", "doubtful": "▲ doubtful", "bad": "■ not good", "unknown": "○ not known"}
_IN_WORDS = ("model", "method", "asked", "reached")
_DRAWN_RUNS = 4  # each with a colour and a marker of its own
_DRAWN = 30  # observables
_SHOWN = 3  # runs that are named


@dataclass(frozen=True)
class _Run:
    """A finished run: its name on the page, the folder of its page, and its checks and number of warnings."""

    name: str
    page: Path
    run: Finished[Any]
    checks: Sequence[Check]
    warnings: int


def write_pages(folders: Sequence[Path]) -> Path:
    """Make the report of a run, one page on several runs, or the index of a folder of runs.

    Args:
        folders: of finished runs, or one that holds such folders.

    Returns:
        Path: the page.

    Raises:
        ConfigError: a folder holds no finished run.
        WriteError: the page cannot be written.
    """
    (first, *others) = folders
    if others:
        return _write(_parent(folders) / "comparison.html", "Runs side by side", folders, ())
    if (first / "config.yaml").exists() or not first.is_dir():
        return write_report(first)
    found = sorted(file.parent for file in first.glob("*/config.yaml"))
    if not found:
        return write_report(first)
    return _write(first / "index.html", f"Runs of {first.resolve().name}", found, _unfinished(found))


def _parent(folders: Sequence[Path]) -> Path:
    """The folder that holds all of them."""
    above = {folder.resolve().parent for folder in folders}
    return Path(os.path.commonpath(sorted(above)))


def _unfinished(folders: Sequence[Path]) -> list[tuple[str, str]]:
    """The folders whose runs are not finished, each with the reason."""
    found = []
    for folder in folders:
        try:
            read_joint(folder) or read_finished(folder)
        except ConfigError as error:
            found.append((folder.name, str(error)))
    return found


def _write(path: Path, title: str, folders: Sequence[Path], unfinished: Sequence[tuple[str, str]]) -> Path:
    left = {name for name, _ in unfinished}
    runs = [run for folder in folders if folder.name not in left for run in _runs_of(folder, path.parent)]
    number = Numbering()
    sections = [*_sections(runs), *_of_unfinished(unfinished)]
    body = environment().get_template("sections.html.j2").render(sections=sections, number=number, level=2)
    reports = [
        LinkedFile(one.name, f"./{quote(os.path.relpath(one.page / 'report.html', path.parent))}", _of(one))
        for one in runs
        if (one.page / "report.html").exists()
    ]
    page = render_page("several.html.j2", number, title=title, reports=reports, body=body)
    try:
        write_text(path, page)
    except OSError as error:
        raise WriteError(f"{path} cannot be written ({error.strerror or error}): make room, and try again") from error
    return path


def _runs_of(folder: Path, beside: Path) -> list[_Run]:
    """The run of a folder, or each part of a joint run."""
    name, joint = os.path.relpath(folder.resolve(), beside.resolve()), read_joint(folder)
    parts = (
        {name: read_finished(folder)} if joint is None else {f"{name}/{key}": one for key, one in joint.parts.items()}
    )
    found = []
    for key, run in parts.items():
        part = kind_of_run(run.config).part(run)
        found.append(_Run(f"{name}/{key}" if key else name, run.folder, run, part.checks, len(part.warnings)))
    return found


def _of(one: _Run) -> str:
    description = one.run.config.description
    return description or kind_of_run(one.run.config).title(one.run.config)


def _sections(runs: Sequence[_Run]) -> list[Section]:
    if not runs:
        return [Section("Runs", ["No run here is finished."])]
    rows = overview([one.run for one in runs], [one.warnings for one in runs])
    in_words, in_numbers = ([row for row in rows if (row.label in _IN_WORDS) == told] for told in (True, False))
    came = Table(
        "What was asked of each run, and what came of it; ± one standard error.",
        ["run", *(row.label for row in in_words)],
        [[_name(one), *(row.cells[i] for row in in_words)] for i, one in enumerate(runs)],
        text_columns=1 + len(in_words),
    )
    cost = Table(
        "What it cost, and what it is worth; ± one standard error.",
        ["run", *(row.label for row in in_numbers)],
        [[_name(one), *(row.cells[i] for row in in_numbers)] for i, one in enumerate(runs)],
    )
    names = list(dict.fromkeys(check.name for one in runs for check in one.checks))
    lights = Table(
        "The checks of each run; its own report says what decides them, and what to do.",
        ["run", *names],
        [[_name(one), *(_light(one, name) for name in names)] for one in runs],
        text_columns=1 + len(names),
    )
    return [Section("Runs", tables=[came, lights, cost]), *_averages(runs)]


def _name(one: _Run) -> Words:
    return (Mark(one.name, "name"),)


def _light(one: _Run, name: str) -> str:
    return next((_LIGHTS[check.state] for check in one.checks if check.name == name), "–")


def _averages(runs: Sequence[_Run]) -> list[Section]:
    """Averages of those observables that more than one run has."""
    having: dict[str, dict[str, tuple[_Run, ObservableRow]]] = {}
    for one in runs:
        if one.run.metrics["observables"]:
            for row in observable_numbers(one.run.metrics).observables:
                having.setdefault(row.name, {})[one.name] = (one, row)
    shared = {name: rows for name, rows in having.items() if len(rows) > 1}
    if not shared:
        return []
    named = [one.name for one in runs if any(one.name in rows for rows in shared.values())]
    table = Table(
        "Averages after guidance, or after reweighting, ± one standard error, of observables that runs have in common. "
        "The datum is that of the first run that has one.",
        ["observable", "datum", *((Mark(name, "name"),) for name in named)],
        [
            [(Mark(name, "name"),), _datum(rows), *(_after(rows.get(one)) for one in named)]
            for name, rows in shared.items()
        ],
    )
    drawn = named[:_DRAWN_RUNS]
    image = Image(
        figures.observables(
            [_distances(name, rows) for name, rows in list(shared.items())[:_DRAWN]], ON_TARGET, kinds=drawn
        ),
        f"The same averages of {_in_words(drawn, len(named))}, as distances from the datum in standard deviations of "
        f"the observable{_some(len(shared))}.",
        "Averages of several runs as distances from the data",
    )
    return [Section("Averages", [], [image], [table])]


def _in_words(drawn: Sequence[str], of: int) -> str:
    return f"{count(of)} runs" if len(drawn) == of else f"the first {count(len(drawn))} of {count(of)} runs"


def _some(number: int) -> str:
    return f"; the first {_DRAWN} of {count(number)} observables are drawn" if number > _DRAWN else ""


def _datum(rows: dict[str, tuple[_Run, ObservableRow]]) -> str:
    return next((plus_minus(row.target, row.error) for _, row in rows.values() if row.target is not None), "–")


def _after(found: tuple[_Run, ObservableRow] | None) -> str:
    if found is None:
        return "–"
    one, row = found
    after = row.after(one.run.config.chosen.guides)
    return plus_minus(after.value, after.stderr)


def _distances(name: str, rows: dict[str, tuple[_Run, ObservableRow]]) -> dict[str, Any]:
    """A row of the figure: the average after each run, from the datum of the first."""
    (_, first), *_ = rows.values()
    shown = distances_of(first)
    own = {
        key: distance
        for key, (one, row) in rows.items()
        if (distance := distances_of(row).get("guided" if one.run.config.chosen.guides else "reweighted")) is not None
    }
    return {"label": shown["label"], "error": shown["error"], "optimum": None, **own}


def _of_unfinished(unfinished: Sequence[tuple[str, str]]) -> list[Section]:
    if not unfinished:
        return []
    table = Table(
        "Folders of runs that are not finished, or cannot be read.",
        ["folder", "reason"],
        [[(Mark(name, "name"),), (Mark(reason, "name"),)] for name, reason in unfinished],
        text_columns=2,
    )
    more = len(unfinished) - _SHOWN
    named = ", ".join(name for name, _ in unfinished[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return [Section("Not finished", [f"Left out: {named}."], [], [table])]
