"""Job arrays: each task of the queue draws a static share of the blocks, with no scheduler of ours between them.

A task that is preempted, or that runs out of time, is put into the queue again and goes on with the blocks that are
missing. Jobs are submitted through submitit (the extra ``slurm``), whose files and logs lie in ``slurm/`` of the run.
"""

import re
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from pydantic import Field, ValidationError, field_validator

from leastwork.errors import ConfigError, LeastworkError
from leastwork.runs.base.complaints import sentences
from leastwork.runs.base.file import read
from leastwork.runs.base.settings import Strict
from leastwork.runs.saved import read_run_file
from leastwork.runs.top_up import draw_shard, is_reported
from leastwork.sampling.shares import Share
from leastwork.sampling.storage import StoredEnsemble
from leastwork.support.arguments import whole
from leastwork.support.extras import needs
from leastwork.support.progress import lines
from leastwork.support.text import plural

__all__ = ["Queue", "ShardTask", "await_here", "queue_settings", "sbatch_file", "submit"]

_FOLDER = "slurm"
_MOST_TIMEOUTS = 1000  # of a task, each of which costs no more than the block at work
_SECONDS_OF_WARNING = 90  # before the end, in which submitit puts the task into the queue again
_NO_FLAGS = {"array_parallelism", "signal_delay_s", "additional_parameters", "setup"}  # of submitit alone
_SECONDS_BETWEEN_LOOKS = 0.2
_SAID = re.compile(r"^leastwork\.errors\.\w+: (.+)$", re.MULTILINE)  # the last line of a traceback
_TIME = re.compile(r"(?:(?P<d>\d+)-)?(?P<h>\d+):(?P<m>\d\d):(?P<s>\d\d)|(?P<days>\d+)-(?P<hours>\d+)|(?P<minutes>\d+)")


class Queue(Strict):
    """What is asked of the queue for each task; keys of a file of defaults."""

    tasks: int = Field(default=1, ge=1, le=10_000, description="the number of tasks, 1 to 10000")
    time: str = Field(default="1:00:00", description='a time in quotes: "4:00:00", "1-12:00:00" or "90", in minutes')
    gpus_per_task: int = Field(default=0, ge=0, description="the number of GPUs of a task, 0 or more")
    cpus_per_task: int = Field(default=1, ge=1, description="the number of CPU cores of a task, at least 1")
    memory: str | None = Field(
        default=None, pattern=r"^\d+[KMGT]B?$", description="memory of a task, such as 16GB, or left out"
    )
    partition: str | None = Field(default=None, min_length=1, description="a partition of the cluster, or left out")
    account: str | None = Field(default=None, min_length=1, description="an account, or left out")
    constraint: str | None = Field(default=None, min_length=1, description="a feature of nodes, or left out")
    qos: str | None = Field(default=None, min_length=1, description="a quality of service, or left out")
    setup: tuple[str, ...] = Field(
        default=(), description="a list of lines of the shell that come before, such as [module load cuda]"
    )

    @field_validator("time", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        """YAML reads 4:00:00 without quotes as a number of seconds, and SLURM a number as minutes."""
        if not isinstance(value, str) or not _TIME.fullmatch(value) or minutes_of(value) < 1:
            raise ValueError
        return value


def minutes_of(time: str) -> int:
    """A time as SLURM writes it in whole minutes, rounded up.

    >>> minutes_of("4:00:00"), minutes_of("1-12:00:30"), minutes_of("2-6"), minutes_of("90")
    (240, 2161, 3240, 90)
    """
    found = _TIME.fullmatch(time)
    assert found is not None
    part = {name: int(value or 0) for name, value in found.groupdict().items()}
    hours = 24 * (part["d"] + part["days"]) + part["h"] + part["hours"]
    return 60 * hours + part["m"] + part["minutes"] + (part["s"] > 0)


def queue_settings(defaults: Path | None, options: Mapping[str, Any]) -> Queue:
    """What is asked of the queue.

    Args:
        defaults: a YAML file with keys of :class:`Queue`, or None.
        options: those of the command line, which go first; None for what was not given.

    Raises:
        ConfigError: one sentence for each thing that is wrong.
    """
    known = {} if defaults is None else read(defaults)
    asked = {name: value for name, value in options.items() if value is not None}
    try:
        return Queue.model_validate({**known, **asked})
    except ValidationError as error:
        raise ConfigError("\n".join(f"{defaults or 'submit'}: {one}" for one in sentences(error, Queue))) from None


@dataclass(frozen=True)
class ShardTask:
    """A task of the array; all that it needs is the folder.

    Args:
        folder: the folder of the run, as all machines see it.
        n: number of samples in all.
        share: which of the blocks.
    """

    folder: Path
    n: int
    share: Share

    def __call__(self) -> str:
        """Draw what is missing of the share."""
        said: list[str] = []
        report = draw_shard(self.folder, self.n, self.share, progress=lines, tell=said.append)
        return str(report) if report else " ".join(said)

    def checkpoint(self) -> Any:
        """What submitit puts into the queue again when the task is preempted or out of time: the same."""
        return needs("submitit", "slurm").helpers.DelayedSubmission(self)


def submit(
    folder: Path,
    n: int,
    queue: Queue,
    here: bool = False,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Sequence[Any]:
    """Submit an array of tasks, each of which draws its share of the blocks.

    Args:
        folder: the folder of a run whose fit is finished, on a file system that all machines share.
        n: number of samples in all.
        queue: what is asked of the queue.
        here: start the tasks on this machine, all at once, in place of the queue.
        tell: told in a sentence what is done otherwise than asked.

    Returns:
        submitit's jobs, which know their ``job_id``.

    Raises:
        ConfigError: a folder or a number that cannot be used; there is no queue.
        LeastworkError: submitit is not installed.
    """
    package = needs("submitit", "slurm")
    tasks = _tasks(folder, n, queue, tell)
    try:
        if here:
            (folder / _FOLDER).mkdir(exist_ok=True)  # jobs are numbers of processes, which come again
            place = mkdtemp(prefix="here-", dir=folder.resolve() / _FOLDER)
            executor = package.LocalExecutor(folder=place, max_num_timeout=_MOST_TIMEOUTS)
            executor.update_parameters(timeout_min=minutes_of(queue.time), gpus_per_node=queue.gpus_per_task)
        else:
            executor = package.SlurmExecutor(folder=_place(folder), max_num_timeout=_MOST_TIMEOUTS)
            executor.update_parameters(**_parameters(folder, queue))
    except RuntimeError:
        raise ConfigError(
            "srun was not found, so this machine is in no SLURM cluster: submit where it is, or draw by leastwork "
            f"sample {folder} --n {n} --shard 1/{len(tasks)} and so on"
        ) from None
    with executor.batch():
        return [executor.submit(task) for task in tasks]


def await_here(folder: Path, n: int, jobs: Sequence[Any]) -> Path:
    """Wait for tasks that were started on this machine; those still at work are ended if the command is.

    Args:
        folder: the folder of the run.
        n: number of samples in all.
        jobs: what :func:`submit` returned.

    Returns:
        The report, which the last task has made.

    Raises:
        LeastworkError: tasks failed; the message has what the first of them said, and where its log is.
    """
    try:
        while not all(job.done() for job in jobs):
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    except KeyboardInterrupt:
        for job in jobs:
            job.cancel()
        raise
    if is_reported(folder, n):
        return folder / "report.html"
    logs = [job.paths.stderr for job in jobs]
    said = [_SAID.findall(log.read_text(errors="replace")) if log.exists() else [] for log in logs]
    failed = [(log, found[-1]) for log, found in zip(logs, said, strict=True) if found]
    if not failed:
        raise LeastworkError(
            f"not all of the tasks came to their end, as their logs in {folder / _FOLDER} tell: submit again, which "
            "draws what is missing"
        )
    log, why = failed[0]
    raise LeastworkError(
        f"{len(failed)} of {plural(len(jobs), 'task')} failed (log: {log}): {why}; then submit again, which draws what "
        "is missing"
    )


def sbatch_file(folder: Path, n: int, queue: Queue, tell: Callable[[str], None] = lambda sentence: None) -> str:
    """The file that submitit gives to sbatch for :func:`submit`; nothing is written or submitted."""
    needs("submitit", "slurm")
    count, place, asked = len(_tasks(folder, n, queue, tell)), str(_place(folder)), _parameters(folder, queue)
    several = count > 1
    log = f"{place}/%j_%t_log".replace("%j", "%A_%a" if several else "%j")
    flags = {name: asked[name] for name in asked.keys() - _NO_FLAGS} | asked["additional_parameters"]
    flags |= {"nodes": 1, "open-mode": "append", "signal": f"USR2@{_SECONDS_OF_WARNING}", "wckey": "submitit"}
    flags |= {"output": f"{log}.out".replace("%t", "0"), "error": f"{log}.err".replace("%t", "0")}
    flags |= {"array": f"0-{count - 1}%{min(count, queue.tasks)}"} if several else {}
    lines = ["#!/bin/bash", "", "# Parameters", *_flag_lines(flags), "", "# setup", *asked["setup"], "", "# command"]
    srun = shlex.join(["srun", "--unbuffered", "--output", f"{log}.out", "--error", f"{log}.err"])
    command = f"{shlex.quote(sys.executable)} -u -m submitit.core._submit {shlex.quote(place)}"
    return "\n".join([*lines, "export SUBMITIT_EXECUTOR=slurm", f"{srun} {command}", ""])


def _flag_lines(flags: Mapping[str, Any]) -> list[str]:
    named = {name.replace("_", "-"): value for name, value in sorted(flags.items())}
    return [f"#SBATCH --{k}" + ("" if v is True else f"={shlex.quote(str(v))}") for k, v in named.items()]


def _tasks(folder: Path, n: int, queue: Queue, tell: Callable[[str], None]) -> list[ShardTask]:
    """The tasks, of which there are no more than blocks."""
    config, n = read_run_file(folder), whole("n", n)
    if not (folder / "fit").is_dir():
        raise ConfigError(f"{folder} holds no finished fit: finish it with leastwork run … --resume")
    there = StoredEnsemble(folder / "ensemble.zarr")
    if there.path.exists() and len(there) >= n:
        raise ConfigError(f"{folder} holds {len(there)} samples already, and n={n} asks for no more: ask for more")
    blocks = -(-n // config.sampling.batch_size)
    count = min(queue.tasks, blocks)
    if count < queue.tasks:
        tell(f"{n} samples are {blocks} blocks of {config.sampling.batch_size}, so there are {count} tasks")
    return [ShardTask(folder.resolve(), n, Share(k, count)) for k in range(1, count + 1)]


def _place(folder: Path) -> Path:
    """Where submitit keeps its files, one folder for each job."""
    return folder.resolve() / _FOLDER / "%j"


def _parameters(folder: Path, queue: Queue) -> dict[str, Any]:
    """What submitit calls them; all tasks compute with as many threads, so that their numbers agree."""
    asked = {
        "partition": queue.partition,
        "account": queue.account,
        "constraint": queue.constraint,
        "qos": queue.qos,
        "mem": queue.memory,
        "gpus_per_task": queue.gpus_per_task or None,
    }
    return {
        "job_name": f"leastwork-{folder.resolve().name}",
        "time": minutes_of(queue.time),
        "ntasks_per_node": 1,
        "array_parallelism": queue.tasks,
        "cpus_per_task": queue.cpus_per_task,
        "signal_delay_s": _SECONDS_OF_WARNING,
        "additional_parameters": {"requeue": True},
        "setup": [*queue.setup, f"export OMP_NUM_THREADS={queue.cpus_per_task}"],
        **{name: value for name, value in asked.items() if value is not None},
    }
