"""What each part of learning V buys, per network evaluation: `python -m benchmarks.learning`.

Chignolin's stability, λ fixed by the model's own samples. Each row adds one part to the row before it: V of the noisy
state or of the denoised one; V learned again on the states of guided paths; the head polished on guided paths; the
averages met. `--paths` is how many guided paths each of these parts takes, `--drawn` how many fresh samples judge every
row. The last rows judge the final V at other numbers of steps, and by the solvers and grids that there are.

Takes about five minutes on one core.
"""

import time
from typing import Any

import torch
from torch import nn

import leastwork as lw
from benchmarks.command import options
from benchmarks.problems import chignolin_stability
from leastwork.fit.labels import draw_labelled, fit_labels
from leastwork.fit.network import directed_network
from leastwork.fit.on_policy import draw_response, off_target, polish
from leastwork.fit.value import fit_value
from leastwork.guidance.learned import LearnedGuidance
from leastwork.networks.value import ValueNetwork
from leastwork.observable_guidance.approach import Drawn, solve
from leastwork.observables import evaluate
from leastwork.sampling.choices import Choices
from leastwork.sampling.sample import sample
from leastwork.sampling.work import certify


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--own", type=int, default=12_000, help="the model's own samples")
    parser.add_argument("--noised", type=int, default=100_000, help="noised states that V is learned from")
    parser.add_argument("--paths", type=int, default=3072)
    parser.add_argument("--drawn", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=120)
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = lw.load_model("chignolin")
    assert isinstance(model, lw.DiffusionModel)
    data = chignolin_stability()
    law: dict[str, Any] = {"steps": given.steps}
    own = sample(model, given.own, seed=1, **law)
    here = Drawn(own.x, evaluate(data.observable, own.x), torch.zeros(given.own, dtype=torch.float64), 0)
    maxent = solve(here, data)
    print(f"own samples: {own.network_evaluations / 1e6:.2f}e6 evaluations, KL {maxent.kl:.3f}")
    print(
        "| | W | dissipation | efficiency | ESS | miss / σ | evaluations, 10⁶ | s |\n|---|---|---|---|---|---|---|---|"
    )

    def judged(name: str, network: nn.Module, evaluations: int, seconds: float, **other: Any) -> None:
        guidance = LearnedGuidance(network, model.schedule)
        ensemble = sample(model, given.drawn, guidance, seed=77, **{**law, **other})
        observed = evaluate(data.observable, ensemble.x)
        c = certify(ensemble.work, ensemble.log_weight, maxent.log_tilt_of(observed), observed, maxent.target,
                    maxent.model_std)  # fmt: skip
        assert c.miss is not None
        print(f"| {name} | {c.work} | {c.dissipation} | {c.efficiency} | {c.ess} | {float(c.miss.value[0]):+.3f} | "
              f"{evaluations / 1e6:.2f} | {seconds:.0f} |", flush=True)  # fmt: skip

    denoised = directed_network(model, [data.observable], own.x, here.omega(maxent.lambdas), 0)
    noisy = ValueNetwork(30, invariant=True).standardise(model.to_network_units(own.x).flatten(1))  # pyright: ignore
    fits = {}
    for name, start, iterations in (("V of x_t", noisy, 4000), ("V of D(x_t, t)", denoised, 1500)):
        fits[name] = fit_value(start, model, model.to_network_units(own.x), here.log_w(maxent), iterations=iterations,
                               noised=given.noised)  # fmt: skip
        judged(name, fits[name].network, fits[name].network_evaluations, fits[name].seconds)
    network = fits["V of D(x_t, t)"].network

    begin = time.perf_counter()
    sampler = Choices(**law).sampler(model, LearnedGuidance(network, model.schedule))
    paths = draw_labelled(sampler, network, given.paths, 11)
    network = fit_labels(network, [paths], [maxent.log_tilt_of(evaluate(data.observable, paths.x))]).network
    judged("+ labels on guided paths", network, paths.evaluations, time.perf_counter() - begin)

    begin = time.perf_counter()
    assert isinstance(network, ValueNetwork)
    sampler = Choices(**law).sampler(model, LearnedGuidance(network, model.schedule))
    response = draw_response(sampler, network, given.paths, 12)
    observed = evaluate(data.observable, response.x)
    done = polish(network, response, maxent.log_tilt_of(observed), observed, maxent.target, maxent.model_std)
    judged("+ polish of the head", done.network, response.evaluations, time.perf_counter() - begin)

    begin = time.perf_counter()
    drawn = sample(model, given.paths, LearnedGuidance(done.network, model.schedule), seed=13, **law)
    observed = evaluate(data.observable, drawn.x)
    log_w = drawn.log_weight + maxent.log_tilt_of(observed)
    miss = off_target(log_w, observed, maxent.target, maxent.model_std)
    assert done.meeting is not None
    met = done.network.with_head((done.meeting @ miss.value).reshape(-1, network.head.out_features))
    judged("+ averages met", met, drawn.network_evaluations, time.perf_counter() - begin)
    for steps in (given.steps // 2, 2 * given.steps):
        judged(f"the same, {steps} steps", met, 0, 0, steps=steps)
    for solver, grid in (("exponential", "signal"), ("multistep", "balanced"), ("exponential", "balanced"),
                         ("euler", "balanced")):  # fmt: skip
        judged(f"the same, {solver}, {grid}", met, 0, 0, solver=solver, t_grid=grid)


if __name__ == "__main__":
    main()
