"""Several ways to compute the same, in a fresh process each: time, how far they differ, and growth of the peak memory.

Imports nothing large, since a process hands its peak on to those that it starts.
"""

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.fresh import growth, in_fresh_process
from benchmarks.timing import cost, in_turn

__all__ = ["Way", "judge", "measure_memory", "measure_time"]

Way = Callable[[Any, Any, float], Any]


def measure_time(ways: Mapping[str, Way], x: Any, y: Any, bandwidth: float, rounds: int) -> dict[str, list[float]]:
    """Least wall and CPU time of each way, ms, and how far the first two differ, relative to the largest."""
    calls = {name: lambda way=way: way(x, y, bandwidth) for name, way in ways.items()}
    results = {name: call() for name, call in calls.items()}  # which also warms up
    costs = in_turn([lambda call=call: cost(call) for call in calls.values()], rounds)
    found = {
        name: [1e3 * min(one.wall for one in each), 1e3 * min(one.cpu for one in each)]
        for name, each in zip(ways, costs, strict=True)
    }
    pairs = zip(results["closed form"], results["decomposition"], strict=True)
    found["difference"] = [float((a - b).abs().max() / b.abs().max()) for a, b in pairs]
    return found


def measure_memory(way: Way, small: tuple[Any, Any], large: tuple[Any, Any]) -> float:
    """Growth of the peak from a small problem to a large one, MiB."""
    way(*small, 1.0)
    return growth(lambda: way(*large, 1.0))


def judge(
    size: int, near: bool, time_of: Callable[..., Any], memory_of: Callable[..., Any], reference: str
) -> dict[str, list[float]]:
    """Print a row for each way, with its CPU time over that of ``reference``, and how far the first two agree.

    Args:
        size: number of atoms or residues.
        near: whether samples and guides are variants of one structure; memory is measured where they are not.
        time_of: function (size, near) that returns what :func:`measure_time` does.
        memory_of: function (size, way) that returns MiB.
        reference: name of a way.

    Returns:
        wall and CPU time of each way, ms.
    """
    times = in_fresh_process(time_of, size, near)
    difference = times.pop("difference")
    for name, (wall, processor) in times.items():
        memory = "" if near else f"{in_fresh_process(memory_of, size, name):.0f}"
        factor = processor / times[reference][1]
        where = "near" if near else "far"
        print(
            f"{size:>8} {where:>5}  {name:<14} {wall:>7.1f} {processor:>7.1f} {memory:>11} {factor:>6.1f}", flush=True
        )
    print(f"{'':>16}they agree to {', '.join(f'{d:.0e}' for d in difference)} of the largest")
    return times
