"""Time of the maximum-entropy fit: `python -m benchmarks.maxent`.

Normal observables, correlated at 0.3, whose averages are asked to move: one by 0.7 standard deviations, fifty by up to
a quarter each; exactly, and with errors of 0.1.

Takes about ten seconds on one core.
"""

from statistics import median

import torch

from benchmarks.command import options
from benchmarks.timing import cost
from leastwork.data.experiment import Experiment
from leastwork.data.maxent import MaxEnt, fit_lambdas
from leastwork.observables.function import component, stack


def problem(count: int, n: int, error: float) -> tuple[torch.Tensor, Experiment]:
    """Samples (n, K) and data."""
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(n, 1, generator=generator, dtype=torch.float64)
    own = torch.randn(n, count, generator=generator, dtype=torch.float64)
    shifts = 0.5 * torch.rand(count, generator=generator, dtype=torch.float64) - 0.25
    observable = stack(*(component(k) for k in range(count)))
    return 0.3**0.5 * shared + 0.7**0.5 * own, Experiment(observable, shifts if count > 1 else 0.7, error)


def timed(observed: torch.Tensor, data: Experiment, repeats: int) -> tuple[float, MaxEnt]:
    """The median CPU time in milliseconds, and the fit."""
    fit = fit_lambdas(observed, data)
    return 1e3 * median(cost(lambda: fit_lambdas(observed, data)).cpu for _ in range(repeats)), fit


def main() -> None:
    options(__doc__).parse_args()
    print(f"{'K':>4} {'n':>8} {'error':>6} {'ms':>9} {'steps':>6} {'residual':>9} {'ESS':>6}")
    for count, n, repeats in [(1, 10_000, 500), (50, 100_000, 5)]:
        for error in (0.0, 0.1):
            ms, fit = timed(*problem(count, n, error), repeats)
            miss = (fit.predicted - fit.target).abs().max()
            print(f"{count:>4} {n:>8} {error:>6g} {ms:>9.3f} {fit.iterations:>6} {miss:>9.0e} {fit.ess:>6.3f}")


if __name__ == "__main__":
    main()
