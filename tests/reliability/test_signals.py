"""SIGTERM and Ctrl-C end the command, and its children, in one line that says what goes on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

OBSERVABLES = (
    "model: prinz\nobservables: [{kind: component, name: x}]\ndata: [{name: x, value: 0.2, error: 0.05}]\n"
    "method: loss\nfit: {samples: 64}\nsampling: {n: 100000, steps: 50, batch_size: 64}\n"
)
PATH = (
    "model: moons\nguides: {csv: guides.csv}\nmethod: loss\nfit: {samples: 300}\n"
    "sampling: {n: 100000, steps: 50, batch_size: 64}\n"
)


def ended(place: Path, name: str, number: signal.Signals, when: Callable[[], bool]) -> tuple[int, list[str]]:
    """The exit code and the last words of a run that gets a signal as soon as it is time; no process is left."""
    words = [sys.executable, "-m", "leastwork.cli", "run", name, "--out", "o", "--workers", "2", "--quiet"]
    process = subprocess.Popen(words, cwd=place, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        until = time.monotonic() + 120
        while not when():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.05)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        for _ in range(100):
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                break
            time.sleep(0.05)
        else:
            pytest.fail("a process is left")
    finally:
        if process.poll() is None:
            process.kill()
    return process.returncode, said.splitlines()


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param(signal.SIGUSR1, 138, marks=pytest.mark.slow),
    ],
    ids=["SIGTERM", "SIGINT", "SIGUSR1"],
)
def test_a_run_ends_in_one_line(tmp_path: Path, number: signal.Signals, code: int) -> None:
    (tmp_path / "r.yaml").write_text(OBSERVABLES)
    marks = tmp_path / "o/ensemble.zarr.partial/finished"
    found, said = ended(tmp_path, "r.yaml", number, lambda: any(marks.glob("*.npy")))
    assert found == code
    assert said[-1] == "interrupted: go on with leastwork run r.yaml --out o --workers 2 --quiet --resume"
    assert not any("Traceback" in line for line in said)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_parts_in_processes_of_their_own_end_too(tmp_path: Path, number: signal.Signals, code: int) -> None:
    (tmp_path / "average.yaml").write_text(OBSERVABLES)
    (tmp_path / "rare.yaml").write_text(PATH)
    (tmp_path / "guides.csv").write_text("0.5,0.5\n0.9,1\n")
    (tmp_path / "both.yaml").write_text("runs: {average: average.yaml, rare: rare.yaml}\n")
    marks = tmp_path / "o/average/ensemble.zarr.partial/finished"
    found, said = ended(tmp_path, "both.yaml", number, lambda: any(marks.glob("*.npy")))
    assert found == code
    assert said[-1] == "interrupted: go on with leastwork run both.yaml --out o --workers 2 --quiet --resume"
    assert not any("Traceback" in line for line in said)
