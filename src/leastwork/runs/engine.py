"""The workers of a command: processes of this machine, one for each GPU, or a Dask cluster."""

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

import torch

from leastwork.errors import ConfigError
from leastwork.runs.base.settings import Run
from leastwork.support.clusters import cluster, wanted
from leastwork.support.processes import VISIBLE, gpu_names, processes
from leastwork.support.text import plural, quoted

__all__ = ["check_gpus", "engine", "on_gpus"]

FIRST = "cuda:0"
"""What every worker with a GPU of its own calls it."""


@contextmanager
def engine(
    workers: int | None,
    devices: str | None,
    where: str | None,
    tell: Callable[[str], None] | None = None,
) -> Iterator[Executor | None]:
    """The executor that a command asks for, or None for this process.

    Args:
        workers: number of processes, or of workers of a cluster.
        devices: "all", or GPUs with commas between, such as "cuda:0,cuda:1"; one process for each.
        where: the cluster, as :func:`leastwork.support.clusters.wanted` takes it.
        tell: told where the cluster and its dashboard are.

    Raises:
        ConfigError: there is no such GPU or cluster, or GPUs are asked for beside a cluster or a number of workers.
    """
    if devices is None and where is not None:
        with cluster(wanted(where, workers), tell) as executor:
            yield executor
        return
    gpus: range = range(0)
    if devices is not None:
        if where is not None or workers is not None:
            raise ConfigError(
                "--devices has one process for each GPU of this machine: leave out --workers and --cluster, whose file "
                "asks the queue for GPUs"
            )
        gpus = range(see_gpus(devices))
    with processes(len(gpus) or workers or 1, gpus) as executor:
        yield executor


def see_gpus(devices: str) -> int:
    """Let this process see those GPUs alone, before it has used one; their number.

    Raises:
        ConfigError: a name is none of a GPU, is there twice, or this machine does not have it.
    """
    if devices == "all":
        count = torch.cuda.device_count()
        if not count:
            raise ConfigError("--devices all: this machine has no GPU that torch can use: leave it out for the CPU")
        return count
    names = devices.split(",")
    if any(re.fullmatch(r"cuda:\d+", name) is None for name in names) or len({*names}) < len(names):
        raise ConfigError(f"--devices {quoted(devices)}: give 'all', or each GPU once, such as cuda:0,cuda:1")
    asked = [int(name.removeprefix("cuda:")) for name in names]
    there = torch.cuda.device_count()
    if max(asked) >= there:
        raise ConfigError(
            f"--devices {devices}: torch can use {plural(there, 'GPU')} of this machine: "
            + (f"name those below cuda:{there}" if there else "leave it out for the CPU")
        )
    os.environ[VISIBLE] = ",".join(gpu_names(asked))
    return len(asked)


def on_gpus(config: Run) -> list[str]:
    """Settings that put every part of a run on the first GPU."""
    return [f"{part}.device={FIRST}" if part else f"device={FIRST}" for part in config.parts]


def check_gpus(config: Run, devices: str | None) -> None:
    """See to it that more samples of a run are drawn where its samples were.

    Raises:
        ConfigError: it was carried out without a GPU.
    """
    for one in config.parts.values():
        if devices is not None and not (one.device or "").startswith("cuda"):
            raise ConfigError(
                f"{one.name} was carried out on {one.device or 'the CPU'}, from where more of the same samples come: "
                "leave out --devices"
            )
