"""Samples that go to disk as they are drawn: `python -m benchmarks.streaming [--most 1000000]`.

Samples of eight coordinates, ten steps, with work and weights, into a store in a temporary folder; each number of
samples in a process of its own, on one thread. Printed: MiB by which the peak memory grew after the first block, and
CPU seconds, in all and for each 1000 samples. Memory is flat if growth does not rise with the number, and time linear
if the last column does not.

Takes about two minutes and 150 MB on disk. This file imports nothing large at the top, since a process starts with the
peak of its parent.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.command import options
from benchmarks.fresh import growth, in_fresh_process
from benchmarks.timing import Cost, cost

STEPS, EVENT, BATCH = 10, 8, 1024


def streamed(n: int) -> dict[str, float]:
    """Growth of the peak, MiB, and CPU seconds."""
    import torch

    import leastwork as lw
    from leastwork.sampling.storage import StoredEnsemble

    torch.set_num_threads(1)
    model = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(EVENT,))
    choices: dict[str, Any] = {"steps": STEPS, "batch_size": BATCH}
    costs: list[Cost] = []
    with TemporaryDirectory() as place:
        lw.sample(model, BATCH, out=Path(place) / "first.zarr", **choices)
        more = growth(lambda: costs.append(cost(lambda: lw.sample(model, n, out=Path(place) / "all.zarr", **choices))))
        assert len(StoredEnsemble(Path(place) / "all.zarr")) == n
    return {"growth": more, "cpu": costs[0].cpu}


def main() -> None:
    words = options(__doc__)
    words.add_argument("--most", type=int, default=1_000_000, help="samples")
    most = words.parse_args().most
    for n in (most // 100, most // 10, most // 3, most):
        found = in_fresh_process(streamed, n)
        told = f"{found['growth']:6.1f} MiB, {found['cpu']:7.1f} CPU s, {1e6 * found['cpu'] / n:6.1f} ms a thousand"
        print(f"{n:>9} samples: {told}", flush=True)


if __name__ == "__main__":
    main()
