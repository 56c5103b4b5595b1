"""Guiding a flow by least action: does it meet the averages, at what cost, and do the weights undo it?

The bundled flow of the two moons, three observables, one at a time, each moved by 0.4 σ_O. `miss` is
(E[O] − target)/σ_O on 100,000 fresh samples; `action` the kinetic action, beside that of the published scheduled form
fitted to the same target. E[dP/dQ] and the deviations of weighted means from the model's own, in standard errors,
judge the weights: at most five are expected.

python -m benchmarks.cnf

Takes about five minutes on one core.
"""

import time
from typing import Any

import torch
from torch import Tensor

import leastwork as lw
from benchmarks.command import options
from leastwork.guidance.scheduled import ScheduledGuidance
from leastwork.observable_guidance.least_action import learn_control
from leastwork.observable_guidance.objective import Objective
from leastwork.observable_guidance.scheduled import fit_schedule
from leastwork.observables import component, evaluate, smooth_interval
from leastwork.sampling.choices import Choices
from leastwork.sampling.flow_density import with_flow_weights
from leastwork.systems.moons import Moons

OWN, FRESH, WEIGHTED, SHIFT = 20_000, 100_000, 20_000, 0.4
LAW: dict[str, Any] = {"process": "ode", "solver": "heun", "steps": 25}
OBSERVABLES = (
    component(0, "x"),
    smooth_interval(0.0, None, width=0.15, index=1, name="upper half"),
    lw.Observable(Moons().is_upper, ("population of the upper moon",)),
)


def functions(x: Any) -> Tensor:
    """x, y, x², y², xy and the population of the upper moon, (B, 6)."""
    a, b = x[:, 0], x[:, 1]
    return torch.stack([a, b, a * a, b * b, a * b, Moons().is_upper(x)], dim=1)


def main() -> None:
    options(__doc__).parse_args()
    torch.set_num_threads(1)
    model = lw.load_model("moons-cnf")
    own = lw.sample(model, OWN, seed=7, **LAW)
    reference = lw.sample(model, FRESH, seed=8, **LAW).mean(functions)
    for observable in OBSERVABLES:
        observed = evaluate(observable, own.x)
        data = lw.Experiment(observable, values=(observed.mean(dim=0) + SHIFT * observed.std(dim=0)).tolist())
        fit = learn_control(model, data, own=own, seed=1, choices=Choices(solver=LAW["solver"], steps=LAW["steps"]))
        target, spread = fit.maxent.target, fit.maxent.model_std

        def miss(ens: lw.Ensemble, observable=observable, target=target, spread=spread) -> lw.Estimate:
            return lw.Estimate.from_samples((evaluate(observable, ens.x) - target) / spread)

        fresh = lw.sample(model, FRESH, fit.guidance, seed=9, **LAW)
        print(f"{observable.names[0]}: {float(observed.mean()):.3f} to {float(target):.3f}")
        print(f"  least action  miss {miss(fresh)}  action {lw.Estimate.from_samples(fresh.action)}", flush=True)
        begin = time.perf_counter()
        objective = Objective(model, observable, target, spread, data.fitted, 1e-3, Choices.of(LAW))
        rival = fit_schedule(objective, ScheduledGuidance(observable, fit.maxent.lambdas, 1.0, 1.0), n=4096, seed=1)
        seconds = time.perf_counter() - begin
        drawn = lw.sample(model, FRESH, rival.guidance, seed=9, **LAW)
        print(f"  scheduled     miss {miss(drawn)}  action {lw.Estimate.from_samples(drawn.action)}")
        print(f"  ratio of actions {float(fresh.action.mean() / drawn.action.mean()):.3f}")
        print(f"  seconds {fit.seconds:.0f} and {seconds:.0f}", end="; ")
        print(f"network evaluations {fit.network_evaluations:,} and {rival.network_evaluations:,}", flush=True)
        weighed = with_flow_weights(
            lw.sample(model, WEIGHTED, fit.guidance, seed=10, **{**LAW, "steps": 100}), model, fit.guidance, steps=50
        )
        found = weighed.mean(functions, under="model")
        deviation = (found.value - reference.value) / (found.stderr**2 + reference.stderr**2).sqrt()
        print(f"  weights: ESS {weighed.ess}, E[dP/dQ] {lw.Estimate.from_samples(weighed.log_weight.exp())}")
        print(f"  weighted means less the model's, in s.e.: {[round(v, 1) for v in deviation.tolist()]}", flush=True)


if __name__ == "__main__":
    main()
