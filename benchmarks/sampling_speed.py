"""What guidance adds to the time and memory of sampling: `python benchmarks/sampling_speed.py`.

The bundled Prinz model, one observable x, scheduled guidance without Jacobian, 100 Euler steps. Time: 10,000 samples
with and without guidance in turn, seven times each, and the median of the seven ratios. Memory: growth of the peak
(resource.getrusage) over a warm-up of 100 samples, for 10,000 samples held in memory and for 10,000, 40,000 and
160,000 streamed to disk. Every figure comes from a fresh process. This one imports nothing large, since a process
starts with the peak of its parent.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

REPEATS = 7


def prepare(threads: int) -> Any:
    """``draw(n, guided, out)``: seconds of one call."""
    import torch

    import leastwork as lw
    from leastwork.guidance.scheduled import ScheduledGuidance
    from leastwork.observables import component

    torch.set_num_threads(threads)
    model = lw.load_model("prinz")
    guidance = ScheduledGuidance(component(0), torch.tensor([-1.5]), 1.0, 5.0, to_data=model.units)

    def draw(n: int, guided: bool, out: Path | None = None) -> float:
        begin = time.perf_counter()
        lw.sample(model, n, guidance if guided else None, solver="euler", steps=100, seed=1, out=out)  # type: ignore[call-overload]
        return time.perf_counter() - begin

    return draw


def measure_time(threads: int, n: int) -> dict[str, float]:
    """Medians in seconds, and of the ratios."""
    draw = prepare(threads)
    draw(n, True)
    draw(n, False)
    pairs = [(draw(n, False), draw(n, True)) for _ in range(REPEATS)]
    ratios = [guided / plain for plain, guided in pairs]
    return {
        "plain": statistics.median(p for p, _ in pairs),
        "guided": statistics.median(g for _, g in pairs),
        "ratio": statistics.median(ratios),
        "low": min(ratios),
        "high": max(ratios),
    }


def measure_memory(threads: int, n: int, guided: bool, streamed: bool) -> dict[str, float]:
    """Growth of the peak in MiB."""
    draw = prepare(threads)
    unit = 2**20 if sys.platform == "darwin" else 2**10

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit

    with tempfile.TemporaryDirectory() as folder:
        draw(100, guided, Path(folder) / "warm" if streamed else None)
        before = peak()
        seconds = draw(n, guided, Path(folder) / "samples" if streamed else None)
        return {"growth": peak() - before, "peak": peak(), "seconds": seconds}


def in_fresh_process(kind: str, *arguments: object) -> dict[str, float]:
    """What one of the two functions above returns there."""
    command = [sys.executable, __file__, "--measure", kind, json.dumps(arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args().measure
    if chosen:
        kind, arguments = chosen
        print(json.dumps({"time": measure_time, "memory": measure_memory}[kind](*json.loads(arguments))))
        return
    print(f"{'threads':>7} {'plain s':>8} {'guided s':>9} {'ratio':>6} {'range':>14}")
    for threads in (1, 2):
        t = in_fresh_process("time", threads, 10_000)
        spread = f"{t['low']:.3f}–{t['high']:.3f}"
        print(f"{threads:>7} {t['plain']:>8.2f} {t['guided']:>9.2f} {t['ratio']:>6.3f} {spread:>14}", flush=True)
    print(f"{'threads':>7} {'n':>8} {'held':>8} {'guided':>7} {'growth MiB':>11} {'peak MiB':>9} {'s':>6}")
    for threads in (1, 2):
        for n, guided, streamed in [
            (10_000, False, False),
            (10_000, True, False),
            (10_000, True, True),
            (40_000, True, True),
            (160_000, True, True),
        ]:
            m = in_fresh_process("memory", threads, n, guided, streamed)
            where, how = "on disk" if streamed else "memory", "yes" if guided else "no"
            print(
                f"{threads:>7} {n:>8} {where:>8} {how:>7} {m['growth']:>11.1f} {m['peak']:>9.0f} {m['seconds']:>6.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
