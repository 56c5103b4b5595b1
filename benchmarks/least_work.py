"""Least-work guidance against problems with known answers: `python -m benchmarks.least_work [--quick] [--out FILE]`.

What is asked of each problem, what was measured on fresh samples, whether the value passes (its error apart), and the
seconds (one thread) and network evaluations of the fit. Miss is (E[O] − target)/σ_O, the largest of several; rows that
ask nothing are for comparison: the exact h on the same grid is what no fit can beat by much.

KL(truth ‖ guided) is of histograms, 100 bins over [−1.5, 1.5], biased high by bins/2n. KL(guided ‖ model) is
E[ln q/p] + KL(guided ‖ q) with q the mixture of the wanted weights and p the model's, exact densities both; the second
term is of histograms, less their bias of (bins − 1)/2n. `--quick` judges, and where there are many fits, by a tenth of
the samples, too few to pass everything. `--out` writes the rows as JSON.

Takes about a quarter of an hour, --quick half of that on one core.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import leastwork as lw
from benchmarks.command import options
from benchmarks.problems import two_state_problem
from leastwork.observable_guidance.least_work import learn_guidance
from leastwork.observable_guidance.stages import LeastWorkFit
from leastwork.observables import component, evaluate, smooth_interval, stack
from leastwork.sampling.choices import Choices
from leastwork.sampling.work import Certificate, certify
from leastwork.statistics.estimate import Estimate
from leastwork.systems.line import LineDensity, LineDoob, kl_histogram, maximum_entropy
from leastwork.systems.mixtures import GaussianMixture, two_states
from leastwork.systems.prinz import PRINZ_BARRIERS, position, prinz, prinz_biased, well_populations

BINS, INTERVAL = 100, (-1.5, 1.5)
MULTISTEP: dict[str, Any] = {"solver": "multistep", "t_grid": "log-snr", "steps": 25}
FRESH = 991  # seed of the samples that judge


@dataclass(frozen=True)
class Row:
    """One figure; ``asked`` is empty and ``passed`` None where nothing is asked."""

    problem: str
    figure: str
    asked: str
    value: float
    stderr: float
    passed: bool | None
    seconds: float
    evaluations: int


@dataclass(frozen=True)
class Judge:
    """Makes the rows of one fit."""

    problem: str
    fit: LeastWorkFit

    def row(
        self, figure: str, measured: Estimate | float, least: float | None = None, most: float | None = None
    ) -> Row:
        exact = measured if isinstance(measured, Estimate) else Estimate(measured, 0.0)
        value, stderr = float(exact.value), float(exact.stderr)
        asked, passed = "", None
        if least is not None:
            asked, passed = f">= {least:.4g}", value >= least
        elif most is not None:
            asked, passed = f"<= {most:.4g}", value <= most
        fit = self.fit
        return Row(self.problem, figure, asked, value, stderr, passed, fit.seconds, fit.network_evaluations)

    def miss(self, certificate: Certificate, most: float) -> Row:
        assert certificate.miss is not None
        worst = int(certificate.miss.value.abs().argmax())
        size = Estimate(certificate.miss.value.abs()[worst], certificate.miss.stderr[worst])
        return self.row("|miss|, σ_O", size, most=most)


def judged(
    model: lw.DiffusionModel, data: lw.Experiment, fit: LeastWorkFit, n: int, **choices: Any
) -> tuple[Tensor, Certificate | None]:
    """Fresh samples, and their certificate, with the misses from the data's own values, where they have weights."""
    choices = {"t_grid": fit.times, **choices}
    ensemble = lw.sample(model, n, fit.guidance, seed=FRESH, batch_size=16_384, **choices)
    if choices.get("process") == "ode":
        return ensemble.x, None
    observed = evaluate(data.observable, ensemble.x)
    tilt = fit.maxent.log_tilt_of(observed)
    spread = fit.maxent.model_std
    return ensemble.x, certify(ensemble.work, ensemble.log_weight, tilt, observed, data.values, spread)


def kl_to_truth(x: Tensor) -> Estimate:
    """KL(truth ‖ samples); the influence of a sample is −(the truth's share of its bin / the samples')."""
    edges = torch.linspace(*INTERVAL, BINS + 1, dtype=torch.float64)
    cell = torch.bucketize(x.reshape(-1).double().clamp(*INTERVAL), edges[1:-1])
    share = torch.bincount(cell, minlength=BINS).clamp(min=0.5) / len(x)
    truth = prinz().cdf(edges).diff()
    return Estimate.from_influence(kl_histogram(x, prinz(), BINS, INTERVAL), -(truth / share)[cell])


def exact_guidance(density: LineDensity, model: lw.DiffusionModel, n: int, times: Tensor | None) -> Estimate:
    """Efficiency of Doob's transform to the true mean of x; ``density`` is the biased one in network units."""
    optimum = maximum_entropy(prinz_biased(), position, [float(prinz().mean(position))])
    slope = -float(optimum.lambdas[0]) * 0.5  # network units are 2x
    doob: Any = LineDoob(density, lambda z: slope * z[:, 0], model.schedule)
    ensemble = lw.sample(model, n, doob, seed=FRESH, solver="euler", steps=200, t_grid=times, batch_size=16_384)
    moved = model.to_network_units(ensemble.x)
    assert isinstance(moved, Tensor)
    tilt = slope * moved[:, 0].double()
    return certify(ensemble.work, ensemble.log_weight, tilt).efficiency


def prinz_position(n: int) -> Iterator[Row]:
    """Prinz, the mean of x; on 200 Euler steps, and the same guidance on the ODE in 25 evaluations."""
    model = lw.load_model("prinz")
    assert isinstance(model, lw.DiffusionModel)
    aim = [float(prinz().mean(position))]
    data = lw.Experiment(component(0, "x"), values=aim)
    fit = learn_guidance(model, data, choices=Choices(solver="euler", steps=200))
    judge = Judge("Prinz, mean of x", fit)
    x, certificate = judged(model, data, fit, n, solver="euler", steps=200)
    assert certificate is not None
    yield judge.miss(certificate, 0.02)
    yield judge.row("efficiency, 200 steps", certificate.efficiency, least=0.95)
    density = prinz_biased().rescaled(0.5)
    yield judge.row("  exact h, exact model", exact_guidance(density, density.model(model.schedule), n // 4, fit.times))
    yield judge.row("  exact h, this model", exact_guidance(density, model, n // 4, fit.times))
    yield judge.row("ESS", certificate.ess, least=0.99)
    best = prinz().kl(maximum_entropy(prinz_biased(), position, aim).density)
    kl = kl_to_truth(x)
    yield judge.row("KL(truth ‖ guided)", kl, most=best + 0.003)
    yield judge.row("seconds", fit.seconds, most=60)
    yield judge.row("network evaluations", fit.network_evaluations, most=5e6)
    x, _ = judged(model, data, fit, n, process="ode", **MULTISTEP)
    off = (x[:, 0].double() - aim[0]) / float(fit.maxent.model_std[0])
    judge = Judge("  same, ODE, 25 steps", fit)
    yield judge.row("|miss|, σ_O", Estimate(abs(float(off.mean())), Estimate.from_samples(off).stderr), most=0.03)
    yield judge.row("KL(truth ‖ guided)", kl_to_truth(x), most=float(kl.value))


def prinz_populations(n: int) -> Iterator[Row]:
    """Prinz, the populations of its four wells, which sum to one; smooth edges guide, sharp ones are judged."""
    model = lw.load_model("prinz")
    assert isinstance(model, lw.DiffusionModel)
    edges = (None, *PRINZ_BARRIERS, None)
    wells = [smooth_interval(a, b, 0.01, name=f"well {i}") for i, (a, b) in enumerate(pairwise(edges), 1)]
    smooth = stack(*wells)
    data = lw.Experiment(smooth, values=prinz().mean(smooth.fn))
    fit = learn_guidance(model, data, choices=Choices(solver="euler", steps=200))
    judge = Judge("Prinz, 4 populations", fit)
    x, certificate = judged(model, data, fit, n, solver="euler", steps=200)
    assert certificate is not None
    yield judge.miss(certificate, 0.03)
    truth = prinz().mean(well_populations)
    off = Estimate.from_samples(well_populations(x) - truth)
    worst = int(off.value.abs().argmax())
    yield judge.row("|error|, sharp population", Estimate(off.value.abs()[worst], off.stderr[worst]))
    yield judge.row("efficiency, 200 steps", certificate.efficiency, least=0.9)
    best = prinz().kl(maximum_entropy(prinz_biased(), well_populations, truth).density)
    yield judge.row("KL(truth ‖ guided)", kl_to_truth(x), most=best + 0.003)


def kl_from_model(x: Tensor, p: GaussianMixture, q: GaussianMixture) -> Estimate:
    """KL(samples ‖ p) in one or two dimensions: see above."""
    bins = BINS if q.dim == 1 else 25
    edges = torch.linspace(-2.5, 2.5, bins + 1, dtype=torch.float64)
    edges[0], edges[-1] = -torch.inf, torch.inf
    scaled = (edges[:, None, None] - q.means) / q.stds[:, None]  # (edges, components, d)
    sides = torch.special.ndtr(scaled).diff(dim=0)
    cells = torch.einsum("k,ak->a", q.weights, sides[..., 0]) if q.dim == 1 else None
    if cells is None:
        cells = torch.einsum("k,ak,bk->ab", q.weights, sides[..., 0], sides[..., 1]).reshape(-1)
    place = torch.bucketize(x.double().contiguous(), edges[1:-1])
    index = place[:, 0] if q.dim == 1 else place[:, 0] * bins + place[:, 1]
    counts = torch.bincount(index, minlength=len(cells)).double()
    share = counts / len(x)
    off = torch.special.xlogy(share, share / cells.clamp(min=1e-300)).sum() - ((counts > 0).sum() - 1) / (2 * len(x))
    first = Estimate.from_samples(p.log_ratio(q, x))
    return Estimate(first.value + float(off), first.stderr)


def half_to_four_fifths(n: int) -> Iterator[Row]:
    """Two states, 0.5 to 0.8, with samples enough to know λ well: 0.01 in the population is 0.014 in KL."""
    exact = 0.8 * math.log(1.6) + 0.2 * math.log(0.4)
    for dim in (1, 2):
        mixture, model, data = two_state_problem(dim, 0.5, 0.8)
        own = lw.sample(model, n // 4, seed=17, batch_size=16_384, solver="euler", steps=200)
        fit = learn_guidance(model, data, own=own, choices=Choices(solver="euler", steps=200))
        judge = Judge(f"{dim}-D, 0.5 to 0.8", fit)
        target = mixture.reweighted([0.2, 0.8])
        x, certificate = judged(model, data, fit, n, solver="euler", steps=200)
        assert certificate is not None
        found = kl_from_model(x, mixture, target)
        yield judge.row("KL(guided ‖ model)", found)
        yield judge.row(f"  |KL − {exact:.4f}|", Estimate(abs(found.value - exact), found.stderr), most=0.004)
        yield judge.miss(certificate, 0.02)
        yield judge.row("seconds, own samples too", fit.seconds + own.seconds, most=35)


def thirty_dimensions(n: int) -> Iterator[Row]:
    """Two states in 30 dimensions, 0.15 to 0.53, 300 Euler steps."""
    mixture, model, data = two_state_problem(30, 0.15, 0.53)
    fit = learn_guidance(model, data, budget=12_000_000, choices=Choices(solver="euler", steps=300))
    judge = Judge("30-D, 0.15 to 0.53", fit)
    _, certificate = judged(model, data, fit, n, solver="euler", steps=300)
    assert certificate is not None
    yield judge.row("efficiency, 300 steps", certificate.efficiency, least=0.95)
    doob: Any = mixture.doob(mixture.reweighted([0.47, 0.53]), model.schedule)
    exact = lw.sample(model, n // 2, doob, seed=FRESH, solver="euler", steps=300, t_grid=fit.times)
    ceiling = certify(exact.work, exact.log_weight, doob.log_tilt(exact.x))
    yield judge.row("  exact h", ceiling.efficiency)
    yield judge.row("ESS", certificate.ess, least=0.97)
    yield judge.row("  exact h", ceiling.ess)
    yield judge.miss(certificate, 0.02)
    line = torch.linspace(-4, 4, 8001, dtype=torch.float64)[:, None]  # r depends on the first coordinate only
    flat = two_states(1, mixture.weights.tolist(), separation=2.0, std=0.3)
    tilt = fit.maxent.log_tilt_of(flat.populations(line)[:, 1:])
    log_z = float(torch.trapezoid((flat.log_prob(line) + tilt).exp(), line[:, 0]).log())
    off = Estimate(abs(certificate.log_z.value - log_z), certificate.log_z.stderr)
    yield judge.row("|ln Z − exact|", off, most=0.01)


def rare_state(n: int) -> Iterator[Row]:
    """Two states, 0.001 to 0.5, nothing set by hand."""
    for dim in (1, 30):
        _, model, data = two_state_problem(dim, 0.001, 0.5)
        fit = learn_guidance(model, data, choices=Choices(solver="euler", steps=200))
        judge = Judge(f"{dim}-D, 0.001 to 0.5", fit)
        x, certificate = judged(model, data, fit, n, solver="euler", steps=200)
        assert certificate is not None
        off = Estimate.from_samples(evaluate(data.observable, x)[:, 0] - 0.5)
        yield judge.row("|population − 0.5|", Estimate(abs(off.value), off.stderr), most=0.02)
        yield judge.row("efficiency, 200 steps", certificate.efficiency, least=0.9)
        yield judge.row("ESS", certificate.ess, least=0.5)
        yield judge.row("stages", float(len(fit.history)))


PROBLEMS: tuple[tuple[Callable[[int], Iterator[Row]], int], ...] = (
    (prinz_position, 200_000),
    (prinz_populations, 200_000),
    (half_to_four_fifths, 200_000),
    (thirty_dimensions, 50_000),
    (rare_state, 20_000),
)


def show(row: Row) -> str:
    measured = f"{row.value:.4g}" if row.stderr == 0 else f"{row.value:.4f} ± {row.stderr:.1g}"
    verdict = {True: "pass", False: "MISS", None: ""}[row.passed]
    return (
        f"{row.problem:<22}{row.figure:<28}{row.asked:<12}{measured:<19}{verdict:<6}"
        f"{row.seconds:>6.0f}{row.evaluations:>13.2e}"
    )


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the samples")
    parser.add_argument("--only", help="problems whose function has this in its name")
    parser.add_argument("--out", type=Path, help="write the rows there, as JSON")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'problem':<22}{'figure':<28}{'asked':<12}{'measured':<19}{'':<6}{'fit s':>6}{'evaluations':>13}")
    rows: list[Row] = []
    for problem, n in PROBLEMS:
        if chosen.only and chosen.only not in problem.__name__:
            continue
        for row in problem(n // 10 if chosen.quick else n):
            print(show(row), flush=True)
            rows.append(row)
    if chosen.out:
        chosen.out.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
