"""Dask, as an executor: a cluster of workers that is started here, or one that is there already.

    local · slurm · FILE.yaml · tcp://scheduler:port

Dask has the queue, carries lost pieces out again, and starts as many workers as there is work for. FILE.yaml says what
``dask_jobqueue`` is to be asked for:

    kind: slurm          # or pbs, sge, lsf, htcondor, oar, moab; local
    workers: 32          # at most
    at_least: 0
    options: {queue: gpu, cores: 1, memory: 16GB, walltime: "04:00:00", job_extra_directives: ["--gres=gpu:1"]}
"""

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.util import find_spec
from itertools import chain, repeat
from pathlib import Path
from pickle import HIGHEST_PROTOCOL, dumps, loads
from platform import python_version
from socket import gethostname
from typing import Any

from leastwork.errors import ConfigError
from leastwork.support.extras import needs
from leastwork.support.same_code import source_here
from leastwork.support.text import brief, nearest, plural, quoted
from leastwork.support.yaml_values import read_yaml

__all__ = ["Wanted", "cluster", "job_script", "wanted"]

_QUEUES = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "lsf": "LSFCluster",
    "htcondor": "HTCondorCluster",
    "oar": "OARCluster",
    "moab": "MoabCluster",
}
_ADDRESS = re.compile(r"(tcp|tls|wss?|ucxx?)://(\[[^]\s]+\]|[^]/:\s]+):\d{1,5}/?")
_KEYS = ("kind", "workers", "at_least", "options")
_MOST_JOBS = 16  # workers of a queue, where nobody says how many
_MOST_DEATHS = 9
"""Workers that may die with the same piece; with one more Dask gives it up, and it is tried once more at the end."""
_SECONDS_TO_CONNECT = 10
_PIECES_A_WORKER = 3  # pieces that wait for each worker, so that none is idle


@dataclass(frozen=True)
class Wanted:
    """The cluster that is asked for.

    Args:
        kind: "local", a queue of dask_jobqueue, or the address of a scheduler.
        workers: number of workers, of a queue at most; None for the usual number.
        at_least: number of workers that a queue keeps even without work.
        options: keywords of dask_jobqueue's cluster.
    """

    kind: str
    workers: int | None = None
    at_least: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_address(self) -> bool:
        return "://" in self.kind

    @property
    def most(self) -> int:
        """Workers that are started, at most."""
        return self.workers or (_MOST_JOBS if self.kind in _QUEUES else os.cpu_count() or 1)


def wanted(where: str, workers: int | None = None) -> Wanted:
    """What ``--cluster`` names.

    Args:
        where: "local", "slurm" or another queue, a YAML file, or the address of a scheduler.
        workers: number of workers, which goes before that of a file.

    Raises:
        ConfigError: there is no such cluster or file, or the file has other keys or values.

    >>> wanted("local", 2).most
    2
    """
    if _ADDRESS.fullmatch(where) or where in ("local", *_QUEUES):
        return Wanted(where, workers)
    if Path(where).suffix not in (".yaml", ".yml"):
        raise ConfigError(
            f"--cluster {quoted(where)} is no YAML file, no address of a scheduler such as tcp://HOST:PORT, and no "
            f"kind of cluster{nearest(where, ['local', *_QUEUES])}"
        )
    found = _read(Path(where))
    return found if workers is None else replace(found, workers=workers)


def _read(file: Path) -> Wanted:
    if not file.is_file():
        raise ConfigError(f"{file}: there is no such file of a cluster: write kind and options")
    tree = read_yaml(file)
    if not isinstance(tree, dict) or "kind" not in tree:
        raise ConfigError(f"{file} has no kind: write one of local, {', '.join(_QUEUES)}")
    for key in tree:
        if key not in _KEYS:
            raise ConfigError(f"{file}: {quoted(key)} is no key of a cluster{nearest(str(key), _KEYS)}")
    kind, workers, least = tree["kind"], tree.get("workers"), tree.get("at_least", 0)
    if kind != "local" and kind not in _QUEUES:
        raise ConfigError(f"{file}: kind {quoted(kind)}{nearest(str(kind), ['local', *_QUEUES])}")
    for key, value, lowest in (("workers", workers, 1), ("at_least", least, 0)):
        if value is not None and (not isinstance(value, int) or value < lowest):
            raise ConfigError(f"{file}: {key} is {quoted(value)}: give a whole number from {lowest} on")
    options = tree.get("options") or {}
    if not isinstance(options, dict):
        raise ConfigError(f"{file}: options are {quoted(options)}: give keywords of dask_jobqueue's {_QUEUES[kind]}")
    return Wanted(kind, workers, least, options)


@contextmanager
def cluster(asked: Wanted, tell: Callable[[str], None] | None = None) -> Iterator[Executor]:
    """An executor of a Dask cluster, which ends with the context if it was started here.

    Args:
        asked: from :func:`wanted`.
        tell: told in a sentence where the cluster and its dashboard are.

    Raises:
        ConfigError: the scheduler cannot be reached, or the queue lacks an option.
        LeastworkError: Dask is not installed.
    """
    dask, distributed = needs("dask", "cluster"), needs("distributed", "cluster")
    settings = {
        "distributed.scheduler.allowed-failures": _MOST_DEATHS,
        "distributed.worker.preload": ["leastwork.support.executors"],  # torch takes longer to import than a piece
        "distributed.worker.profile.enabled": False,  # it takes a tenth of the processor time of a worker
        "distributed.worker.memory.monitor-interval": "500ms",
        "distributed.admin.system-monitor.interval": "2s",
        "distributed.admin.large-graph-warning-threshold": "10GB",  # the model is sent once and not with every piece
    }
    with ExitStack() as open_now:
        open_now.enter_context(dask.config.set(settings))
        open_now.enter_context(_quiet("distributed", "tornado", "asyncio"))
        if asked.kind.startswith(("tls:", "wss:")) and not dask.config.get("distributed.comm.tls.ca-file"):
            raise ConfigError(
                f"--cluster {asked.kind} takes certificates: name them in Dask's configuration, under "
                "distributed.comm.tls (ca-file, client.cert, client.key), or take tcp://"
            )
        where = asked.kind if asked.is_address else open_now.enter_context(_started(asked))
        try:
            client = open_now.enter_context(
                distributed.Client(where, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
            )
        except (OSError, TimeoutError, ValueError) as error:
            raise ConfigError(
                f"no scheduler answers at {asked.kind} ({brief(error)}): start one by dask scheduler, and see to it "
                "that this machine may reach it"
            ) from error
        if asked.is_address:
            _check_python(client)
        if tell is not None:
            tell(_in_words(asked, client))
        yield _Dask(client, asked.most)


def _check_python(client: Any) -> None:
    """Check that workers which somebody else started have this Python; code of another they cannot unpack."""
    own = python_version()
    for worker, found in client.run(python_version, on_error="return").items():
        if str(found).split(".")[:2] != own.split(".")[:2]:
            raise ConfigError(
                f"the worker at {worker} has Python {found}, and this is {own}: start workers with the same"
            )


def job_script(asked: Wanted) -> str:
    """The script of one of a queue's jobs, as it would be submitted.

    Raises:
        ConfigError: the cluster has no queue, or the queue lacks an option.
    """
    if asked.kind not in _QUEUES:
        raise ConfigError(f"--cluster {asked.kind} has no queue and so no job script: leave out --job-script")
    with _started(replace(asked, at_least=0), adapt=False) as started:
        return started.job_script()


@contextmanager
def _started(asked: Wanted, adapt: bool = True) -> Iterator[Any]:
    """A cluster of this machine, or one whose workers come and go with the work."""
    if asked.kind == "local":
        with needs("distributed", "cluster").LocalCluster(
            n_workers=asked.most, threads_per_worker=1, processes=True, silence_logs=logging.CRITICAL
        ) as started:
            # Dask starts a worker again that dies at work, but not one that dies while it starts
            healing = needs("tornado.ioloop", "cluster").PeriodicCallback(lambda: started.scale(asked.most), 2000)
            started.loop.add_callback(healing.start)
            try:
                yield started
            finally:
                started.loop.add_callback(healing.stop)
        return
    queues = needs("dask_jobqueue", "cluster")
    try:
        started = getattr(queues, _QUEUES[asked.kind])(**asked.options)
    except (TypeError, ValueError, KeyError) as error:
        raise ConfigError(
            f"--cluster {asked.kind}: dask_jobqueue says {brief(error)!r}: put such options into a FILE.yaml, as "
            f"kind: {asked.kind} and options: {{cores: 1, memory: 8GB}}"
        ) from error
    with started:
        if adapt:
            started.adapt(minimum=asked.at_least, maximum=asked.most)
        yield started


def _in_words(asked: Wanted, client: Any) -> str:
    there = len(client.scheduler_info(n_workers=-1)["workers"])
    now = (
        plural(there, "worker")
        if asked.is_address or asked.kind == "local"
        else f"up to {plural(asked.most, 'worker')}"
    )
    board = client.dashboard_link if find_spec("bokeh") else "none, since bokeh is not installed"
    return f"Dask at {client.scheduler.address} with {now}; dashboard: {board}"


class _Dask(Executor):
    """Dask's own executor, whose workers get what pieces share from each other and not with every piece."""

    def __init__(self, client: Any, workers: int) -> None:
        self._client, self._workers, self._inner = client, workers, client.get_executor(pure=False)
        self._first_places: Iterator[str] = iter(())

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """One of the arguments may be what :meth:`share` returned."""
        at = next((i for i, one in enumerate(args) if isinstance(one, _Shared)), len(args))
        shared = [one.future for one in args[at:] if isinstance(one, _Shared)]
        packed = dumps((fn, args[:at], args[at + len(shared) :], kwargs), HIGHEST_PROTOCOL)
        place = next(self._first_places, None)
        where = {} if place is None else {"workers": [place], "allow_other_workers": True}
        return self._inner.submit(_of_no_module(), source_here(), packed, *shared, **where)

    def share(self, packed: bytes) -> object:
        """A piece of its own, since Dask makes the result of a piece again that is lost with its worker.

        The first pieces go to all workers in turn: by itself, Dask would give them all to the one that holds the value.
        """
        self._first_places = chain.from_iterable(repeat(list(self._client.nthreads()), _PIECES_A_WORKER))
        return _Shared(self._client.submit(bytes, packed, pure=False))

    def most_pending(self) -> int:
        workers = max(self._workers, len(self._client.nthreads()))
        return _PIECES_A_WORKER * workers

    def why_idle(self) -> str:
        if self._client.nthreads():
            return ""
        return f"Dask at {self._client.scheduler.address} has no worker yet: it waits for one, so see to the queue"

    def is_stranded(self) -> bool:
        """Dask forgets pieces that were to go to a certain worker, or any other, if at some time there was none."""
        at_work = self._client.processing() if self._client.status == "running" else {}
        return bool(at_work) and not any(at_work.values())

    def why_lost(self) -> str:
        if self._client.status == "running":
            return ""
        return "the scheduler of Dask has ended or cannot be reached any more: start it again"


@dataclass(frozen=True)
class _Shared:
    """What workers hand on to each other."""

    future: Any


def _of_no_module() -> Callable[..., Any]:
    """A function that travels by its code, not by its name, so that workers with another leastwork, or none, have it.

    Those cannot even unpack a piece, and Dask would start them again and again without a word.
    """

    def carry_out(source: str, packed: bytes, *shared: bytes) -> Any:
        try:
            own = import_module("leastwork.support.same_code").source_here()
        except (ImportError, AttributeError):
            own = None
        if own != source:
            there = find_spec("leastwork")
            has = "no leastwork" if there is None else f"another leastwork in {there.origin}"
            raise ImportError(f"a worker on {gethostname()!r} has {has}")
        fn, before, after, named = loads(packed)
        return fn(*before, *shared, *after, **named)

    return carry_out


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Lost workers are Dask's daily bread and no news; what stops a run is raised."""
    loggers = [logging.getLogger(one) for one in logging.root.manager.loggerDict if one.split(".")[0] in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
