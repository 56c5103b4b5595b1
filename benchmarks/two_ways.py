"""Two ways to compute the same, in a fresh process each: time, how far they differ, and growth of the peak memory.

Imports nothing large, since a process hands its peak on to those that it starts.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

Way = Callable[[Any, Any, float], Any]


def measure_time(
    ways: Mapping[str, Way], x: Any, y: Any, bandwidth: float, repeats: Mapping[str, int]
) -> dict[str, list[float]]:
    """Least wall and processor time of each way, ms, and how far the first two differ, relative to the largest."""
    found: dict[str, list[float]] = {}
    results = {}
    for name, way in ways.items():
        results[name] = way(x, y, bandwidth)
        walls, processor = [], []
        for _ in range(repeats[name]):
            begin, used = time.perf_counter(), time.process_time()
            way(x, y, bandwidth)
            processor.append(time.process_time() - used)
            walls.append(time.perf_counter() - begin)
        found[name] = [1e3 * min(walls), 1e3 * min(processor)]
    pairs = zip(results["closed form"], results["decomposition"], strict=True)
    found["difference"] = [float((a - b).abs().max() / b.abs().max()) for a, b in pairs]
    return found


def measure_memory(way: Way, small: tuple[Any, Any], large: tuple[Any, Any]) -> float:
    """Growth of the peak from a small problem to a large one, MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    way(*small, 1.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    way(*large, 1.0)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / unit


def in_fresh_process(file: str, kind: str, *arguments: object) -> Any:
    """What ``file --measure kind arguments`` prints, as JSON."""
    command = [sys.executable, file, "--measure", kind, json.dumps(arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
