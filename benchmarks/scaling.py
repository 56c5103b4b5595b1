"""What least-work guidance costs as states and data grow: `python -m benchmarks.scaling [--quick]`.

Dimensions: two states, 0.15 to 0.53, the population of one as observable, d = 2 to 256, 200 Euler steps. Data: thirty
dimensions, six states, K = 1, 10, 100 averages of x_i, x_i² and x_i x_j at once, of a mixture whose means and weights
are a little different. For each a fit and fresh samples in a process of its own, one thread.

Printed: efficiency beside the exact h's (where known), seconds and network evaluations of the fit, peak memory, and
what it adds to a process that has only been loaded; microseconds that one sample takes in one step for the guidance,
the mixture's own analytic denoiser, and a Perceptron of as many units and layers, as a model of this size might be. For
data: the largest miss in σ_O and in standard errors, those of λ included, with Bonferroni's limit at 10⁻⁴. Saves
docs/images/scaling.png. `--quick` takes fewer samples and iterations. This file imports nothing large at the top,
since a process starts with the peak of its parent.

Takes about half an hour, --quick five minutes on one core.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.command import options
from benchmarks.fresh import in_fresh_process, peak
from benchmarks.picture import save
from benchmarks.timing import cost

DIMENSIONS = (2, 8, 32, 128, 256)
COUNTS = (1, 10, 100)
STEPS, FRESH = 200, 991
MANY: dict[str, Any] = {"budget": 10_000_000}  # so that the error of λ stays below a hundredth of σ_O
QUICK: dict[str, Any] = {"budget": 1, "iterations": 300}
SECONDS, MEMORY = "#0072b2", "#d55e00"


def microseconds(call: Callable[[], object], samples: int) -> float:
    """For one sample, the best of seven."""
    call()
    return 1e6 * min(cost(call).wall for _ in range(7)) / samples


def measure_dimension(d: int, quick: bool) -> dict[str, Any]:
    import torch

    import leastwork as lw
    from benchmarks.problems import two_state_problem
    from leastwork.networks.perceptron import Perceptron
    from leastwork.networks.value import ValueNetwork
    from leastwork.observable_guidance.least_work import learn_guidance
    from leastwork.sampling.choices import Choices
    from leastwork.sampling.work import certify

    torch.set_num_threads(1)
    loaded = peak()
    mixture, model, data = two_state_problem(d, 0.15, 0.53)
    fit = learn_guidance(model, data, **QUICK if quick else {}, choices=Choices(solver="euler", steps=STEPS))
    n = 2000 if quick else 20_000
    law = {"solver": "euler", "steps": STEPS, "t_grid": fit.times}
    learned = lw.sample(model, n, fit.guidance, seed=FRESH, **law)
    highest = peak()
    doob: Any = mixture.doob(mixture.reweighted([0.47, 0.53]), model.schedule)
    exact = lw.sample(model, n, doob, seed=FRESH, **law)
    tilt = fit.maxent.log_tilt_of(data.observable(learned.x).double())
    found = certify(learned.work, learned.log_weight, tilt).efficiency
    best = certify(exact.work, exact.log_weight, doob.log_tilt(exact.x)).efficiency
    x, t = learned.x[:2048], torch.tensor(0.4)
    assert isinstance(fit.guidance.network, ValueNetwork)
    config = fit.guidance.network.config
    net = Perceptron(d, width=config["width"], depth=config["depth"])
    with torch.no_grad():
        cost = {
            "guidance_us": microseconds(lambda: fit.guidance(x, 0.4, x), len(x)),
            "mixture_us": microseconds(lambda: model.net(x, t), len(x)),
            "perceptron_us": microseconds(lambda: net(x, t), len(x)),
        }
    return {
        "d": d,
        "efficiency": found.value,
        "stderr": found.stderr,
        "exact": best.value,
        "seconds": fit.seconds,
        "evaluations": fit.network_evaluations,
        "peak": highest,
        "growth": highest - loaded,
        "width": config["width"],
        **cost,
    }


def measure_count(count: int, quick: bool) -> dict[str, Any]:
    import torch
    from scipy.stats import norm

    import leastwork as lw
    from benchmarks.problems import averages_of_a_mixture
    from leastwork.observable_guidance.least_work import learn_guidance
    from leastwork.observables import evaluate
    from leastwork.sampling.choices import Choices
    from leastwork.sampling.work import certify

    torch.set_num_threads(1)
    model, data = averages_of_a_mixture(count)
    fit = learn_guidance(model, data, **QUICK if quick else MANY, choices=Choices(solver="euler", steps=STEPS))
    law = {"solver": "euler", "steps": STEPS, "t_grid": fit.times}
    n = 20_000 if quick else 100_000
    ensemble = lw.sample(model, n, fit.guidance, seed=FRESH, batch_size=16_384, **law)
    observed = evaluate(data.observable, ensemble.x)
    tilt = fit.maxent.log_tilt_of(observed)
    found = certify(ensemble.work, ensemble.log_weight, tilt, observed, data.values, fit.maxent.model_std)
    assert found.miss is not None
    # the error of λ is that of averages over as many exact samples as its own standard errors betray
    covariance = torch.cov(observed.T).reshape(count, count)
    effective = float((torch.linalg.inv(covariance).diagonal() / fit.maxent.stderr.square()).mean())
    of_lambda = (covariance.diagonal() / effective).sqrt() / fit.maxent.model_std
    z = found.miss.value.abs() / (found.miss.stderr.square() + of_lambda.square()).sqrt()
    return {
        "K": count,
        "efficiency": found.efficiency.value,
        "stderr": found.efficiency.stderr,
        "bound": found.bound.value,
        "miss": float(found.miss.value.abs().max()),
        "z": float(z.max()),
        "limit": float(norm.isf(1e-4 / (2 * count))),
        "seconds": fit.seconds,
        "evaluations": fit.network_evaluations,
        "peak": peak(),
    }


def draw(by_dimension: list[dict[str, Any]], by_count: list[dict[str, Any]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    panels = [
        (left, by_dimension, "d", "coordinates d, one observable"),
        (right, by_count, "K", "observables K, 30 coordinates"),
    ]
    for axes, rows, key, label in panels:
        sizes, seconds, memory = ([row[name] for row in rows] for name in (key, "seconds", "peak"))
        axes.plot(sizes, seconds, "o-", color=SECONDS)
        axes.set(xscale="log", xlabel=label, ylim=(0, 1.1 * max(seconds)))
        axes.set_xlim(sizes[0] / 1.5, sizes[-1] * 1.5)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.set_ylabel("seconds of the fit", color=SECONDS)
        axes.tick_params(axis="y", colors=SECONDS)
        other = axes.twinx()
        other.plot(sizes, memory, "s--", color=MEMORY, markersize=4, linewidth=1)
        other.set_ylim(0, 1.6 * max(memory))
        other.set_ylabel("peak memory, MiB", color=MEMORY)
        other.tick_params(axis="y", colors=MEMORY)
        above = axes.secondary_xaxis("top")
        above.set_xticks(sizes, [f"{row['efficiency']:.3f}" for row in rows], fontsize=8)
        above.minorticks_off()
        above.set_xlabel("efficiency", fontsize=9)
    save(figure, "scaling")


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer samples and iterations")
    parser.add_argument("--out", type=Path, help="write the figures there, as JSON")
    chosen = parser.parse_args()
    print(
        f"{'d':>4} {'efficiency':>15} {'exact h':>8} {'fit s':>6} {'evaluations':>11} {'peak MiB':>9} {'growth':>7}",
        end="",
    )
    print(f" {'width':>6} {'guidance µs':>12} {'mixture µs':>11} {'perceptron µs':>14}")
    by_dimension = []
    for d in DIMENSIONS:
        m = in_fresh_process(measure_dimension, d, chosen.quick)
        by_dimension.append(m)
        print(f"{d:>4} {m['efficiency']:>7.4f} ± {m['stderr']:.4f}", end="")
        print(f" {m['exact']:>8.4f} {m['seconds']:>6.0f} {m['evaluations']:>11.2e} {m['peak']:>9.0f}", end="")
        print(f" {m['growth']:>7.0f} {m['width']:>6} {m['guidance_us']:>12.2f}", end="")
        print(f" {m['mixture_us']:>11.2f} {m['perceptron_us']:>14.2f}", flush=True)
    print(f"\n{'K':>4} {'efficiency':>15} {'bound':>6} {'|miss| σ_O':>11} {'|z|':>5} {'limit':>6} {'fit s':>6}", end="")
    print(f" {'evaluations':>11} {'peak MiB':>9}")
    by_count = []
    for count in COUNTS:
        m = in_fresh_process(measure_count, count, chosen.quick)
        by_count.append(m)
        print(f"{count:>4} {m['efficiency']:>7.4f} ± {m['stderr']:.4f} {m['bound']:>6.3f} {m['miss']:>11.4f}", end="")
        print(
            f" {m['z']:>5.2f} {m['limit']:>6.2f} {m['seconds']:>6.0f} {m['evaluations']:>11.2e} {m['peak']:>9.0f}",
            flush=True,
        )
    draw(by_dimension, by_count)
    if chosen.out:
        chosen.out.write_text(json.dumps({"d": by_dimension, "K": by_count}, indent=1) + "\n")


if __name__ == "__main__":
    main()
