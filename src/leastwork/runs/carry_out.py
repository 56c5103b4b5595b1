"""One run: fit, draw, certify, report; every file is whole or not there, and what was finished is never redone.

The folder afterwards:  config.yaml · fit/ · guidance/ · ensemble.zarr · plots.safetensors · metrics.json · report.html
Of a joint run:  config.yaml · metrics.json · report.html, and a folder like that for each of its parts
"""

import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from torch import get_num_threads, set_num_threads

from leastwork.errors import ConfigError, LeastworkError, LeastworkWarning, WriteError
from leastwork.fit.run import FittedRun
from leastwork.geometry.state import shapes
from leastwork.models.files import fingerprint
from leastwork.runs.base.ensemble_structures import write_ensemble_structures
from leastwork.runs.base.finished import write_metrics
from leastwork.runs.base.forecast import seconds_of
from leastwork.runs.base.job import Job, step_error_of
from leastwork.runs.base.numbers import step_metrics, versions
from leastwork.runs.base.settings import AnyConfig, Run
from leastwork.runs.base.threads import choose_threads
from leastwork.runs.compare.run import compare_methods
from leastwork.runs.drawing import draw_samples
from leastwork.runs.folder import default_folder, is_begun, open_folder, withdraw
from leastwork.runs.joint.finished import write_joint_metrics
from leastwork.runs.joint.kinds import kind_of_run
from leastwork.runs.page import write_report
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.sample import draw
from leastwork.sampling.solvers import as_solver
from leastwork.sampling.solvers.usual import usual_grid, usual_solver
from leastwork.sampling.step_loss import StepLoss, step_loss
from leastwork.sampling.storage import StoredEnsemble
from leastwork.support.arguments import path_of, yes_or_no
from leastwork.support.checkpoints import checkpoints
from leastwork.support.executors import using
from leastwork.support.files import sweep
from leastwork.support.locks import Lock, lock
from leastwork.support.metrics import listening
from leastwork.support.numerals import duration
from leastwork.support.processes import processes
from leastwork.support.progress import Progress, check_progress, labelled, no_progress
from leastwork.support.random import derive_seed
from leastwork.support.side_by_side import side_by_side
from leastwork.support.sinks import FIT_CSV, check_sinks, last_step, sinks
from leastwork.support.text import brief

__all__ = ["at_work", "compare_run", "disk_in_words", "finish_run", "job_of", "measure_run", "run"]

_PIECES = "fit.partial"
_Fitted = TypeVar("_Fitted", bound=FittedRun)


def run(
    config: Run,
    out: str | Path | None = None,
    resume: bool = False,
    progress: Progress = no_progress,
    workers: int = 1,
    tell: Callable[[str], None] | None = None,
    executor: Executor | None = None,
    trackers: tuple[str, ...] = (),
) -> Path:
    """Carry out a run, or all parts of a joint run.

    Args:
        config: from :func:`load_config`.
        out: folder of the results; must be empty or new unless resumed.
        resume: go on with an interrupted run of the same settings; the ensemble comes out the same, bit for bit.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        workers: processes that draw, with one thread of torch each. The parts of a joint run are carried out side by
            side, each in a process with its share of them and of torch's threads; with one worker, all is done here.
        tell: told in a sentence how long the run will take, before it begins; None, and it is not estimated.
        executor: draws samples and paths in place of ``workers``, one part after another.
        trackers: places besides ``fit.csv`` for the numbers of the fit, by their names in
            :data:`leastwork.support.sinks.SINKS`.

    Returns:
        Path: of the report.

    Raises:
        ConfigError: settings or a folder that cannot be used.
        LeastworkError: what the fit or the sampling refuse.
    """
    folder = default_folder(config) if out is None else path_of("out", out)
    resume, progress = yes_or_no("resume", resume), check_progress(progress)
    places = check_sinks(("csv", *trackers))
    parts = config.parts
    tasks = {part: job_of(part, one) for part, one in parts.items()}
    _foretell({folder / part: (parts[part], task) for part, task in tasks.items()}, workers, tell)
    open_folder(folder, config, resume)
    threads = get_num_threads()
    with _resumable(folder, config):
        if workers > 1 and len(parts) > 1 and executor is None:
            each = max(workers // len(parts), 1)
            pieces = {
                part: partial(_with_workers, each, part, one, folder / part, places) for part, one in parts.items()
            }
            side_by_side(pieces, max(threads // min(workers, len(parts)), 1), progress)
        else:
            with processes(1 if executor is not None else workers) as own, using(executor or own):
                for part, one in parts.items():
                    set_num_threads(threads)  # the network of the part before may have been small
                    _carry_out_part(part, one, folder / part, places, progress, tasks[part])
        if "" not in parts:
            write_joint_metrics(folder, parts)
    return write_report(folder)


def compare_run(config: Run, out: Path, resume: bool = False, progress: Progress = no_progress) -> list[dict[str, Any]]:
    """Compare all methods on the data of one run.

    Args:
        config: from :func:`load_config`; its method is not used.
        out: folder of the results.
        resume: keep the rows that an interrupted call has finished.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.

    Returns:
        the rows, plain values, as they stand in comparison.json.

    Raises:
        ConfigError: settings or a folder that cannot be used, a run of Path Guidance or a joint run.
        LeastworkError: every method refuses the data; says why the last does.
    """
    resume, progress, comparable = yes_or_no("resume", resume), check_progress(progress), config.comparable()
    with disk_in_words(out):
        return compare_methods(comparable, out, lambda: open_folder(out, config, resume), progress)


def job_of(part: str, config: AnyConfig) -> Job[Any]:
    """The job of a run, or of a part of a joint one, its inputs loaded and checked before anything is drawn."""
    with _named(part):
        config.check_method()
        return _checked(config, kind_of_run(config).job(config))


def _checked(config: AnyConfig, task: Job[Any]) -> Job[Any]:
    if config.sequence is not None and shapes(task.model.event_shape)[0] != (len(config.sequence), 3):
        raise ConfigError(
            f"sequence: {len(config.sequence)} residues do not fit states of shape {task.model.event_shape}: give one "
            "letter for each Cα atom, or leave it out"
        )
    return task


def _carry_out_part(
    part: str,
    config: AnyConfig,
    folder: Path,
    places: tuple[str, ...],
    progress: Progress,
    task: Job[Any] | None = None,
) -> None:
    """Carry out a single run, or a part of a joint one, which gets a report of its own as soon as it is finished."""
    with _named(part), _cleared(folder, config), disk_in_words(folder):
        _carry_out(config, job_of("", config) if task is None else task, folder, places, labelled(progress, part))
    if part:
        _report_of_part(folder, part)


def _with_workers(
    workers: int, part: str, config: AnyConfig, folder: Path, places: tuple[str, ...], progress: Progress
) -> None:
    with processes(workers) as executor, using(executor):
        _carry_out_part(part, config, folder, places, progress)


def _foretell(
    runs: Mapping[Path, tuple[AnyConfig, Job[Any]]], workers: int, tell: Callable[[str], None] | None
) -> None:
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


def _carry_out(
    config: AnyConfig, task: Job[_Fitted], folder: Path, places: tuple[str, ...], progress: Progress
) -> None:
    with at_work(folder, task):
        if (folder / "metrics.json").exists():
            shutil.rmtree(folder / _PIECES, ignore_errors=True)
            return
        fitted = _fit(folder, task, places, progress)
        finish_run(folder, config, task, fitted, _draw(folder, config, task, fitted, progress), progress)


@contextmanager
def at_work(folder: Path, task: Job[Any], shared: bool = False) -> Iterator[Lock]:
    """Hold a run's folder, with as many of torch's threads as its model is worth and nothing half-written in it.

    Args:
        folder: the folder of the run.
        task: the job of the run.
        shared: hold it together with other processes, each of which draws a share of the samples.
    """
    choose_threads(task.model)
    held = lock(folder / ".lock", str(folder), shared)
    try:
        if not shared:
            sweep(folder)
        yield held
    finally:
        held.release()


def finish_run(
    folder: Path, config: AnyConfig, task: Job[_Fitted], fitted: _Fitted, ensemble: Ensemble, progress: Progress
) -> None:
    """All that is made of the samples of a run: structures, metrics and arrays for figures."""
    if config.sequence is not None:
        guided = fitted.guidance is not None
        for sentence in write_ensemble_structures(folder / "structures", config.sequence, ensemble, guided):
            warnings.warn(sentence, LeastworkWarning, stacklevel=2)
    measure_run(folder, config, task, fitted, ensemble, progress)


@contextmanager
def _resumable(folder: Path, config: Run) -> Iterator[None]:
    """Says, of what stops a run, where it can be gone on with."""
    try:
        with _cleared(folder, config), disk_in_words(folder):
            yield
    except LeastworkError as error:
        if not is_begun(folder, config):
            raise
        raise type(error)(f"{error}; what is finished is in {folder}, --resume continues there") from error


@contextmanager
def disk_in_words(folder: Path) -> Iterator[None]:
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
    """Says which part of a joint run it was; a single run has no name for its part."""
    try:
        yield
    except LeastworkError as error:
        if not part:
            raise
        raise type(error)(f"part {part!r}: {error}") from error


def _fit(folder: Path, task: Job[_Fitted], places: tuple[str, ...], progress: Progress) -> _Fitted:
    """Fit, or read what was fitted before."""
    known = task.load(folder)
    pieces = folder / _PIECES
    if known is None:
        if not pieces.exists():
            (folder / FIT_CSV).unlink(missing_ok=True)
        about, step = {"model": fingerprint(task.model)}, last_step(folder / FIT_CSV)
        with (
            _given_up(folder),
            checkpoints(pieces, about) as point,
            sinks(places, folder) as told,
            listening(told, step),
        ):
            known = task.fit(progress)
            known = replace(known, seconds=known.seconds + point.earlier)  # pyright: ignore[reportArgumentType]  (a dataclass)
        task.save(known, folder)
    shutil.rmtree(pieces, ignore_errors=True)
    return known


@contextmanager
def _given_up(folder: Path) -> Iterator[None]:
    """A fit that is refused is not gone on with; one that was stopped is."""
    try:
        yield
    except LeastworkError:
        shutil.rmtree(folder / _PIECES, ignore_errors=True)
        (folder / FIT_CSV).unlink(missing_ok=True)
        raise


def _draw(folder: Path, config: AnyConfig, task: Job[_Fitted], fitted: _Fitted, progress: Progress) -> Ensemble:
    there = StoredEnsemble(folder / "ensemble.zarr")
    n = len(there) if there.path.exists() else config.sampling.n
    return draw_samples(folder, config, task, fitted, progress, n)


def measure_run(
    folder: Path, config: AnyConfig, task: Job[_Fitted], fitted: _Fitted, ensemble: Ensemble, progress: Progress
) -> None:
    """Everything that is reported, into metrics.json, and arrays for figures."""
    judged = ensemble
    if fitted.guidance is not None and config.certificate_samples is not None and ensemble.ledger.work is not None:
        seed = derive_seed(config.seed, "certificate")
        n, choices = config.certificate_samples, fitted.drawing
        judged = draw(task.model, n, choices, fitted.guidance, seed=seed, progress=progress)
        judged = replace(judged, log_tilt=task.log_tilt(fitted, judged.x))
    step_error = step_error_of(task, fitted)
    loss = _step_loss(config, task, fitted, ensemble)
    drawn = [ensemble] if judged is ensemble else [ensemble, judged]
    metrics = {
        "seed": config.seed,
        "versions": versions(),
        "seconds": fitted.seconds + sum(one.seconds for one in drawn),
        "network_evaluations": sum(one.network_evaluations for one in (fitted, *drawn, step_error, *loss)),
        "discretisation": {"t_grid": _grid(task, fitted), **step_metrics(step_error, *loss)},
        **task.measure(folder, fitted, ensemble, judged),
    }
    write_metrics(folder, metrics)


def _step_loss(config: AnyConfig, task: Job[_Fitted], fitted: _Fitted, ensemble: Ensemble) -> list[StepLoss]:
    """What the steps alone waste, where that is known."""
    ledger = ensemble.ledger
    if fitted.guidance is None or ledger.log_weight is None or ledger.chain:
        return []
    seed = derive_seed(config.seed, "loss of the steps")
    return [step_loss(task.model, fitted.guidance, seed=seed, **fitted.drawing.law)]


def _grid(task: Job[_Fitted], fitted: _Fitted) -> str | None:
    """The name of the grid of times, or None where the run file gives the times."""
    if fitted.times is not None:
        return "placed"
    asked = task.choices.t_grid
    if asked is None:
        return usual_grid(task.model, as_solver(task.choices.solver or usual_solver(task.model)))
    return asked if isinstance(asked, str) else None
