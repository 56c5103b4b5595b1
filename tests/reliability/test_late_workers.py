"""A Dask worker with another leastwork that joins a run at work: it is refused, and none of its samples is written."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import leastwork as lw
from leastwork.support.clusters import cluster, wanted

pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore")  # Dask's own

OWN = Path(lw.__file__).parent
N, BATCH = 8_000, 8
NETS = "import time\n\n\ndef waiting(x, t):\n    time.sleep(0.05)\n    return -x\n\n\ndef quick(x, t):\n    return -x\n"


def changed(place: Path) -> Path:
    """A copy of the same version that draws other samples."""
    shutil.copytree(OWN, place / "leastwork", ignore=shutil.ignore_patterns("__pycache__"))
    file = place / "leastwork" / "sampling" / "stepping.py"
    wrong = (
        "def integrate(*args, **named):\n    found = _right(*args, **named)\n    return replace(found, x=found.x + 7)\n"
    )
    file.write_text(file.read_text().replace("def integrate(", f"{wrong}\n\ndef _right(", 1))
    return place


def renamed(place: Path) -> Path:
    """A copy that cannot unpack what it is sent."""
    shutil.copytree(OWN, place / "leastwork", ignore=shutil.ignore_patterns("__pycache__"))
    file = place / "leastwork" / "support" / "executors.py"
    file.write_text(file.read_text().replace("_carry_out", "_do"))
    return place


def drawn(nets: Any, net: str, out: Path, n: int, executor: Any = None) -> None:
    model = lw.DiffusionModel(getattr(nets, net), lw.VPSchedule(), predicts="score", event_shape=(3,))
    lw.sample(model, n, steps=5, batch_size=BATCH, seed=3, out=out, resume=True, executor=executor)


@pytest.mark.slow
@pytest.mark.parametrize("other", [changed, renamed])
def test_a_worker_that_joins_late(
    other: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "late_nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)
    nets = pytest.importorskip("late_nets")
    bad = other(tmp_path / "bad")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def started(kind: str, *words: str, leastwork: Path = OWN.parent) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{kind}", *words, "--no-dashboard"],
            env={**os.environ, "PYTHONPATH": f"{leastwork}:{tmp_path}"}, cwd=tmp_path, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    address = f"tcp://127.0.0.1:{port}"
    running = [started("scheduler", "--port", str(port), "--host", "127.0.0.1")]
    running.append(started("worker", address, "--nthreads", "1"))
    marks = tmp_path / "late.zarr.partial" / "finished"

    def join_late() -> None:
        while not list(marks.glob("*.npy")):
            time.sleep(0.1)
        running.append(started("worker", address, "--nthreads", "1", leastwork=bad))

    try:
        with cluster(wanted(address)) as executor:
            threading.Thread(target=join_late, daemon=True).start()
            with pytest.raises(lw.LeastworkError, match=rf"a worker on '.*' has another leastwork in {bad}.*: install"):
                drawn(nets, "waiting", tmp_path / "late.zarr", N, executor)
    finally:
        for process in running:
            process.kill()
            process.wait()
    begun = len(list(marks.glob("*.npy")))
    assert 0 < begun < N // BATCH
    drawn(nets, "quick", tmp_path / "late.zarr", N)
    drawn(nets, "quick", tmp_path / "undisturbed.zarr", N)
    found, expected = (lw.open_ensemble(tmp_path / name) for name in ("late.zarr", "undisturbed.zarr"))
    assert torch.equal(torch.as_tensor(found.x), torch.as_tensor(expected.x))
