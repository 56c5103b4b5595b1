"""The posterior of averages and of errors: how far data with uncertain errors determine the ensemble

    ln π(m, θ) = −KL(m) − Σ_t [ ½ χ²_t(m)/θ_t + ½ K_t ln θ_t + (ln θ_t)²/2τ² ] + const

m are the averages of K observables, KL(m) is that of the maximum-entropy ensemble with these averages from the model,
and θ_t multiplies the covariance Σ_t of the errors of technique t. The prior of m is e^(−KL), flat in m: averages of
the truth lie about as far from the model as a nat allows. The mode of m at θ = 1 is the maximum-entropy fit (Hummer &
Köfinger, J. Chem. Phys. 143, 243150, 2015); θ_t has a log-normal prior about one, ln θ_t ~ N(0, τ²).

Draws come from Student's distribution in λ and ln θ, around the mode at first, and carry weights π |∂m/∂λ| / proposal,
|∂m/∂λ| = det Cov_λ[O] (:mod:`leastwork.data.importance`). Averages in a draw are those of a Bayesian bootstrap of the
samples (Rubin, Ann. Stat. 9, 130, 1981), so that intervals know how few they are. Samples end where the model is rare,
and intervals hold a truth beyond them too seldom: the effective number of samples with a draw's weights tells that. Too
few effective draws make intervals too short. ``python -m benchmarks.posterior_coverage`` tells how often intervals
hold the truth where neither is in doubt.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.data.importance import importance_draws
from leastwork.data.posterior_density import bootstrapped, log_density, mode_and_root, posed
from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.statistics.tails import NOT_TO_TRUST, tail_index
from leastwork.support.random import derive_seed, generator

__all__ = ["LEAST_DRAWS", "LEAST_SAMPLES", "Posterior", "posterior"]


LEAST_SAMPLES = 50
"""Effective samples with the weights of a draw below which intervals are not to be believed."""

LEAST_DRAWS = 400
"""Effective draws, of which ten lie beyond each end of a 95 % interval, below which it is not to be believed."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """Weighted draws of the posterior; all float64.

    Args:
        names: names of the data.
        techniques: names of the techniques.
        lambdas: λ of each draw, (S, K); zero for data held out.
        averages: averages of all observables, (S, K).
        thetas: θ of each technique, (S, T).
        log_weight: ln weights of the draws, (S,).
        observed: the observables of the samples, (n, K), and ``log_p``, their ln weights under the model.
        tail: tail index of the weights of the draws; above 0.7 they are not to be trusted.
        ess: effective number of draws.
        samples: effective number of samples with the weights of a draw, the median over draws.
        seed: seed of the bootstraps of the samples, one for each draw.
    """

    names: tuple[str, ...]
    techniques: tuple[str, ...]
    lambdas: Tensor
    averages: Tensor
    thetas: Tensor
    log_weight: Tensor
    observed: Tensor
    log_p: Tensor
    tail: float
    ess: float
    samples: float
    seed: int

    @property
    def doubts(self) -> tuple[str, ...]:
        """Sentences on why intervals are not to be believed, each with a remedy; none where they may be."""
        found = []
        if self.samples < LEAST_SAMPLES:
            found.append(
                f"the weights of the posterior leave {self.samples:.3g} effective samples of {len(self.observed)} "
                f"(below {LEAST_SAMPLES}), so the truth may lie beyond what the samples reach, and 95 % intervals hold "
                "it less often: draw more samples of the model, or give the data larger errors"
            )
        if self.tail > NOT_TO_TRUST or self.ess < LEAST_DRAWS:
            found.append(
                f"the draws of the posterior count for {self.ess:.3g} of {len(self.log_weight)}, with weights of tail "
                f"index {self.tail:.2g} (to trust: {LEAST_DRAWS} draws, and below {NOT_TO_TRUST}): take more draws, "
                "or fewer data"
            )
        return tuple(found)

    def interval(self, values: Tensor, level: float = 0.95) -> tuple[Tensor, Tensor]:
        """The credible interval with equal tails of a function of the draws.

        Args:
            values: its values, (S,) or (S, M).
            level: probability that it holds.

        Returns:
            Lower and upper ends, () or (M,).
        """
        if not 0 < level < 1:
            raise LeastworkError(f"level = {level}: give a probability between 0 and 1")
        columns = values[:, None] if values.ndim == 1 else values
        order = columns.argsort(dim=0)
        weight = self.log_weight.softmax(dim=0)[order].cumsum(dim=0)
        ends = []
        for share in (0.5 * (1 - level), 0.5 * (1 + level)):
            at = (weight < share).sum(dim=0).clamp(max=len(columns) - 1)
            ends.append(columns.gather(0, order.gather(0, at[None]))[0])
        return (ends[0][0], ends[1][0]) if values.ndim == 1 else (ends[0], ends[1])

    def averages_of(self, values: Tensor) -> Tensor:
        """Averages of any function of the samples in each draw, such as the population of a state.

        Args:
            values: the function's values for the samples, (n,) or (n, M).

        Returns:
            (S,) or (S, M); the interval of these is that of the average.
        """
        return _averages(self.lambdas, self.observed, self.log_p, self.seed, values)


def posterior(
    observed: Tensor,
    experiment: Experiment,
    techniques: Sequence[str] | None = None,
    *,
    spread: float = math.log(2),
    log_weight: Tensor | None = None,
    draws: int = 4000,
    seed: int = 0,
) -> Posterior:
    """Draw averages, λ and the errors' θ of each technique from their posterior.

    Args:
        observed: the observables of the model's samples, (n, K).
        experiment: the K data; those that are fitted have errors.
        techniques: the technique of each datum, (K,), whose errors share one θ; None if the errors are as stated.
        spread: τ, the standard deviation of ln θ in the prior; ln 2 says that errors are right within √2, most likely.
        log_weight: ln dP/dQ of the samples, (n,), if they are not drawn from the model itself.
        draws: number of draws S.
        seed: seed of all random numbers.

    Raises:
        LeastworkError: a fitted datum has no error, there are too many data, or arguments do not match.

    A normal distribution of mean 0 and variance 1, with the datum 1 ± 1, has the posterior N(½, ½):

    >>> from leastwork.observables import Observable
    >>> x = torch.linspace(-6, 6, 1001, dtype=torch.float64)[:, None]
    >>> data = Experiment(Observable(lambda x: x, names="x"), values=[1.0], errors=[1.0])
    >>> found = posterior(x, data, log_weight=-0.5 * x[:, 0] ** 2)
    >>> [round(end.item(), 1) for end in found.interval(found.averages[:, 0])], round(found.ess / 4000, 1)
    ([-0.9, 1.9], 1.0)
    """
    problem, names = posed(observed, experiment, techniques, spread, log_weight)
    if draws < 100:
        raise LeastworkError(f"draws = {draws}: give at least 100, so that intervals have ends")
    centre, root = mode_and_root(problem)
    drawn = importance_draws(lambda at: log_density(problem, at), centre, root, draws, generator(seed, "posterior"))
    (samples,) = drawn.besides
    lambdas, bootstraps = problem.lambdas(drawn.places), derive_seed(seed, "bootstraps of the posterior")
    averages = _averages(lambdas, problem.values, problem.log_p, bootstraps, problem.values)
    share = drawn.log_weight.softmax(dim=0)
    found = Posterior(
        experiment.names, names, lambdas, averages, drawn.places[:, problem.rank :].exp(),
        drawn.log_weight, problem.values, problem.log_p, tail_index(share), float(1 / share.square().sum()),
        _median(samples, share), bootstraps,
    )  # fmt: skip
    for doubt in found.doubts:
        warnings.warn(doubt, LeastworkWarning, stacklevel=2)
    return found


def _averages(lambdas: Tensor, observed: Tensor, log_p: Tensor, seed: int, values: Tensor) -> Tensor:
    columns = values.to(torch.float64)
    columns = columns[:, None] if columns.ndim == 1 else columns
    found = bootstrapped(lambdas, observed, log_p, generator(seed, "samples"), columns)
    return found[:, 0] if values.ndim == 1 else found


def _median(values: Tensor, share: Tensor) -> float:
    order = values.argsort()
    return float(values[order][int((share[order].cumsum(dim=0) < 0.5).sum().clamp(max=len(values) - 1))])
