"""What a run says before it begins: what is asked of which model, what comes out and where, and when it will end."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from leastwork.runs.base.forecast import seconds_of, seconds_of_learning
from leastwork.runs.base.job import Job
from leastwork.runs.base.settings import AnyConfig
from leastwork.sampling.step_error import PAIRS
from leastwork.sampling.step_loss import PATHS
from leastwork.support.numerals import count, duration
from leastwork.support.outlook import Phases, with_outlook
from leastwork.support.progress import Progress

__all__ = ["CERTIFICATE", "CHECKS", "FIT", "REPORT", "SAMPLES", "opened"]

FIT, SAMPLES, CERTIFICATE, CHECKS, REPORT = "fit", "samples", "certificate", "checks", "report"
"""The phases of a run, with which the labels of its stages begin."""

_CHECKED = 3 * (PAIRS + PATHS)  # guided samples for whose cost both checks of the number of steps are had
_SECONDS_OF_A_REPORT = 10.0  # also where there is little to draw

Tasks = Mapping[str, tuple[AnyConfig, Job[Any]]]


def opened(
    folder: Path, tasks: Tasks, workers: int, tell: Callable[[str], None] | None, progress: Progress
) -> Progress:
    """Say what a run does and how long it will take.

    Args:
        folder: the folder of the run.
        tasks: the settings and the job of each part, by its name.
        workers: processes that carry the parts out; with more than one, side by side.
        tell: is told the sentences; None, and nothing is said or estimated.
        progress: shows the stages.

    Returns:
        Progress: the same progress, which also tells when each phase begins and how long is left.
    """
    if tell is None:
        return progress
    for sentence in _introduction(folder, tasks):
        tell(sentence)
    left = {part: one for part, one in tasks.items() if not (folder / part / "metrics.json").exists()}
    phases = {part: _phases(folder / part, config, task) for part, (config, task) in left.items()}
    side_by_side = workers > 1 and len(tasks) > 1
    if phases:
        each = [sum(one or 0.0 for one in seconds.values()) for seconds in phases.values()]
        total = duration(max(each) if side_by_side else sum(each))
        unknown = [part or config.name for part, (config, _) in left.items() if phases[part].get(FIT, 0.0) is None]
        tell(
            f"This will take about {total} on this machine"
            + (f", and the fit of {', '.join(unknown)}, whose duration nobody knows beforehand." if unknown else ".")
        )
    return with_outlook(progress, phases, tell, side_by_side)


def _introduction(folder: Path, tasks: Tasks) -> list[str]:
    parts = len(tasks)
    found = [f"{count(parts)} parts:"] if parts > 1 else []
    for part, (config, task) in tasks.items():
        goal = f"{task.goal[0].upper()}{task.goal[1:]}" if not part else f"  {part}: {task.goal}"
        found.append(f"{goal}; {count(config.sampling.n)} samples are drawn and judged.")
    return [*found, f"Samples, numbers and a report to read, report.html, come into {folder}."]


def _phases(folder: Path, config: AnyConfig, task: Job[Any]) -> Phases:
    """The phases that are left of a part, with what is expected of them."""
    one = seconds_of(task.model, 1)
    each = (2 * config.sampling.steps + 1) * one  # seconds of a guided sample
    found: dict[str, float | None] = {}
    if not (folder / "fit").exists():
        found[FIT] = None if task.budget is None else task.budget * one + seconds_of_learning(task.model)
    found[SAMPLES] = config.sampling.n * each
    if config.certificate_samples is not None:
        found[CERTIFICATE] = config.certificate_samples * each
    return {**found, CHECKS: _CHECKED * each, REPORT: _SECONDS_OF_A_REPORT}
