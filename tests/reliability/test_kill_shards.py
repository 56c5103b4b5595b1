"""Four processes that draw shards of a run are killed at random moments, and begun again: the bytes are the same.

Kills hit their loading, their drawing and the end of the last one, which closes the store, measures and reports.
"""

import os
import random
import shutil
import signal
import time
import warnings
from pathlib import Path

import pytest
import torch
from forked import DONE, KILLED, REFUSED, bytes_of, end_of

from leastwork.runs.top_up import draw_shard, more_samples
from leastwork.sampling.shares import Share

N, SHARDS = 1200, 4


def begin(folder: Path, k: int) -> int:
    """A process that draws a shard; its number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        process = os.fork()
    if process == 0:
        end_of(lambda: draw_shard(folder, N, Share(k, SHARDS)))
    return process


def ended(process: int) -> int | None:
    """How a process ended, None while it has not."""
    found, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def disturbed(folder: Path, kills: int, chance: random.Random, longest: float) -> list[str]:
    """Draw all shards, and kill one every now and then; what was there each time."""
    there: list[str] = []
    running = {k: begin(folder, k) for k in range(1, SHARDS + 1)}
    next_kill = time.monotonic() + chance.uniform(0, longest)
    while running:
        for k, process in list(running.items()):
            how = ended(process)
            if how is None:
                continue
            assert how in (DONE, REFUSED, KILLED), how
            del running[k]
            if how == KILLED or (how == REFUSED and not (folder / "report.html").exists()):
                running[k] = begin(folder, k)  # refused while another one was at the end
        if len(there) < kills and time.monotonic() >= next_kill and running:
            victim = chance.choice(list(running))
            os.kill(running[victim], signal.SIGKILL)
            marks = len(list((folder / "ensemble.zarr.partial" / "finished").glob("*.npy")))
            there.append("closed" if not (folder / "ensemble.zarr.partial").exists() and marks == 0 else str(marks))
            next_kill = time.monotonic() + chance.uniform(0, longest)
        time.sleep(0.002)
    return there


@pytest.mark.slow
def test_shards_that_are_killed_at_random_moments(runs, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    begun, chance = runs.finished("observables"), random.Random(0)
    wanted = Path(shutil.copytree(begun, tmp_path / "wanted" / "run"))
    begin_at = time.monotonic()
    more_samples(wanted, N)
    longest = (time.monotonic() - begin_at) / 2
    wanted_bytes = bytes_of(wanted)
    left = int(os.environ.get("LEASTWORK_KILLS", 50))
    hit: list[str] = []
    while left > 0:
        folder = Path(shutil.copytree(begun, tmp_path / str(left) / "run"))
        here = disturbed(folder, min(left, chance.randint(1, 10)), chance, longest)
        hit, left = hit + here, left - len(here)
        draw_shard(folder, N, Share(1, SHARDS))  # in case the last one was killed
        found = bytes_of(folder)
        assert {name for name in {*found, *wanted_bytes} if found.get(name) != wanted_bytes.get(name)} == set()
    print(f"{len(hit)} kills, at so many finished blocks of {N // 24}: {hit}")
