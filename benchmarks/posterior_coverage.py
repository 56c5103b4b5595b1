"""How often 95 % credible intervals hold the true averages: `python -m benchmarks.posterior_coverage`.

The model is normal with correlated observables, of which a finite number of samples is drawn in each repeat. The truth
is drawn from the prior, the data with errors that are off by a factor that is inferred. Coverage is that of the
averages, for all truths and by how far they are from the model, KL(truth ‖ model) in nats: a truth beyond what the
samples reach cannot be told, whatever is said of their sampling error. --bootstrap 10 mixes posteriors of ten Bayesian
bootstraps of the samples, which does not change that.

Takes a minute on one core.
"""

import math
import warnings

import torch
from torch import Tensor

from benchmarks.command import options
from benchmarks.table import markdown
from leastwork import Experiment, LeastworkWarning, Observable
from leastwork.data.posterior import Posterior, posterior
from leastwork.support.random import generator

ERROR = 0.5


def interval(parts: list[Posterior]) -> tuple[Tensor, Tensor]:
    """The interval of the averages under a mixture of posteriors of equal shares."""
    weight = torch.cat([part.log_weight.log_softmax(dim=0) for part in parts]).softmax(dim=0)
    values = torch.cat([part.averages for part in parts])
    order = values.argsort(dim=0)
    sums = weight[order].cumsum(dim=0)
    last = len(values) - 1
    low, high = ((sums < share).sum(dim=0).clamp(max=last) for share in (0.025, 0.975))
    return values.gather(0, order.gather(0, low[None]))[0], values.gather(0, order.gather(0, high[None]))[0]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--observables", type=int, default=6)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument(
        "--bootstrap", type=int, default=1, help="number of bootstraps that the draws are divided among"
    )
    asked = parser.parse_args()
    count = asked.observables
    covariance = 0.5 * torch.eye(count, dtype=torch.float64) + 0.5
    root = torch.linalg.cholesky(covariance)
    observable = Observable(lambda x: x, names=tuple(f"o{k}" for k in range(count)))
    random, weights = generator(1, "truths"), generator(1, "bootstraps")
    rows = []
    for _ in range(asked.repeats):
        x, m = (torch.randn(n, count, generator=random, dtype=torch.float64) @ root.T for n in (asked.samples, 1))
        factor = (math.log(2) * torch.randn(1, generator=random, dtype=torch.float64)).exp()
        noise = ERROR * factor.sqrt() * torch.randn(count, generator=random, dtype=torch.float64)
        data = Experiment(observable, m[0] + noise, [ERROR] * count)
        parts = []
        for b in range(asked.bootstrap):
            shares = torch.empty(asked.samples, dtype=torch.float64).exponential_(generator=weights).log()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", LeastworkWarning)
                parts.append(
                    posterior(
                        x, data, ["one"] * count, draws=max(asked.draws // asked.bootstrap, 100), seed=b,
                        log_weight=shares if asked.bootstrap > 1 else None,
                    )
                )  # fmt: skip
        low, high = interval(parts)
        inside = ((low <= m[0]) & (m[0] <= high)).to(torch.float64).mean()
        rows.append((float(inside), 0.5 * float(m[0] @ torch.linalg.solve(covariance, m[0]))))
    found = torch.tensor(rows)
    order = found[:, 1].argsort()
    quarters = [("all", order), *((f"quarter {i}", part) for i, part in enumerate(order.chunk(4), 1))]
    print(
        markdown(
            ("truths", "KL up to, nats", "coverage of 95 %"),
            [(name, f"{float(found[of, 1].max()):.2f}", f"{float(found[of, 0].mean()):.3f}") for name, of in quarters],
        )
    )


if __name__ == "__main__":
    main()
