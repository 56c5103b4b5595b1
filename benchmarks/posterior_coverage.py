"""How often 95 % credible intervals hold the truth: `python -m benchmarks.posterior_coverage`.

The model is normal with correlated observables, of which a finite number of samples is drawn in each repeat. The truth
is drawn from the prior, the data with errors that are off by a factor that is inferred. Intervals are those of λ, of
averages and of populations x > ½, in repeats of which the posterior says that they may be believed and in those of
which it says that they may not. The last column has no noise of truths: it is the probability of the intervals of
averages under the exact posterior, which is a mixture of normal ones.

Takes five minutes on one core.
"""

import math
import warnings

import torch
from torch import Tensor

from benchmarks.command import options
from benchmarks.table import markdown
from leastwork import Experiment, LeastworkWarning, Observable
from leastwork.data.posterior import posterior
from leastwork.support.random import generator

ERROR, SPREAD, EDGE = 0.5, math.log(2), 0.5


def below(value: Tensor, mean: Tensor, deviation: Tensor | float) -> Tensor:
    """The probability that a normal variable is below a value."""
    return 0.5 * (1 + torch.erf((value - mean) / deviation / math.sqrt(2)))


def exact(y: Tensor, covariance: Tensor, low: Tensor, high: Tensor) -> float:
    """The probability of intervals under the exact posterior of averages, with ln θ by quadrature; their mean."""
    log_theta = SPREAD * torch.linspace(-3.5, 3.5, 141, dtype=torch.float64)
    eye = torch.eye(len(y), dtype=torch.float64)
    of_data = covariance + ERROR**2 * log_theta.exp()[:, None, None] * eye
    gain = covariance @ torch.linalg.inv(of_data)
    solved = torch.linalg.solve(of_data, y.expand(len(log_theta), -1))
    weight = -0.5 * ((log_theta / SPREAD).square() + torch.logdet(of_data) + solved @ y)
    mean = gain @ y
    deviation = (covariance - gain @ covariance).diagonal(dim1=1, dim2=2).sqrt()
    within = below(high, mean, deviation) - below(low, mean, deviation)
    return float((weight.softmax(dim=0) @ within).mean())


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--observables", type=int, default=6)
    parser.add_argument("--samples", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--draws", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    count = asked.observables
    covariance = 0.5 * torch.eye(count, dtype=torch.float64) + 0.5
    root = torch.linalg.cholesky(covariance)
    observable = Observable(lambda x: x, names=tuple(f"o{k}" for k in range(count)))
    random = generator(asked.seed, "truths")
    rows = []
    for seed in range(asked.repeats):
        x, m = (torch.randn(n, count, generator=random, dtype=torch.float64) @ root.T for n in (asked.samples, 1))
        factor = (SPREAD * torch.randn(1, generator=random, dtype=torch.float64)).exp()
        y = m[0] + ERROR * factor.sqrt() * torch.randn(count, generator=random, dtype=torch.float64)
        data = Experiment(observable, y, [ERROR] * count)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LeastworkWarning)
            found = posterior(x, data, ["one"] * count, draws=asked.draws, seed=seed)
        pairs = (
            (found.lambdas, -torch.linalg.solve(covariance, m[0])),
            (found.averages, m[0]),
            (found.averages_of((x > EDGE).to(torch.float64)), below(m[0], torch.tensor(EDGE), 1.0)),
        )
        inside = []
        for drawn, truth in pairs:
            low, high = found.interval(drawn)
            inside.append(float(((low <= truth) & (truth <= high)).to(torch.float64).mean()))
        ends = found.interval(found.averages)
        rows.append((*inside, exact(y, covariance, *ends), float(bool(found.doubts)), found.samples, found.ess))
    table = torch.tensor(rows, dtype=torch.float64)
    flagged = table[:, 4] > 0
    parts = [("believed", table[~flagged]), ("doubted", table[flagged]), ("all", table)]
    print(
        markdown(
            ("repeats", "number", "λ", "averages", "populations", "averages, exact", "samples", "draws"),
            [
                (name, str(len(part)), *(f"{float(part[:, j].mean()):.3f}" for j in range(4)),
                 *(f"{float(part[:, j].median()):.0f}" for j in (5, 6)))
                for name, part in parts if len(part)
            ],
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
