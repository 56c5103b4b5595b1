"""More guided samples for a finished run: drawn into its own store, measured and reported again.

n ≥ N* / (Kish fraction of dP/dQ · e^r)         for N* effective samples
"""

import math
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from leastwork.errors import ConfigError
from leastwork.models.latents import latent_decoder
from leastwork.runs.base.job import Job
from leastwork.runs.base.sealed import write_sealed
from leastwork.runs.base.settings import AnyConfig
from leastwork.runs.carry_out import at_work, disk_in_words, finish_run, job_of
from leastwork.runs.drawing import draw_blocks, draw_samples
from leastwork.runs.folder import copy_inputs
from leastwork.runs.joint.finished import write_joint_metrics
from leastwork.runs.load import dump_config, load_config
from leastwork.runs.page import write_report
from leastwork.runs.physical import Physical, passing, write_physical
from leastwork.runs.saved import read_run_file
from leastwork.runs.worker import worker_of
from leastwork.sampling.ensemble import Ensemble, log_weight_under
from leastwork.sampling.shares import Share
from leastwork.sampling.storage import StoredEnsemble
from leastwork.sampling.work import kish_ess
from leastwork.support.arguments import whole
from leastwork.support.locks import BusyError
from leastwork.support.numerals import count, fraction
from leastwork.support.progress import Progress, check_progress, no_progress

__all__ = ["draw_shard", "is_reported", "more_samples"]

_MARGIN = 1.05  # more samples than the Kish fraction so far asks for, since it is an estimate
_MOST_ROUNDS = 8  # of drawing until there are enough effective samples


@dataclass(frozen=True)
class Wanted:
    """What there is to be in the end.

    Args:
        n: number of samples that count; None for as many as there are.
        until_ess: number of effective samples of the target among those that count.
        physical: which samples count; None for all.
    """

    n: int | None = None
    until_ess: float | None = None
    physical: Physical | None = None

    def number_for(self, drawn: Ensemble) -> int:
        """Number of samples in all that this needs, by the shares of those that are drawn.

        Raises:
            ConfigError: none of them counts.
        """
        n, counts = len(drawn), torch.ones(len(drawn), dtype=torch.bool)
        if self.physical is not None:
            counts = passing(self.physical, drawn)
            if not counts.any():
                raise ConfigError(
                    f"none of {n} samples passes {self.physical.name}: see what it returns for those of the run"
                )
        there = int(counts.sum())
        needed = [n]
        if self.physical is not None and self.n is not None and there < self.n:
            needed.append(math.ceil(_MARGIN * self.n * n / there))
        if self.until_ess is not None:
            fraction_of_all = kish_ess(log_weight_under("target", drawn)[counts]).value * (there / n)
            if fraction_of_all * n < self.until_ess:
                needed.append(math.ceil(_MARGIN * self.until_ess / fraction_of_all))
        return max(needed)


def more_samples(
    folder: str | Path,
    n: int | None = None,
    until_ess: float | None = None,
    executor: Executor | None = None,
    progress: Progress = no_progress,
    physical: Physical | None = None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Path:
    """Draw samples with the guidance of a finished fit; the folder is then that of a run that asked for them at once.

    Args:
        folder: the folder of a run file's run.
        n: number of samples in all, those that are there included; by default as many as there are.
        until_ess: go on until there are that many effective samples of the target.
        executor: draws on its workers, as in :func:`leastwork.sample`.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        physical: only samples that pass it count toward ``n`` and ``until_ess``; all are kept.
        tell: told in a sentence how many pass, and if the run draws by a chain with churn.

    Returns:
        Path: of the report.

    Raises:
        ConfigError: the folder holds no finished fit, or more samples than ``n``; no sample passes.
        LeastworkError: what the sampling refuses.
    """
    folder, n, progress = Path(folder), None if n is None else whole("n", n), check_progress(progress)
    return _complete(folder, *_fitted(folder), Wanted(n, until_ess, physical), executor, progress, tell)


def draw_shard(
    folder: str | Path,
    n: int,
    share: Share,
    executor: Executor | None = None,
    progress: Progress = no_progress,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Path | None:
    """Draw a share of the blocks of samples, while other processes, on this machine or others, draw theirs.

    The process that draws the last block goes over all of them, draws those again that are damaged, and measures and
    reports the run, as :func:`more_samples` does.

    Args:
        folder: the folder of a run file's run, which all processes see.
        n: number of samples in all, the same for all shares.
        share: which of the blocks; those that are there already are kept.
        executor: draws on its workers, as in :func:`leastwork.sample`.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        tell: told in a sentence what is missing, where no report is made.

    Returns:
        Path: of the report; None while blocks of other shares are missing, or another process makes the report.

    Raises:
        ConfigError: as :func:`more_samples`; or this process has another version, model or data than those before.
        LeastworkError: what the sampling refuses.
    """
    folder, n = Path(folder), whole("n", n)
    config, task, fitted = _fitted(folder)
    with disk_in_words(folder), at_work(folder, task, shared=True) as held:
        left = draw_blocks(folder, config, task, fitted, progress, n, executor, share, worker_of(folder, task))
    later = f"leastwork sample {folder} --n {n}"
    if not isinstance(left, StoredEnsemble) and left:
        tell(f"share {share} is drawn, and {len(left)} blocks of other shares are missing")
        return None
    if is_reported(folder, n):
        return folder / "report.html"
    if not held.is_real:
        tell(f"all blocks are there, and {folder} lies on a file system without locks: finish by {later}")
        return None
    try:
        return _complete(folder, config, task, fitted, Wanted(n), executor, progress, tell)
    except BusyError:
        tell(f"all blocks are there, and another process finishes {folder}; if that is killed, {later} does it")
        return None


def is_reported(folder: Path, n: int) -> bool:
    """Whether the run has that many samples and has been measured and reported with them."""
    made = all((folder / name).exists() for name in ("metrics.json", "report.html"))
    return made and read_run_file(folder).sampling.n == n


def _fitted(folder: Path) -> tuple[AnyConfig, Job[Any], Any]:
    """Settings, job and fit of a run that can draw more guided samples."""
    config = read_run_file(folder)
    task = job_of("", config)
    fitted = task.load(folder)
    if fitted is None:
        raise ConfigError(f"{folder} holds no finished fit: finish it with leastwork run … --resume")
    if fitted.guidance is None:
        raise ConfigError(f"{folder} guides nothing, since its method is {config.method!r}: ask for more fit.samples")
    return config, task, fitted


def _complete(
    folder: Path,
    config: AnyConfig,
    task: Job[Any],
    fitted: Any,
    wanted: "Wanted",
    executor: Executor | None,
    progress: Progress,
    tell: Callable[[str], None],
) -> Path:
    """Draw what is missing, alone, and measure and report the whole."""
    if config.sampling.churned is not None:
        tell(f"drawn by a chain with {config.sampling.churned.chain}: work and weights are those of this chain")
    with disk_in_words(folder), at_work(folder, task):
        there = StoredEnsemble(folder / "ensemble.zarr")
        first = len(there) if there.path.exists() else config.sampling.n
        worker = worker_of(folder, task)

        def draw(number: int) -> Ensemble:
            return draw_samples(folder, config, task, fitted, progress, number, executor, worker)

        def decoded(drawn: Ensemble) -> Ensemble:
            return replace(drawn, decoder=latent_decoder(task.model))

        drawn = draw(first if wanted.n is None or wanted.physical else wanted.n)
        for _ in range(_MOST_ROUNDS):
            number = wanted.number_for(decoded(drawn))
            if number <= len(drawn):
                break
            drawn = draw(number)
        else:
            tell(f"{len(drawn)} samples are drawn, and not yet enough of them count: give the same command again")
        passed = write_physical(folder, wanted.physical, decoded(drawn))
        if passed is not None:
            tell(f"{fraction(passed.value, passed.stderr)} of {count(len(drawn))} samples pass")
        for name in ("metrics.json", "report.html"):  # those of fewer samples
            (folder / name).unlink(missing_ok=True)
        config = _asking_for(config, len(drawn))
        write_sealed(folder, dump_config(copy_inputs(config, folder)))
        finish_run(folder, config, task, fitted, drawn, progress)
    _tell_joint_run(folder)
    return write_report(folder)


def _tell_joint_run(part: Path) -> None:
    """Gather the metrics of a joint run again, and make its page, where the folder is one of its finished parts."""
    whole = part.resolve().parent
    if not (whole / "metrics.json").is_file():
        return
    parts = load_config(whole / "config.yaml").parts
    if part.resolve().name in parts:
        write_joint_metrics(whole, parts)
        write_report(whole)


def _asking_for(config: AnyConfig, n: int) -> AnyConfig:
    """The settings of a run that asks for that many samples at once."""
    return config.model_copy(update={"sampling": config.sampling.model_copy(update={"n": n})})
