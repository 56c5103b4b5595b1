"""More guided samples for a finished run: drawn into its own store, measured and reported again.

n ≥ N* / (Kish fraction of dP/dQ · e^r)         for N* effective samples
"""

import math
from concurrent.futures import Executor
from pathlib import Path

from leastwork.errors import ConfigError
from leastwork.runs.base.sealed import write_sealed
from leastwork.runs.base.settings import AnyConfig
from leastwork.runs.carry_out import at_work, disk_in_words, draw_samples, finish_run, job_of
from leastwork.runs.joint.finished import write_joint_metrics
from leastwork.runs.load import dump_config, load_config
from leastwork.runs.page import write_report
from leastwork.runs.saved import read_run_file
from leastwork.sampling.ensemble import Ensemble, log_weight_under
from leastwork.sampling.storage import StoredEnsemble
from leastwork.sampling.work import kish_ess
from leastwork.support.arguments import whole
from leastwork.support.progress import Progress, no_progress

__all__ = ["more_samples"]

_MARGIN = 1.05  # more samples than the Kish fraction so far asks for, since it is an estimate
_MOST_ROUNDS = 8  # of drawing until there are enough effective samples


def more_samples(
    folder: str | Path,
    n: int | None = None,
    until_ess: float | None = None,
    executor: Executor | None = None,
    progress: Progress = no_progress,
) -> Path:
    """Draw samples with the guidance of a finished fit; the folder is then that of a run that asked for them at once.

    Args:
        folder: the folder of a run file's run.
        n: number of samples in all, those that are there included; by default as many as there are.
        until_ess: go on until there are that many effective samples of the target.
        executor: draws on its workers, as in :func:`leastwork.sample`.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.

    Returns:
        Path: of the report.

    Raises:
        ConfigError: the folder holds no finished fit, or more samples than ``n``.
        LeastworkError: what the sampling refuses.
    """
    folder, n = Path(folder), None if n is None else whole("n", n)
    config = read_run_file(folder)
    task = job_of("", config)
    fitted = task.load(folder)
    if fitted is None:
        raise ConfigError(f"{folder} holds no finished fit: finish it with leastwork run … --resume")
    if fitted.guidance is None:
        raise ConfigError(f"{folder} guides nothing, since its method is {config.method!r}: ask for more fit.samples")
    with disk_in_words(folder), at_work(folder, task):
        there = StoredEnsemble(folder / "ensemble.zarr")
        count = n or (len(there) if there.path.exists() else config.sampling.n)
        drawn = draw_samples(folder, config, task, fitted, progress, count, executor)
        for _ in range(_MOST_ROUNDS):
            wanted = _number_for(drawn, until_ess)
            if wanted <= len(drawn):
                break
            drawn = draw_samples(folder, config, task, fitted, progress, wanted, executor)
        (folder / "metrics.json").unlink(missing_ok=True)  # those of fewer samples
        config = _asking_for(config, len(drawn))
        write_sealed(folder, dump_config(config))
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


def _number_for(drawn: Ensemble, until_ess: float | None) -> int:
    """Number of samples in all that the effective samples asked for need, by the Kish fraction so far."""
    if until_ess is None:
        return len(drawn)
    fraction = kish_ess(log_weight_under("target", drawn)).value
    return len(drawn) if fraction * len(drawn) >= until_ess else math.ceil(_MARGIN * until_ess / fraction)
