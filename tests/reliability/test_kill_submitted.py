"""Tasks of ``leastwork submit --here``, what watches them, and the command itself are killed at random moments.

The same command again draws what is missing, also while tasks of the one before, which was killed, are still at work.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

import leastwork as lw
from leastwork.runs.top_up import more_samples

pytest.importorskip("submitit")

N, TASKS = 24_000, 3
LONGEST = 6.0  # seconds between two kills
TOO_LONG = 300.0  # seconds without an end


def chunks_of(store: Path) -> dict[str, bytes]:
    """All files but those that say how long it took."""
    files = (path for path in store.rglob("*") if path.is_file() and path.name not in (".zattrs", ".zmetadata"))
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in files}


def processes_of(sessions: list[int]) -> dict[int, str]:
    """Processes that were started by commands, each of which began a session; with what they are."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            words = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(words[3]) in sessions and words[0] != "Z":
                called = (entry / "cmdline").read_bytes().decode().split("\0")
                found[int(entry.name)] = next((name for name in KINDS if name in called), "other")
    return found


KINDS = ("leastwork.cli", "submitit.local._local", "submitit.core._submit")


@pytest.mark.slow
def test_submitted_tasks_that_are_killed_at_random_moments(runs, tmp_path: Path) -> None:
    begun, chance = runs.finished("observables"), random.Random(int(os.environ.get("LEASTWORK_SEED", 0)))
    wanted, found = (Path(shutil.copytree(begun, tmp_path / name / "run")) for name in ("wanted", "found"))
    more_samples(wanted, N)
    words = [sys.executable, "-m", "leastwork.cli", "submit", str(found), "--n", str(N)]
    left, sessions, hit, said = int(os.environ.get("LEASTWORK_KILLS", 6)), list[int](), Counter[str](), list[str]()
    ended = 1
    while ended != 0:
        command = subprocess.Popen(
            [*words, "--tasks", str(TASKS), "--here"],
            start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        sessions.append(command.pid)
        until = time.monotonic() + TOO_LONG
        while command.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                command.wait(chance.uniform(0, LONGEST) if left else TOO_LONG)
            assert time.monotonic() < until, "the command hangs"
            there = processes_of(sessions)
            if left and there:
                victim = chance.choice(list(there))
                with suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                    hit[there[victim]] += 1
                    left -= 1
        ended = command.returncode
        assert command.stderr is not None
        with command.stderr as told:
            said.append(told.read().strip())
        assert "Traceback" not in said[-1], said[-1]
        if ended == 2 and f"holds {N} samples already" in said[-1]:  # tasks of a killed command have finished it
            more_samples(found, N)
            break
    until = time.monotonic() + TOO_LONG
    while processes_of(sessions):
        assert time.monotonic() < until, processes_of(sessions)
        time.sleep(0.2)
    print(dict(hit), [one.splitlines()[-1:] for one in said])
    assert len(lw.open_ensemble(found / "ensemble.zarr")) == N
    assert chunks_of(found / "ensemble.zarr") == chunks_of(wanted / "ensemble.zarr")
    assert not (found / "ensemble.zarr.partial").exists()
