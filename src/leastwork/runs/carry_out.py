"""One run: fit, draw, certify, report; every file is whole or not there, and what was finished is never redone.

The folder afterwards:  config.yaml · fit/ · guidance/ · ensemble.zarr · plots.safetensors · metrics.json · report.html
Of a joint run:  config.yaml · metrics.json · report.html, and a folder like that for each of its parts
"""

import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from torch import get_num_threads, set_num_threads

from leastwork.errors import ConfigError, LeastworkError, LeastworkWarning, WriteError
from leastwork.geometry.state import evenly, leaves, shapes
from leastwork.models.files import fingerprint
from leastwork.runs.base import job
from leastwork.runs.base.finished import write_metrics
from leastwork.runs.base.forecast import duration, seconds_of
from leastwork.runs.base.job import Job
from leastwork.runs.base.numbers import step_metrics, versions
from leastwork.runs.base.structures import THREE_LETTERS, write_structures
from leastwork.runs.base.threads import choose_threads
from leastwork.runs.compare.run import compare_methods
from leastwork.runs.folder import default_folder, is_begun, open_folder, withdraw
from leastwork.runs.joint.config import AnyRun, JointConfig
from leastwork.runs.joint.finished import write_joint_metrics
from leastwork.runs.load import Run
from leastwork.runs.observables.job import ObservableJob
from leastwork.runs.page import write_report
from leastwork.runs.path.config import PathConfig
from leastwork.runs.path.job import PathJob
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.sample import draw, sample
from leastwork.sampling.solvers import as_solver
from leastwork.sampling.solvers.usual import usual_grid, usual_solver
from leastwork.sampling.step_loss import StepLoss, step_loss
from leastwork.sampling.storage import add_log_tilt, open_ensemble
from leastwork.support.checkpoints import checkpoints
from leastwork.support.files import sweep
from leastwork.support.locks import lock
from leastwork.support.progress import Progress, labelled, no_progress
from leastwork.support.random import derive_seed
from leastwork.support.side_by_side import side_by_side
from leastwork.support.text import brief

__all__ = ["compare_run", "measure_run", "run"]

_PIECES = "fit.partial"
_VIEWED = 2000  # structures in a trajectory
_Fitted = TypeVar("_Fitted", bound=job.Fitted)


def run(
    config: Run,
    out: str | Path | None = None,
    resume: bool = False,
    progress: Progress = no_progress,
    workers: int = 1,
    tell: Callable[[str], None] | None = None,
) -> Path:
    """Carry out a run, or all parts of a joint run.

    Args:
        config: from :func:`load_config`.
        out: folder of the results; must be empty or new unless resumed.
        resume: go on with an interrupted run of the same settings; the ensemble comes out the same, bit for bit.
        progress: ``leastwork.support.progress.bar`` shows one.
        workers: processes that carry out the parts of a joint run, each with its share of torch's threads; with one,
            they are carried out here, one after another.
        tell: told in a sentence how long the run will take, before it begins; None, and it is not estimated.

    Returns:
        Path: of the report.

    Raises:
        ConfigError: settings or a folder that cannot be used.
        LeastworkError: what the fit or the sampling refuse.
    """
    folder = default_folder(config) if out is None else Path(out)
    if isinstance(config, JointConfig):
        _carry_out_parts(config, folder, resume, progress, workers, tell)
    else:
        task = _job(config)
        _foretell({folder: (config, task)}, 1, tell)
        open_folder(folder, config, resume)
        with _resumable(folder, config):
            _carry_out(config, task, folder, progress)
    return write_report(folder)


def compare_run(config: Run, out: Path, resume: bool = False, progress: Progress = no_progress) -> list[dict[str, Any]]:
    """Compare all methods on the data of one run.

    Args:
        config: from :func:`load_config`; its method is not used.
        out: folder of the results.
        resume: keep the rows that an interrupted call has finished.
        progress: ``leastwork.support.progress.bar`` shows one.

    Returns:
        the rows, plain values, as they stand in comparison.json.

    Raises:
        ConfigError: settings or a folder that cannot be used, a run of Path Guidance or a joint run.
        LeastworkError: every method refuses the data; says why the last does.
    """
    if isinstance(config, JointConfig):
        raise ConfigError(
            f"{config.name} is a joint run, and compare is for single runs with data: name one of its runs"
        )
    if isinstance(config, PathConfig):
        raise ConfigError(f"{config.name} is guided to structures, and compare is for runs with data: use run")
    with _disk(out):
        return compare_methods(config, out, lambda: open_folder(out, config, resume), progress)


def _job(config: AnyRun) -> Job[Any]:
    """Inputs are loaded and checked before a folder is made or anything drawn."""
    task = PathJob.of(config) if isinstance(config, PathConfig) else ObservableJob.of(config)
    if config.sequence is not None and shapes(task.model.event_shape)[0] != (len(config.sequence), 3):
        raise ConfigError(
            f"sequence: {len(config.sequence)} residues do not fit states of shape {task.model.event_shape}: give one "
            "letter for each Cα atom, or leave it out"
        )
    return task


def _carry_out_parts(
    config: JointConfig,
    folder: Path,
    resume: bool,
    progress: Progress,
    workers: int,
    tell: Callable[[str], None] | None,
) -> None:
    """Each part in a folder of its own, with a report of its own as soon as it is finished."""
    tasks = {}
    for part, one in config.runs.items():
        with _named(part):
            tasks[part] = _job(one)
    _foretell({folder / part: (config.runs[part], task) for part, task in tasks.items()}, workers, tell)
    open_folder(folder, config, resume)
    threads = get_num_threads()
    with _resumable(folder, config):
        if workers > 1:
            pieces = {part: partial(_carry_out_part, part, one, folder / part) for part, one in config.runs.items()}
            side_by_side(pieces, max(threads // workers, 1), progress)
        else:
            for part, one in config.runs.items():
                set_num_threads(threads)  # the network of the part before may have been small
                _carry_out_part(part, one, folder / part, progress, tasks[part])
        write_joint_metrics(folder, config)


def _carry_out_part(part: str, config: AnyRun, folder: Path, progress: Progress, task: Job[Any] | None = None) -> None:
    with _named(part), _cleared(folder, config), _disk(folder):
        _carry_out(config, _job(config) if task is None else task, folder, labelled(progress, part))
    _report_of_part(folder, part)


def _foretell(runs: Mapping[Path, tuple[AnyRun, Job[Any]]], workers: int, tell: Callable[[str], None] | None) -> None:
    """How long it will take, of runs whose fit has a budget and is yet to be done; evaluates their models for it."""
    if tell is None:
        return
    each: list[float] = []
    evaluations = 0
    for folder, (config, task) in runs.items():
        if task.budget is None or (folder / "metrics.json").exists():
            continue
        judged = config.sampling.n + (config.certificate_samples or 0)
        fit = 0 if (folder / "fit").exists() else task.budget
        count = fit + judged * (2 * config.sampling.steps + 1)
        evaluations += count
        each.append(seconds_of(task.model, count))
    if each:
        total = max(max(each), sum(each) / workers)
        tell(f"about {duration(total)} for {evaluations / 1e6:.1f} million network evaluations")


def _report_of_part(folder: Path, part: str) -> None:
    """One that cannot be made is no reason not to go on with the other parts; that of the whole will say the same."""
    try:
        write_report(folder)
    except LeastworkError as error:
        warnings.warn(f"part {part!r} has no report yet: {error}", LeastworkWarning, stacklevel=2)


def _carry_out(config: AnyRun, task: Job[_Fitted], folder: Path, progress: Progress) -> None:
    choose_threads(task.model)
    held = lock(folder / ".lock", str(folder))
    try:
        sweep(folder)
        if (folder / "metrics.json").exists():
            shutil.rmtree(folder / _PIECES, ignore_errors=True)
            return
        fitted = _fit(folder, task, progress)
        ensemble = _draw(folder, config, task, fitted, progress)
        if config.sequence is not None:
            _write_structures(folder, config.sequence, ensemble)
        measure_run(folder, config, task, fitted, ensemble, progress)
    finally:
        held.release()


@contextmanager
def _resumable(folder: Path, config: Run) -> Iterator[None]:
    """Says, of what stops a run, where it can be gone on with."""
    try:
        with _cleared(folder, config), _disk(folder):
            yield
    except LeastworkError as error:
        if not is_begun(folder, config):
            raise
        raise type(error)(f"{error}; what is finished is in {folder}, --resume continues there") from error


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """Says, of what the disk refuses, which file it was."""
    try:
        yield
    except LeastworkError:
        raise
    except OSError as error:
        what = error.strerror or brief(error)
        raise WriteError(
            f"{error.filename or folder}: {what}: make room there, or see to it that it may be written"
        ) from error


@contextmanager
def _cleared(folder: Path, config: Run) -> Iterator[None]:
    """A refused fit leaves no folder behind that would be in the way."""
    try:
        yield
    except LeastworkError:
        if not is_begun(folder, config):
            withdraw(folder, config)
        raise


@contextmanager
def _named(part: str) -> Iterator[None]:
    """Says which part of a joint run it was."""
    try:
        yield
    except LeastworkError as error:
        raise type(error)(f"part {part!r}: {error}") from error


def _fit(folder: Path, task: Job[_Fitted], progress: Progress) -> _Fitted:
    """Fit, or read what was fitted before."""
    known = task.load(folder)
    pieces = folder / _PIECES
    if known is None:
        with _given_up(pieces), checkpoints(pieces, {"model": fingerprint(task.model)}) as point:
            known = task.fit(progress)
            known = replace(known, seconds=known.seconds + point.earlier)  # pyright: ignore[reportArgumentType]  (a dataclass)
        task.save(known, folder)
    shutil.rmtree(pieces, ignore_errors=True)
    return known


@contextmanager
def _given_up(pieces: Path) -> Iterator[None]:
    """A fit that is refused is not gone on with; one that was stopped is."""
    try:
        yield
    except LeastworkError:
        shutil.rmtree(pieces, ignore_errors=True)
        raise


def _draw(folder: Path, config: AnyRun, task: Job[_Fitted], fitted: _Fitted, progress: Progress) -> Ensemble:
    out = folder / "ensemble.zarr"
    if not out.exists():
        seed = derive_seed(config.seed, "ensemble")
        sample(
            task.model,
            config.sampling.n,
            fitted.guidance,
            seed=seed,
            progress=progress,
            out=out,
            resume=True,
            **task.choices.given,
        )
    drawn = open_ensemble(out)
    tilt = task.log_tilt(fitted, drawn.x)
    add_log_tilt(out, tilt)
    return replace(drawn, log_tilt=tilt)


def _write_structures(folder: Path, sequence: str, ensemble: Ensemble) -> None:
    """Guided structures, evenly chosen, for a viewer; says what is missing where an extra is not installed."""
    (x, *_) = leaves(ensemble.x)
    some = x[evenly(len(x), _VIEWED)]
    missing = write_structures(folder / "structures", "guided", some, [THREE_LETTERS[code] for code in sequence])
    if missing is not None:
        warnings.warn(missing, LeastworkWarning, stacklevel=2)


def measure_run(
    folder: Path, config: AnyRun, task: Job[_Fitted], fitted: _Fitted, ensemble: Ensemble, progress: Progress
) -> None:
    """Everything that is reported, into metrics.json, and arrays for figures."""
    judged = ensemble
    if fitted.guidance is not None and config.certificate_samples is not None and ensemble.ledger.work is not None:
        seed = derive_seed(config.seed, "certificate")
        n, choices = config.certificate_samples, task.choices
        judged = draw(task.model, n, choices, fitted.guidance, seed=seed, progress=progress)
        judged = replace(judged, log_tilt=task.log_tilt(fitted, judged.x))
    step_error = task.step_error(fitted)
    loss = _step_loss(config, task, fitted, ensemble)
    drawn = [ensemble] if judged is ensemble else [ensemble, judged]
    metrics = {
        "seed": config.seed,
        "versions": versions(),
        "seconds": fitted.seconds + sum(one.seconds for one in drawn),
        "network_evaluations": sum(one.network_evaluations for one in (fitted, *drawn, step_error, *loss)),
        "discretisation": {"t_grid": _grid(task), **step_metrics(step_error, *loss)},
        **task.measure(folder, fitted, ensemble, judged),
    }
    write_metrics(folder, metrics)


def _step_loss(config: AnyRun, task: Job[_Fitted], fitted: _Fitted, ensemble: Ensemble) -> list[StepLoss]:
    """What the steps alone waste, where that is known."""
    if fitted.guidance is None or ensemble.ledger.log_weight is None or task.model.has_rotations:
        return []
    seed = derive_seed(config.seed, "loss of the steps")
    return [step_loss(task.model, fitted.guidance, seed=seed, **task.choices.law)]


def _grid(task: Job[Any]) -> str | None:
    """The name of the grid of times, or None where the run file gives the times."""
    asked = task.choices.t_grid
    if asked is None:
        return usual_grid(task.model, as_solver(task.choices.solver or usual_solver(task.model)))
    return asked if isinstance(asked, str) else None
