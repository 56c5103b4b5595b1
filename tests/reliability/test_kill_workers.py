"""Dask workers and schedulers that are killed with SIGKILL: every sample is there once, with its bytes."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch

import leastwork as lw
from leastwork.support import clusters, executors
from leastwork.support.clusters import cluster, wanted
from leastwork.support.executors import on_workers
from leastwork.support.given_up import GivenUp

pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore")  # Dask's own

STEPS, BATCH = 4, 8


def waiting(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """A network that takes its time without computing, so that a kill meets a piece at work."""
    time.sleep(0.02)
    return -x


def quick(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return -x


def drawn(
    out: Path, n: int, net: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], executor: object = None
) -> None:
    model = lw.DiffusionModel(net, lw.VPSchedule(), predicts="score", event_shape=(3,))
    lw.sample(model, n, steps=STEPS, batch_size=BATCH, seed=3, out=out, resume=True, executor=executor)  # pyright: ignore


def bytes_of(store: Path) -> dict[str, bytes]:
    """All files but those that say how long it took."""
    names = (path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file())
    return {name: (store / name).read_bytes() for name in names if name not in (".zattrs", ".zmetadata")}


def kill_at_random(executor: Any, kills: int, done: list[int], stop: threading.Event) -> None:
    """Kill one of the workers that the scheduler knows now and then, and seldom the last that there is."""
    at_random = random.Random(0)
    while len(done) < kills and not stop.wait(at_random.random()):
        found = [one.pid for one in list(executor._client.cluster.scheduler.workers.values())]
        if len(found) > 1 or (found and at_random.random() < 0.1):
            with suppress(ProcessLookupError):
                os.kill(at_random.choice(found), signal.SIGKILL)
                done.append(1)


@contextmanager
def forked_workers() -> Iterator[None]:
    """Workers are forked from a process that has imported torch, so that a killed one is soon replaced."""
    dask, utils = pytest.importorskip("dask"), pytest.importorskip("distributed.utils")
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        utils.get_mp_context().set_forkserver_preload(
            ["distributed", "leastwork.support.clusters", "leastwork.sampling.sample"]
        )
        yield


def endure(kills: int, place: Path) -> int:
    """Draw while workers are killed, more and more samples until there were as many kills; the number of samples."""
    done: list[int] = []
    stop = threading.Event()
    n = 0
    with forked_workers(), cluster(wanted("local", 2)) as executor:
        killer = threading.Thread(target=kill_at_random, args=(executor, kills, done, stop))
        killer.start()
        try:
            while len(done) < kills or n == 0:
                n += 20 * BATCH
                drawn(place / "killed.zarr", n, waiting, executor)
        finally:
            stop.set()
            killer.join()
    drawn(place / "undisturbed.zarr", n, quick)
    assert bytes_of(place / "killed.zarr") == bytes_of(place / "undisturbed.zarr")
    assert len(lw.open_ensemble(place / "killed.zarr")) == n
    print(f"{len(done)} kills, {n // BATCH} batches")
    return n


def test_a_few_kills(tmp_path: Path) -> None:
    endure(2, tmp_path)


@pytest.mark.slow
def test_a_hundred_kills(tmp_path: Path) -> None:
    endure(100, tmp_path)


@pytest.mark.slow
def test_kills_after_two_of_which_dask_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_MOST_DEATHS", 1)
    again, rounds = GivenUp.again, []
    monkeypatch.setattr(GivenUp, "again", lambda self: rounds.append(again(self)) or rounds[-1])
    endure(30, tmp_path)
    assert rounds


def resting(_: None, i: int) -> int:
    time.sleep(0.3)
    return i


@pytest.mark.slow
def test_all_workers_are_killed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "_SECONDS_TO_WONDER", 2.0)
    with forked_workers(), cluster(wanted("local", 2)) as executor:
        results = on_workers(executor, resting, None, ((i, i) for i in range(20)))
        first = next(results)
        for one in list(executor._client.cluster.scheduler.workers.values()):  # pyright: ignore
            os.kill(one.pid, signal.SIGKILL)
        assert dict([first, *results]) == {i: i for i in range(20)}


def deadly(_: None, i: int) -> int:
    if i == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return i


@pytest.mark.slow
def test_a_piece_that_kills_its_worker_ends_the_run_when_all_others_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_MOST_DEATHS", 1)
    found: list[int] = []
    with forked_workers(), cluster(wanted("local", 2)) as executor:
        results = on_workers(executor, deadly, None, ((i, i) for i in range(12)))
        with pytest.raises(lw.LeastworkError, match=r"piece 3 ended every worker that tried, .* \(2 workers died"):
            found.extend(i for i, _ in results)
    assert sorted(found) == [i for i in range(12) if i != 3]


@contextmanager
def dask(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A scheduler and two workers, each in a process of its own; the scheduler."""

    def started(what: str, *options: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", f"distributed.cli.dask_{what}", "--no-dashboard", *options]
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    scheduler = started("scheduler", "--port", str(port), "--host", "127.0.0.1")
    one_thread = ("--nthreads", "1", "--no-nanny", "--death-timeout", "20")
    workers = [started("worker", f"tcp://127.0.0.1:{port}", *one_thread) for _ in range(2)]
    try:
        yield scheduler
    finally:
        for process in (scheduler, *workers):
            process.kill()
            process.wait()


RUN = (
    "model: prinz\nobservables: [{kind: component, name: x}]\ndata: [{name: x, value: 0.2, error: 0.05}]\n"
    "method: loss\nfit: {samples: 64}\nsampling: {n: 1000, steps: 20, batch_size: 16}\n"
)


@pytest.mark.slow
def test_the_scheduler_is_killed_and_the_command_run_again(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RUN)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "leastwork.cli", "run", "r.yaml", "--quiet"]
    there = [*words, "--out", "killed", "--cluster", f"tcp://127.0.0.1:{port}"]
    with dask(port) as scheduler:
        command = subprocess.Popen(there, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        marks, until = tmp_path / "killed/ensemble.zarr.partial/finished", time.monotonic() + 120
        while len(list(marks.glob("*.npy"))) < 20:
            assert command.poll() is None, command.communicate()
            assert time.monotonic() < until
            time.sleep(0.05)
        scheduler.kill()
        _, said = command.communicate(timeout=120)
    assert command.returncode == 2
    assert said.splitlines() == [
        "error: the scheduler of Dask has ended or cannot be reached any more: start it again; what is finished is in "
        "killed, --resume continues there"
    ]
    with dask(port):
        subprocess.run([*there, "--resume"], cwd=tmp_path, check=True, timeout=300)
    subprocess.run([*words, "--out", "undisturbed"], cwd=tmp_path, check=True, timeout=300)
    found, expected = (bytes_of(tmp_path / name / "ensemble.zarr") for name in ("killed", "undisturbed"))
    assert found == expected
