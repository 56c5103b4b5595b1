"""Fitting the published schedule, by gradients and by search: `python -m benchmarks.scheduled_fit [--calls 256]`.

The bundled Prinz model, biased to the left, with the true mean of x as exact datum; 10,000 samples × 100 Euler steps
for an evaluation of mismatch + 10⁻³ W. Time and network evaluations of either fit, the objective on the same fresh
seeds for both, their difference on common random numbers (mean of eight seeds), and the certificate of 10,000 fresh
samples: work W, dissipation, and efficiency. The search is a Gaussian process's (optuna), of 64 calls unless said.

Takes about three minutes on one core.
"""

import torch

import leastwork as lw
from benchmarks.command import options
from leastwork.observable_guidance.objective import Objective
from leastwork.observable_guidance.run import ObservableRun
from leastwork.observable_guidance.scheduled import ScheduleFit
from leastwork.observable_guidance.search import gaussian_process_search
from leastwork.observables import component
from leastwork.sampling.choices import Choices
from leastwork.statistics.estimate import Estimate
from leastwork.support.random import derive_seed
from leastwork.systems.prinz import position, prinz

SAMPLES = 10_000
GAMMA = 1e-3
FRESH = [derive_seed(7, f"fresh {i}") for i in range(8)]


def fresh_objective(run: ObservableRun) -> torch.Tensor:
    """J on every fresh seed, (S,)."""
    data, maxent = run.data, run.maxent
    objective = Objective(
        run.model, data.observable, maxent.target, maxent.model_std, data.fitted, GAMMA, choices=Choices(solver="euler")
    )
    assert run.guidance is not None
    return torch.tensor([float(objective.value(run.guidance, SAMPLES, seed).value) for seed in FRESH])


def show(estimate: Estimate, digits: int = 3) -> str:
    return f"{float(estimate.value):.{digits}f}±{float(estimate.stderr):.{digits}f}"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--calls", type=int, default=64, help="evaluations of the search")
    calls = parser.parse_args().calls
    model = lw.load_model("prinz")
    data = lw.Experiment(component(0), float(prinz().mean(position)))
    found = {}
    print(f"{'fit':<12}{'s':>7}{'evaluations':>13}{'a':>7}{'b':>7}{'objective':>16}", end="")
    print(f"{'W':>14}{'dissipation':>14}{'efficiency':>15}{'miss':>14}")
    for name, search in (("gradients", None), (f"search {calls}", gaussian_process_search(calls))):
        run = lw.guide_observables(
            model, data, "scheduled", fit_samples=SAMPLES, gamma=GAMMA, search=search, solver="euler"
        )
        assert isinstance(run.fit, ScheduleFit)
        found[name] = fresh_objective(run)
        g, c = run.fit.guidance, run.certificate
        print(f"{name:<12}{run.fit.seconds:>7.1f}{run.fit.network_evaluations:>13.2e}", end="")
        print(f"{float(g.strength):>7.3f}{float(g.decay):>7.2f}", end="")
        print(f"{show(Estimate.from_samples(found[name]), 5):>16}{show(c.work):>14}", end="")
        assert c.miss is not None
        miss = Estimate(c.miss.value[0], c.miss.stderr[0])
        print(f"{show(c.dissipation):>14}{show(c.efficiency):>15}{show(miss):>14}", flush=True)
    by_gradients, by_search = found.values()
    print(f"objective, gradients − search: {show(Estimate.from_samples(by_gradients - by_search), 6)}")


if __name__ == "__main__":
    main()
