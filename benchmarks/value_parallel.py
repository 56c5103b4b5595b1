"""Whether the network of V is worth several devices: `python -m benchmarks.value_parallel [--runs prinz chignolin]`.

Printed: the share of a fit's CPU seconds in which V is learned, which alone `torch.distributed` could divide; and the
CPU seconds of one optimiser step on the whole batch, and on half of it in each of two processes whose gradients are
averaged by gloo, with what the weights differ by after all steps.

Takes about five minutes on one core.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from benchmarks.command import options
from leastwork.networks.value import ValueNetwork, value_and_gradient
from leastwork.runs.carry_out import job_of
from leastwork.runs.load import load_config
from leastwork.support.progress import Tick

BATCH = 512


class Spent:
    """Progress that knows the CPU seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, label: str, total: int) -> Iterator[Tick]:
        begin = time.process_time()
        yield lambda count=1: None
        self.seconds[label] = self.seconds.get(label, 0.0) + time.process_time() - begin


def shares(name: str, changes: list[str]) -> tuple[float, dict[str, float]]:
    """CPU seconds of a fit, and of its stages."""
    spent, begin = Spent(), time.process_time()
    for part, config in load_config(name, changes).parts.items():
        if config.method == "least-work":
            job_of(part, config).fit(spent)
    return time.process_time() - begin, spent.seconds


def steps(rank: int, of: int, port: int, dimension: int, count: int, out: Path) -> None:
    """Learn for a while on one share of each batch; the CPU seconds of a step, and the weights."""
    torch.set_num_threads(1)
    if of > 1:
        torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=of)
    network = ValueNetwork(dimension, seed=0)
    parameters = list(network.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=1e-3)
    random = torch.Generator().manual_seed(0)
    x, along = (torch.randn(8 * BATCH, dimension, generator=random) for _ in range(2))
    own, level = slice(rank * BATCH // of, (rank + 1) * BATCH // of), torch.full((BATCH // of,), 0.7)
    begin = begin_wall = 0.0
    for i in range(count + 5):
        if i == 5:
            begin, begin_wall = time.process_time(), time.perf_counter()
        some = torch.randint(len(x), (BATCH,), generator=random)[own]
        _, slope = value_and_gradient(network, x[some], level, level)
        optimiser.zero_grad()
        (0.5 * slope.square().sum(dim=1) + (slope * along[some]).sum(dim=1)).mean().backward()
        if of > 1:
            _average(parameters, of)
        optimiser.step()
    cpu, wall = (time.process_time() - begin) / count, (time.perf_counter() - begin_wall) / count
    torch.save((cpu, wall, torch.cat([one.detach().flatten() for one in parameters])), out / f"{of}-{rank}.pt")


def _average(parameters: list[torch.nn.Parameter], of: int) -> None:
    gradients = [one.grad for one in parameters if one.grad is not None]
    flat = torch.cat([one.flatten() for one in gradients]) / of
    torch.distributed.all_reduce(flat)
    for one, new in zip(gradients, flat.split([one.numel() for one in gradients]), strict=True):
        one.copy_(new.reshape(one.shape))


def measured(dimension: int, count: int) -> tuple[list[tuple[float, float]], float]:
    """CPU seconds and seconds of a step by one process and by each of two; and how far their weights differ."""
    found: list[tuple[float, float, Tensor]] = []
    with TemporaryDirectory() as place, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        for of in (1, 2):
            context = get_context("spawn")
            started = [
                context.Process(target=steps, args=(rank, of, port, dimension, count, Path(place)))
                for rank in range(of)
            ]
            for one in started:
                one.start()
            for one in started:
                one.join()
            found.append(torch.load(Path(place) / f"{of}-0.pt", weights_only=True))
    return [(cpu, wall) for cpu, wall, _ in found], float((found[0][2] - found[1][2]).abs().max())


def main() -> None:
    words = options(__doc__)
    words.add_argument("--runs", nargs="*", default=["prinz", "chignolin-stability"])
    words.add_argument("--set", nargs="*", default=[], help="key=value of all runs")
    words.add_argument("--dimensions", nargs="*", type=int, default=[10, 300, 3000])
    words.add_argument("--steps", type=int, default=100)
    asked = words.parse_args()
    torch.set_num_threads(1)
    for dimension in asked.dimensions:
        (one, two), apart = measured(dimension, asked.steps)
        print(
            f"{dimension} coordinates: {1e3 * one[0]:.2f} CPU ms a step of {BATCH}, and {1e3 * two[0]:.2f} in each of "
            f"two processes ({1e3 * one[1]:.2f} and {1e3 * two[1]:.2f} ms by the clock); weights differ by {apart:.1e}",
            flush=True,
        )
    for name in asked.runs:
        whole, stages = shares(name, asked.set)
        told = ", ".join(f"{label} {used / whole:.1%}" for label, used in stages.items())
        print(f"{name}: {whole:.0f} CPU s, of which {told}", flush=True)
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
