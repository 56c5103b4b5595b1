"""Whole runs of each kind, fits included, that are killed at random moments: they go on to the same bytes.

Moments are drawn by the time that a process computes, so that a busy machine does not matter. How much computing a kill
costs is printed (``pytest -s``): of the killed and the resumed process together, beyond that of one without a kill.
"""

import os
import random
import shutil
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from forked import DONE, KILLED, bytes_of, end_of, forked

from leastwork.fit.labels import fit_labels
from leastwork.observable_guidance import job, least_work
from leastwork.runs import carry_out
from leastwork.support.checkpoints import Checkpoints

EVERY = 0.2
"""Seconds between checkpoints within a loop, of runs that are shorter than usual."""
LEAST_WORK = (
    "model: prinz\nobservables: [{kind: component, name: x}]\ndata: [{name: x, value: 0.0959511, error: 0}]\n"
    "method: least-work\nfit: {budget: 140000, iterations: 12}\nseed: 3\n"
    "sampling: {n: 64, steps: 10, batch_size: 16}\ncertificate_samples: 32\n"
)
"""A fit that trains networks, beside the runs of other tests, whose fits search for a number."""


@dataclass(frozen=True)
class Whole:
    """A run, the bytes that it leaves, and the seconds that it computes."""

    carry_out: Callable[[Path], None]
    files: dict[str, bytes]
    seconds: float


def computed(act: Callable[[], Any], until: float = float("inf")) -> tuple[int, float]:
    """How a forked process ended that is killed when it has computed for so many seconds, and how many it had."""
    process = os.fork()
    if process == 0:
        end_of(act)
    clock = (~process << 3) | 2  # of Linux, the time that another process has computed
    while until < float("inf") and os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.clock_gettime(clock) >= until:
            os.kill(process, signal.SIGKILL)
            break
        time.sleep(0.002)
    _, status, usage = os.wait4(process, 0)
    return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime


@pytest.fixture
def _by_time(runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints go by the time that the process computes, since the usual clock stands still in these tests."""
    last, write = [0.0], Checkpoints.write

    def noted(self: Checkpoints, path: Path, value: Any) -> None:
        write(self, path, value)
        last[0] = time.process_time()

    monkeypatch.setattr(least_work, "fit_labels", partial(fit_labels, iterations=12))
    monkeypatch.setattr(Checkpoints, "write", noted)
    monkeypatch.setattr(Checkpoints, "due", property(lambda self: time.process_time() - last[0] >= EVERY))


def whole(carry_out: Callable[[Path], None], out: Path) -> Whole:
    carry_out(out)  # so that this process, and those that it forks, have loaded everything
    shutil.rmtree(out)
    ended, seconds = computed(lambda: carry_out(out))
    assert ended == DONE
    found = bytes_of(out)
    shutil.rmtree(out)
    return Whole(carry_out, found, seconds)


def cost_of_a_kill(one: Whole, out: Path, at: float) -> float | None:
    """Seconds that are computed twice or for the sake of resuming; None where the run ended before."""
    shutil.rmtree(out, ignore_errors=True)
    ended, first = computed(lambda: one.carry_out(out), at)
    if ended == DONE:
        return None
    assert ended == KILLED
    ended, second = computed(lambda: one.carry_out(out))
    assert ended == DONE
    found = bytes_of(out)
    different = {name for name in {*found, *one.files} if found.get(name) != one.files.get(name)}
    assert different == set(), f"killed after {at} s"
    return first + second - one.seconds


@pytest.mark.slow
@pytest.mark.usefixtures("_by_time")
@pytest.mark.parametrize(
    ("kind", "kills"), [("observables", 14), ("path", 12), ("joint", 10), ("compare", 6), ("least-work", 8)]
)
def test_killed_at_random_moments(kind: str, kills: int, runs, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    (runs.place / "least-work.yaml").write_text(LEAST_WORK)
    out, chance = tmp_path / "out", random.Random(kind)
    one = whole(partial(runs.carry_out, kind), out)
    kills = int(os.environ.get("LEASTWORK_KILLS", kills))
    lost = []
    while len(lost) < kills:
        cost = cost_of_a_kill(one, out, chance.uniform(0.0, one.seconds))
        lost += [] if cost is None else [cost]
    words = f"{statistics.mean(lost):.2f} s on average, {max(lost):.2f} s at most"
    print(f"{kind}: {kills} kills of a run of {one.seconds:.1f} s cost {words}: {[round(cost, 2) for cost in lost]}")


STAGES: tuple[tuple[ModuleType, str], ...] = (
    (job, "draw"), (least_work, "_learn"), (least_work, "draw_labelled"), (least_work, "fit_labels"),
    (least_work, "draw_response"), (least_work, "polish"), (least_work, "_meet_averages"),
    (carry_out, "_draw"), (carry_out, "finish_run"), (carry_out, "write_report"),
)  # fmt: skip
"""What a run does from its first samples to its report, by the functions that do it."""


def killed_in(stage: tuple[ModuleType, str], after: float, act: Callable[[], Any]) -> int:
    """How a forked process ended that is killed when it has computed for so many seconds in a stage."""

    def acted() -> None:
        module, name = stage
        real = getattr(module, name)

        def doomed(*arguments: Any, **named: Any) -> Any:
            signal.setitimer(signal.ITIMER_PROF, after)  # ends in SIGPROF, which ends the process as it stands
            try:
                return real(*arguments, **named)
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)

        setattr(module, name, doomed)
        act()

    return forked(acted)


def seconds_of_stages(act: Callable[[], Any], notes: Path) -> dict[tuple[ModuleType, str], float]:
    """Seconds that each stage computes when it is called first, from a forked process."""

    def acted() -> None:
        for number, (module, name) in enumerate(STAGES):
            setattr(module, name, _noted(getattr(module, name), notes / str(number)))
        act()

    notes.mkdir()
    assert forked(acted) == DONE
    return {stage: float((notes / str(number)).read_text()) for number, stage in enumerate(STAGES)}


def _noted(real: Callable[..., Any], note: Path) -> Callable[..., Any]:
    def timed(*arguments: Any, **named: Any) -> Any:
        begin = time.process_time()
        found = real(*arguments, **named)
        if not note.exists():
            note.write_text(str(time.process_time() - begin))
        return found

    return timed


@pytest.mark.slow
@pytest.mark.usefixtures("_by_time")
def test_killed_in_each_stage(runs, tmp_path: Path) -> None:
    """The same command ends in the same bytes, whichever stage of the fit or of the sampling the kill falls in."""
    torch.set_num_threads(1)
    (runs.place / "least-work.yaml").write_text(LEAST_WORK.replace("140000", "600000"))  # enough for labels and polish
    out, chance = tmp_path / "out", random.Random("stages")
    act = partial(runs.carry_out, "least-work", out)
    wanted = whole(partial(runs.carry_out, "least-work"), out).files
    lengths = seconds_of_stages(act, tmp_path / "seconds")
    fitted = tmp_path / "fitted"
    shutil.copytree(out, fitted, ignore=shutil.ignore_patterns("ensemble.zarr", "metrics.json", "report.html", "*.csv"))
    killed, kills = Counter[str](), int(os.environ.get("LEASTWORK_KILLS", 3))
    for stage, length in lengths.items():
        for _ in range(3 * kills):
            if killed[stage[1]] == kills:
                break
            shutil.rmtree(out, ignore_errors=True)
            if stage[0] is carry_out:
                shutil.copytree(fitted, out)  # spares the fit
            ended = killed_in(stage, max(chance.uniform(0.0, 0.7 * length), 1e-6), act)
            if ended == DONE:
                continue
            assert ended == -signal.SIGPROF, stage
            killed[stage[1]] += 1
            assert forked(act) == DONE
            found = bytes_of(out)
            assert {name for name in {*found, *wanted} if found.get(name) != wanted.get(name)} == set(), stage
    print(dict(killed), {stage[1]: round(length, 2) for stage, length in lengths.items()})
    assert all(killed[name] == kills for _, name in STAGES)
