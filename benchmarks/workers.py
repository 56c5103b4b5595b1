"""What several processes gain, and what the engine costs: `python -m benchmarks.workers [--seconds 1] [--blocks 24]`.

Blocks of about one second are drawn in this process, by two processes, and by Dask with one worker and with two, in
turn, by workers that have begun. Printed: seconds, the gain of two over one, and the overhead of one Dask worker over
this process; the overhead of the engine alone, the seconds of a call over those that its worker spent in blocks; CPU
seconds of a block, which must not grow with the number of workers; and the load of the machine. Seconds depend on the
load, CPU seconds hardly do. ``--wait`` takes blocks that wait in place of computing, so that two processes do not need
two cores.

Takes about five minutes on two cores.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import ExitStack

import torch

import leastwork as lw
from benchmarks.command import options
from benchmarks.timing import Cost, cost, in_turn, ratio
from leastwork.geometry.state import State
from leastwork.support.clusters import cluster, wanted
from leastwork.support.executors import pieces, using
from leastwork.support.processes import processes

BATCH, STEPS = 1024, 20


class Busy(torch.nn.Module):
    """−x, for which it multiplies matrices for a while, or waits."""

    def __init__(self, repeats: int, seconds: float) -> None:
        super().__init__()
        self.repeats, self.seconds = repeats, seconds
        self.register_buffer("matrix", torch.eye(128))
        self.scale = torch.nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        if self.seconds:
            time.sleep(self.seconds)
        y, matrix = x, self.get_buffer("matrix")
        for _ in range(self.repeats):
            y = y @ matrix
        return -y * self.scale


def model(repeats: int, seconds: float) -> lw.DiffusionModel:
    return lw.DiffusionModel(Busy(repeats, seconds), lw.VPSchedule(), predicts="score", event_shape=(128,))


def drawing(net: lw.DiffusionModel, blocks: int, executor: Executor | None) -> Callable[[], object]:
    return lambda: lw.sample(net, blocks * BATCH, steps=STEPS, batch_size=BATCH, executor=executor)


def block(net: lw.DiffusionModel, seed: int) -> tuple[float, float, State]:
    """Seconds and CPU seconds of a block, and its samples."""
    begin, begin_cpu = time.perf_counter(), time.process_time()
    drawn = lw.sample(net, BATCH, steps=STEPS, batch_size=BATCH, seed=seed)
    return time.perf_counter() - begin, time.process_time() - begin_cpu, drawn.x


def in_blocks(net: lw.DiffusionModel, blocks: int, executor: Executor | None) -> tuple[float, float, float]:
    """Seconds and CPU seconds in blocks, and seconds of the whole call."""
    begin = time.perf_counter()
    with using(executor), pieces(block, net, blocks) as piece:
        spent = [piece(k)[:2] for k in range(blocks)]
    return sum(wall for wall, _ in spent), sum(cpu for _, cpu in spent), time.perf_counter() - begin


def main() -> None:
    words = options(__doc__)
    words.add_argument("--seconds", type=float, default=1.0, help="of a block")
    words.add_argument("--blocks", type=int, default=24)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--wait", action="store_true", help="blocks that wait")
    asked = words.parse_args()
    torch.set_num_threads(1)
    one = cost(drawing(model(100, 0.0), 1, None)).cpu / 100
    repeats = 1 if asked.wait else max(round(asked.seconds / one), 1)
    net = model(repeats, asked.seconds / STEPS if asked.wait else 0.0)
    names = ("this process", "1 Dask worker", "2 processes", "2 Dask workers")
    with ExitStack() as pools:
        executors = [
            None,
            pools.enter_context(cluster(wanted("local", 1))),
            pools.enter_context(processes(2)),
            pools.enter_context(cluster(wanted("local", 2))),
        ]
        for executor in executors[1:]:
            drawing(net, 2, executor)()
        calls: list[Callable[[], Cost]] = [
            lambda executor=executor: cost(drawing(net, asked.blocks, executor)) for executor in executors
        ]
        before = os.getloadavg()[0]
        found = in_turn(calls, asked.rounds)
        inside = [[in_blocks(net, asked.blocks, one) for one in executors] for _ in range(asked.rounds)]
    for name, costs in zip(names, found, strict=True):
        wall = [each.wall for each in costs]
        print(f"{name:15} {min(wall) / asked.blocks:7.3f} s a block at best, {[round(x, 1) for x in wall]} s in all")
    alone, dask, two, two_dask = ([each.wall for each in costs] for costs in found)
    print(f"overhead of Dask, one worker over this process:   {ratio(alone, dask)}")
    print(f"two processes over this process:                   {ratio(two, alone)} times as fast")
    print(f"two Dask workers over one:                         {ratio(two_dask, dask)} times as fast")
    engine = ratio([each[1][0] for each in inside], [each[1][2] for each in inside])
    print(f"one Dask worker over the seconds in its blocks:    {engine}")
    for i, name in enumerate(names):
        print(f"{name:15} {min(each[i][1] for each in inside) / asked.blocks:7.3f} CPU s a block at best")
    print(f"load of the machine at the beginning and the end:  {before:.1f}, {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
