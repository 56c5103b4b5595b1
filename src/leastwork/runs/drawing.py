"""The samples of a run: drawn into its own store, whole or a share of their blocks, and weighed for its target."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from leastwork.fit.run import FittedRun
from leastwork.runs.base.job import Job
from leastwork.runs.base.settings import AnyConfig
from leastwork.runs.worker import NO_WORKER
from leastwork.sampling.ensemble import Ensemble, log_weight_under
from leastwork.sampling.sample import draw_stored
from leastwork.sampling.shares import WHOLE, Share
from leastwork.sampling.storage import Destination, StoredEnsemble, add_log_tilt, open_ensemble
from leastwork.sampling.work import kish_ess
from leastwork.support.progress import EFFECTIVE, Progress
from leastwork.support.random import derive_seed

__all__ = ["draw_blocks", "draw_samples"]

_Fitted = TypeVar("_Fitted", bound=FittedRun)


def draw_samples(
    folder: Path,
    config: AnyConfig,
    task: Job[_Fitted],
    fitted: _Fitted,
    progress: Progress,
    n: int,
    executor: Executor | None = None,
    worker: Mapping[str, str] = NO_WORKER,
) -> Ensemble:
    """The run's own store with ``n`` samples, of which those that are there already are kept."""
    out = folder / "ensemble.zarr"
    if not out.exists() or len(StoredEnsemble(out)) != n:
        draw_blocks(folder, config, task, fitted, progress, n, executor, worker=worker)
    drawn = open_ensemble(out)
    tilt = task.log_tilt(fitted, drawn.x)
    add_log_tilt(out, tilt)
    drawn = replace(drawn, log_tilt=tilt)
    if drawn.ledger.log_weight is not None:
        with progress(EFFECTIVE, n) as tick:
            tick(round(n * kish_ess(log_weight_under("target", drawn)).value))
    return drawn


def draw_blocks(
    folder: Path,
    config: AnyConfig,
    task: Job[_Fitted],
    fitted: _Fitted,
    progress: Progress,
    n: int,
    executor: Executor | None = None,
    share: Share = WHOLE,
    worker: Mapping[str, str] = NO_WORKER,
) -> StoredEnsemble | Sequence[int]:
    """The run's own store with ``n`` samples, or a share of their blocks, as :func:`draw_stored` returns them."""
    to = Destination(folder / "ensemble.zarr", share=share, log_tilt=partial(task.log_tilt, fitted), worker=worker)
    seed = derive_seed(config.seed, "ensemble")
    return draw_stored(
        task.model, n, fitted.drawing, fitted.guidance, to, seed=seed, progress=progress, executor=executor
    )
