"""CPU seconds of cross-validation of θ: `python -m benchmarks.trust`, 390 data in 130 groups, 4,000 samples, 17 θ.

The data are averages of 40 hidden coordinates with noise, three of them in each group; at the smallest θ the weights
leave one effective sample in a hundred, which is where fits without a group are slowest.

Takes a minute on one core.
"""

import torch

from benchmarks.command import options
from benchmarks.timing import cost
from leastwork.data.experiment import Experiment
from leastwork.data.trust import trust
from leastwork.observables import Observable
from leastwork.support.random import generator


def problem(samples: int, data: int, hidden: int = 40) -> tuple[torch.Tensor, Experiment]:
    """Observables (n, K) and data with errors of half a unit."""
    random = generator(0, "trust")
    kinds = {"generator": random, "dtype": torch.float64}
    mix = torch.randn(hidden, data, **kinds) / hidden**0.5
    observed = torch.randn(samples, hidden, **kinds) @ mix + 0.5 * torch.randn(samples, data, **kinds)
    values = 0.3 * torch.randn(hidden, **kinds) @ mix + 0.5 * torch.randn(data, **kinds)
    names = tuple(f"d{k}" for k in range(data))
    return observed, Experiment(Observable(lambda x: x, names), values, [0.5] * data)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--data", type=int, default=390)
    parser.add_argument("--each", type=int, default=3, help="data in a group")
    args = parser.parse_args()
    observed, experiment = problem(args.samples, args.data)
    groups = [f"group {k // args.each}" for k in range(args.data)]
    found: list[float] = []
    spent = cost(lambda: found.append(trust(observed, experiment, groups).theta))
    print(f"{spent.cpu:.1f} CPU s, {spent.wall:.1f} s on the clock; θ = {found[0]:.4g}")


if __name__ == "__main__":
    main()
