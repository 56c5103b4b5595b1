"""What guidance adds to the time and memory of sampling: `python -m benchmarks.sampling_speed`.

The bundled Prinz model, one observable x, scheduled guidance without Jacobian, 100 Euler steps. Time: 10,000 samples
with and without guidance in turn, seven times each, and the median of the seven ratios. Memory: growth of the peak
(resource.getrusage) over a warm-up of 100 samples, for 10,000 samples held in memory and for 10,000, 40,000 and
160,000 streamed to disk. Every figure comes from a fresh process. This one imports nothing large, since a process
starts with the peak of its parent.

Takes about two minutes on one core.
"""

import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.command import options
from benchmarks.fresh import growth, in_fresh_process, peak
from benchmarks.timing import Cost, cost, in_turn, ratio

REPEATS = 7


def prepare(threads: int) -> Any:
    """``draw(n, guided, out)``: the cost of one call."""
    import torch

    import leastwork as lw
    from leastwork.guidance.scheduled import ScheduledGuidance
    from leastwork.observables import component

    torch.set_num_threads(threads)
    model = lw.load_model("prinz")
    guidance = ScheduledGuidance(component(0), torch.tensor([-1.5]), 1.0, 5.0, to_data=model.units)

    def draw(n: int, guided: bool, out: Path | None = None) -> Cost:
        added = guidance if guided else None
        return cost(lambda: lw.sample(model, n, added, solver="euler", steps=100, seed=1, out=out))  # type: ignore[call-overload]

    return draw


def measure_time(threads: int, n: int) -> dict[str, float]:
    """Medians in seconds on the wall clock, and the ratio."""
    draw = prepare(threads)
    draw(n, True)
    draw(n, False)
    costs = in_turn([lambda: draw(n, False), lambda: draw(n, True)], REPEATS)
    plain, guided = ([one.wall for one in each] for each in costs)
    found = ratio(plain, guided)
    return {"plain": median(plain), "guided": median(guided), "ratio": found.value, "stderr": found.stderr}


def measure_memory(threads: int, n: int, guided: bool, streamed: bool) -> dict[str, float]:
    """Growth of the peak in MiB."""
    draw = prepare(threads)
    with tempfile.TemporaryDirectory() as folder:
        draw(100, guided, Path(folder) / "warm" if streamed else None)
        costs: list[Cost] = []
        more = growth(lambda: costs.append(draw(n, guided, Path(folder) / "samples" if streamed else None)))
        return {"growth": more, "peak": peak(), "seconds": costs[0].wall}


def main() -> None:
    options(__doc__).parse_args()
    print(f"{'threads':>7} {'plain s':>8} {'guided s':>9} {'ratio':>6}")
    for threads in (1, 2):
        t = in_fresh_process(measure_time, threads, 10_000)
        print(f"{threads:>7} {t['plain']:>8.2f} {t['guided']:>9.2f} {t['ratio']:>6.3f} ± {t['stderr']:.3f}", flush=True)
    print(f"{'threads':>7} {'n':>8} {'held':>8} {'guided':>7} {'growth MiB':>11} {'peak MiB':>9} {'s':>6}")
    for threads in (1, 2):
        for n, guided, streamed in [
            (10_000, False, False),
            (10_000, True, False),
            (10_000, True, True),
            (40_000, True, True),
            (160_000, True, True),
        ]:
            m = in_fresh_process(measure_memory, threads, n, guided, streamed)
            where, how = "on disk" if streamed else "memory", "yes" if guided else "no"
            print(
                f"{threads:>7} {n:>8} {where:>8} {how:>7} {m['growth']:>11.1f} {m['peak']:>9.0f} {m['seconds']:>6.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
