"""How long a cluster of preempted workers takes: `python -m benchmarks.simulated_cluster [--quick]`.

A simulation of events: one process hands out blocks and takes their results, one after another, which costs it a few
milliseconds of its own for each; W workers draw a block each and ask for the next when they begin one. A worker is
preempted after a time that is exponentially distributed, on average an hour, comes back two minutes later, and its
block is drawn again by another as soon as its loss is known, half a minute after. The cost of a block and the relative
spread of the blocks' times are measured first, with Dask's scheduler and two workers of this machine. Ideal is the work
over the workers that are there, with nothing lost or waited for.

Printed: the makespan over the ideal of up to 10^5 workers, for blocks of 10, 60 and 600 s and an hour of work for each
worker, less of it beyond half a million blocks. Saves docs/images/cluster.png. ``--quick`` takes costs that were
measured before.

Takes about three minutes, --quick two minutes on one core.
"""

import heapq
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from benchmarks.command import options
from benchmarks.picture import open_frame, save

COST, SPREAD = 0.004, (0.95, 0.98, 1.0, 1.02, 1.05)
WORK, MOST = 3600.0, 500_000  # seconds of work for each worker, and blocks of a simulation, beyond five for each worker
COLOURS = {10.0: "#d55e00", 60.0: "#0072b2", 600.0: "#009e73"}


@dataclass(frozen=True)
class Cluster:
    """Workers and what happens to them, times in seconds.

    Args:
        workers: their number.
        cost: what a block costs the one process that serves all workers.
        life: mean time until a worker is preempted.
        gap: time until it is back.
        notice: time until a lost block is handed out again.
    """

    workers: int
    cost: float
    life: float = 3600.0
    gap: float = 120.0
    notice: float = 30.0

    def ideal(self, work: float) -> float:
        """Seconds of so much work on the workers that are there on average."""
        return work * (self.life + self.gap) / (self.workers * self.life)


def makespan(cluster: Cluster, blocks: Sequence[float], seed: int = 0) -> float:
    """Seconds until all blocks are drawn.

    Args:
        cluster: the workers.
        blocks: how long each block takes.
        seed: of the preemptions.
    """
    at_random = random.Random(seed)
    queue = deque(range(len(blocks)))
    served = 0.0  # when the one process has done what it was asked so far
    idle: list[int] = []
    ready = [0.0] * cluster.workers  # when the next block of a worker is there
    end_of_life = [at_random.expovariate(1 / cluster.life) for _ in range(cluster.workers)]
    events: list[tuple[float, str, int]] = [
        (0.0, "free", w) for w in range(cluster.workers)
    ]  # a heap, as they are alike
    left, now = len(blocks), 0.0

    def ask(at: float) -> float:
        nonlocal served
        served = max(served, at) + cluster.cost
        return served

    while left:
        now, what, k = heapq.heappop(events)
        if what == "lost":
            queue.appendleft(k)
            if idle:
                heapq.heappush(events, (now, "free", idle.pop()))
            continue
        if what == "done":
            left -= 1
        if what == "back":
            end_of_life[k] = now + at_random.expovariate(1 / cluster.life)
            ready[k] = ask(now)
        if not queue:
            idle.append(k)
            continue
        if now > end_of_life[k] + cluster.gap:  # it was preempted while it had nothing to do
            end_of_life[k] = now + at_random.expovariate(1 / cluster.life)
        begin = max(now, ready[k] or ask(now))
        block = queue.popleft()
        ready[k] = ask(begin)
        if begin + blocks[block] <= end_of_life[k]:
            heapq.heappush(events, (begin + blocks[block], "done", k))
        else:
            gone = max(end_of_life[k], now)
            heapq.heappush(events, (gone + cluster.notice, "lost", block))
            heapq.heappush(events, (gone + cluster.gap, "back", k))
    return now


def nothing(shared: int, item: int) -> bytes:
    """A block of no work, with a result of 100 kB."""
    return bytes(100_000)


def measured(blocks: int = 400) -> float:
    """CPU seconds that a block costs the process with Dask's scheduler and the client."""
    from leastwork.support.clusters import cluster, wanted
    from leastwork.support.executors import on_workers

    with cluster(wanted("local", 2)) as executor:
        list(on_workers(executor, nothing, 0, ((k, k) for k in range(20))))
        begin, used = time.perf_counter(), time.process_time()
        list(on_workers(executor, nothing, 0, ((k, k) for k in range(blocks))))
        cost = (time.process_time() - used) / blocks
        rate = blocks / (time.perf_counter() - begin)
        print(f"{rate:.0f} blocks a second through Dask, {1e3 * cost:.2f} ms of CPU each")
    return cost


def spread(count: int = 20) -> list[float]:
    """Times of blocks over their mean, of half a second of the bundled protein."""
    import leastwork as lw

    model = lw.load_model("chignolin")
    times = []
    for k in range(count):
        begin = time.process_time()
        lw.sample(model, 1024, steps=20, batch_size=1024, seed=k)
        times.append(time.process_time() - begin)
    print(f"blocks of {mean(times):.2f} s of CPU, with a standard deviation of {stdev(times) / mean(times):.1%}")
    return [one / mean(times) for one in times]


def over_ideal(workers: int, seconds: float, cost: float, relative: Sequence[float]) -> float:
    """The makespan over the ideal."""
    at_random = random.Random(1)
    each = max(min(round(WORK / seconds), MOST // workers), 5)
    blocks = [seconds * at_random.choice(relative) for _ in range(each * workers)]
    cluster = Cluster(workers, cost)
    return makespan(cluster, blocks) / cluster.ideal(sum(blocks))


def main() -> None:
    words = options(__doc__)
    words.add_argument("--quick", action="store_true", help="with the costs that were measured before")
    quick = words.parse_args().quick
    cost, relative = (COST, SPREAD) if quick else (measured(), spread())
    from matplotlib.figure import Figure

    numbers = (10, 100, 1000, 10_000, 100_000)
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for seconds, colour in COLOURS.items():
        found = [over_ideal(workers, seconds, cost, relative) for workers in numbers]
        shown = ", ".join(f"{ratio:.3f} of {n}" for n, ratio in zip(numbers, found, strict=True))
        print(f"blocks of {seconds:.0f} s, makespan over ideal: {shown}")
        axes.plot(numbers, found, "o-", color=colour, label=f"blocks of {seconds:.0f} s")
        served = seconds / cost  # workers that one process can serve
        axes.axvline(served, color=colour, linestyle=":", linewidth=1)
    axes.axhline(1.1, color="0.6", linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="workers", ylabel="time over ideal", xlim=(8, 130_000))
    axes.set_yticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    axes.legend(frameon=False, fontsize=8)
    open_frame(axes)
    save(figure, "cluster")


if __name__ == "__main__":
    main()
