"""Couplings that were not fitted, and populations: the alanine pentapeptide, reweighted and guided, with errors.

    python -m benchmarks.ala5_couplings                    # the bundled model, reweighted, a few minutes
    python -m benchmarks.ala5_couplings --guide            # and guided
    python -m benchmarks.ala5_couplings --frames           # the simulated frames in place of the model
    python -m benchmarks.ala5_couplings --synthetic 100    # data of a known tilt: what is recovered

³J(HN,Hα) and ¹J(N,Cα) are fitted. θ, which multiplies the covariance of the data's errors, is chosen by
cross-validation between the types that are fitted, before any other value is looked at; so it is in every row of every
table, from the data fitted there. χ² is a datum's, with the errors as stated (θ = 1) and the values as measured. Its
standard error is that of the averages over a finite number of samples, by the bootstrap, λ fitted anew; in parentheses
with the fitted data drawn anew as well, from θΣ. Populations have the errors of both; θ is chosen once.

Takes about a few minutes, --guide five more, and --synthetic 100 a quarter of an hour on one core.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

import leastwork as lw
from benchmarks.command import options
from benchmarks.problems import points
from benchmarks.table import markdown
from leastwork.cases import ala5
from leastwork.data.bootstrap import Refit, bootstrap_reweighted
from leastwork.data.coupling import Coupling
from leastwork.data.couplings import Couplings
from leastwork.data.maxent import fit_lambdas
from leastwork.data.trust import TrustCurve, chi_squared, trust
from leastwork.observables import evaluate
from leastwork.observables.couplings import KINDS
from leastwork.observables.karplus import KARPLUS

FITTED = ("3J(HN,HA)", "1J(N,CA)")
PHI = ("3J(HN,HA)", "3J(HN,CB)", "3J(HN,C')", "3J(HA,C')")
PSI = ("1J(N,CA)", "2J(N,CA)")
RESIDUES = range(2, 6)
STATES = ("PPII", "beta", "alpha_R", "alpha_L", "other")
BLOCKS = 40  # of simulated frames, longer than they remember
THETAS = tuple(torch.logspace(-1, 3, 9, dtype=torch.float64).tolist())  # where many curves are needed


@dataclass(frozen=True)
class Source:
    """Samples, and how many in a row depend on each other."""

    name: str
    x: Tensor
    group: int = 1


@dataclass(frozen=True)
class Problem:
    """Data with their errors as stated, all couplings of the samples, and the θ that the fitted data choose."""

    data: lw.Experiment
    observed: Tensor
    curve: TrustCurve

    @property
    def trusted(self) -> lw.Experiment:
        return replace(self.data, errors=self.curve.theta * self.data.covariance)


# What is printed.


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print(f"\n### {title}\n\n{markdown(head, rows)}", flush=True)


def shown(value: float, stderr: float, digits: int = 2) -> str:
    return f"{value:.{digits}f} ± {stderr:.{digits}f}"


def several(estimate: lw.Estimate, digits: int = 2) -> list[str]:
    return [shown(v, e, digits) for v, e in zip(estimate.value.tolist(), estimate.stderr.tolist(), strict=True)]


# The fits.


def where(held_out: Callable[[Coupling], bool]) -> Couplings:
    return ala5.couplings().held_out_where(held_out)


def posed(source: Source, couplings: Couplings, karplus: str = "vogeli2007") -> Problem:
    data = couplings.experiment(ala5.BACKBONE, karplus=karplus)
    observed = evaluate(data.observable, source.x).double()
    return Problem(data, observed, trust(observed, data, couplings.kinds))


def before_and_after(problem: Problem, groups: Sequence[Tensor], refit: Refit) -> Tensor:
    """χ² per datum of each group under the model, reweighted, and the change, (3 G,)."""
    rows = []
    for of in groups:
        model, tilted = (chi_squared(mean, problem.data, of) for mean in (refit.fit.model_mean, refit.fit.predicted))
        rows += [model, tilted, tilted - model]
    return torch.tensor(rows, dtype=torch.float64)


def judged(source: Source, problem: Problem, groups: Sequence[Tensor], repeats: int) -> list[list[str]]:
    """Before, after and change of each group, with errors of samples and, in parentheses, of samples and data."""
    samples, both = (
        bootstrap_reweighted(
            problem.observed,
            problem.trusted,
            lambda refit: before_and_after(problem, groups, refit),
            repeats=repeats,
            resample=resample,
            group=source.group,
        )
        for resample in ("samples", "both")
    )
    cells = several(samples)
    cells = [
        cell if i % 3 == 0 else f"{cell} ({error:.2f})"
        for i, (cell, error) in enumerate(zip(cells, both.stderr.tolist(), strict=True))
    ]
    return [cells[i : i + 3] for i in range(0, len(cells), 3)]


def places(of: Callable[[Coupling], bool]) -> Tensor:
    return torch.tensor([k for k, row in enumerate(ala5.couplings().rows) if of(row)])


def conclusion(source: Source, repeats: int) -> None:
    """The main fit: θ, λ, χ² of every type, populations."""
    problem = posed(source, where(lambda row: row.kind not in FITTED))
    fit = fit_lambdas(problem.observed, problem.trusted)
    curve = problem.curve
    print(
        f"\n## {source.name}: {len(source.x)} samples\n\nFitted {' and '.join(FITTED)}, θ = {curve.theta:.3g} by "
        f"cross-validation between them (left-out χ² {curve.model:.2f} of the model, "
        f"{float(curve.held_out.value[curve.chosen]):.2f} at θ); KL {fit.kl:.3f} nats, "
        f"ESS of reweighting {fit.ess:.3f}."
    )
    kinds = [places(lambda row, kind=kind: row.kind == kind) for kind in KINDS]
    held_out = problem.data.held_out.nonzero()[:, 0]
    groups = [*kinds, problem.data.fitted, held_out]
    names = [*KINDS, "fitted, all", "held out, all"]
    roles = ["fitted" if kind in FITTED else "held out" for kind in KINDS] + ["", ""]
    cells = judged(source, problem, groups, repeats)
    table(
        "χ² per datum, model and reweighted",
        ("coupling", "data", "", "model", "reweighted", "change"),
        [[n, str(len(g)), r, *c] for n, g, r, c in zip(names, groups, roles, cells, strict=True)],
    )
    populations(source, problem, repeats)


def populations(source: Source, problem: Problem, repeats: int) -> None:
    inside = evaluate(ala5.populations(), source.x).double()
    residues, states = len(RESIDUES), len(STATES)

    def of(refit: Refit) -> Tensor:
        both = [(weight @ inside).reshape(residues, states) for weight in (refit.model, refit.tilted)]
        both = [torch.cat([each.mean(dim=0, keepdim=True), each]) for each in both]
        return torch.stack([*both, both[1] - both[0]]).flatten()

    found = bootstrap_reweighted(problem.observed, problem.trusted, of, repeats=repeats, group=source.group)
    cells = several(found, 3)
    block = (residues + 1) * states
    rows = []
    for r, residue in enumerate(["mean", *map(str, RESIDUES)]):
        for s, state in enumerate(STATES):
            place = r * states + s
            rows.append([residue, state, cells[place], cells[block + place], cells[2 * block + place]])
    table("Populations", ("residue", "state", "model", "reweighted", "change"), rows)


def leave_out(source: Source, repeats: int) -> None:
    """All data but some are fitted, with a θ of their own, and those that are left out are predicted."""
    left: list[tuple[str, Callable[[Coupling], bool], Callable[[Coupling], bool]]] = [
        *((kind, lambda row, kind=kind: row.kind == kind, lambda row: False) for kind in KINDS),
        ("all φ: " + ", ".join(PHI), lambda row: row.kind in PHI, lambda row: row.kind not in PSI),
        ("all ψ: " + ", ".join(PSI), lambda row: row.kind in PSI, lambda row: row.kind not in PHI),
        *((f"residue {i}", lambda row, i=i: row.residue == i, lambda row: False) for i in RESIDUES),
    ]
    rows = []
    for name, out, neither in left:
        couplings = where(lambda row, out=out, neither=neither: out(row) or neither(row))
        problem = posed(source, couplings)
        fit = fit_lambdas(problem.observed, problem.trusted)
        of = [places(out), problem.data.fitted]
        out_cells, in_cells = judged(source, problem, of, repeats)
        rows.append([name, str(len(of[0])), f"{problem.curve.theta:.3g}", f"{fit.ess:.2f}", *out_cells, in_cells[1]])
    table(
        "Left out, the rest fitted: χ² per datum of what is left out (³J(HN,Cα) sees φ and ψ, so it is in neither row)",
        ("left out", "data", "θ", "ESS", "model", "reweighted", "change", "fitted data, reweighted"),
        rows,
    )


def karplus(source: Source, repeats: int) -> None:
    rows = []
    for name in KARPLUS:
        problem = posed(source, where(lambda row: row.kind not in FITTED), name)
        groups = [problem.data.fitted, problem.data.held_out.nonzero()[:, 0]]
        fitted, held_out = judged(source, problem, groups, repeats)
        ess = fit_lambdas(problem.observed, problem.trusted).ess
        rows.append([name, f"{problem.curve.theta:.3g}", f"{ess:.2f}", *fitted[:2], *held_out])
    head = ("Karplus set", "θ", "ESS", "fitted, model", "fitted, reweighted", "held out, model", "held out, reweighted",
            "change")  # fmt: skip
    table("Under other Karplus relations: χ² per datum", head, rows)


def other_force_field(repeats: int) -> None:
    """χ² of the frames of the other force field, as they are."""
    x = ala5.ensembles().other
    data = where(lambda row: row.kind not in FITTED).experiment(ala5.BACKBONE)
    observed = evaluate(data.observable, x).double()
    names = [*KINDS, "fitted, all", "held out, all"]
    groups = [*(places(lambda row, kind=kind: row.kind == kind) for kind in KINDS),
              data.fitted, data.held_out.nonzero()[:, 0]]  # fmt: skip

    def of(refit: Refit) -> Tensor:
        return torch.tensor([chi_squared(refit.fit.model_mean, data, g) for g in groups], dtype=torch.float64)

    found = bootstrap_reweighted(
        observed, data, of, repeats=repeats, resample="samples", group=math.ceil(len(x) / BLOCKS)
    )
    table(
        f"The other force field, {len(x)} frames as they are: χ² per datum",
        ("coupling", "χ²"),
        zip(names, several(found), strict=True),
    )


# Guided.


def guide(model: lw.DiffusionModel, source: Source, steps: int, budget: int) -> None:
    """Guided samples against other samples of the model, reweighted to the same target."""
    problem = posed(source, where(lambda row: row.kind not in FITTED))
    begin = time.perf_counter()
    run = lw.guide_observables(
        model,
        problem.trusted,
        budget=budget,
        certificate_samples=8192,
        solver="euler",
        steps=steps,
        t_grid="balanced",
        seed=0,
    )
    seconds, certificate = time.perf_counter() - begin, run.certificate
    observable = problem.data.observable
    guided = lw.Estimate.from_samples(evaluate(observable, run.certificate_ensemble.x).double())
    weighted = lw.Estimate.from_log_weights(problem.observed, run.maxent.log_tilt_of(problem.observed))
    combined = (guided.stderr**2 + weighted.stderr**2).sqrt()
    z = (guided.value - weighted.value) / combined
    print(
        f"\n## Guided, {steps} steps, fitted in {seconds:.0f} s: {certificate.work} nats of work, dissipation "
        f"{certificate.dissipation}, efficiency {certificate.efficiency}, ESS {certificate.ess}"
    )
    names = problem.data.names
    rows = [[names[k], *cells, f"{float(guided.value[k] - weighted.value[k]):+.3f}", f"{float(z[k]):+.1f}"]
            for k, cells in enumerate(zip(several(guided, 3), several(weighted, 3), strict=True))]  # fmt: skip
    largest = int(z.abs().argmax())
    table(
        f"Couplings, Hz, guided and reweighted at the same θ and λ; largest difference {float(z[largest]):+.1f} "
        f"combined standard errors, {names[largest]}",
        ("coupling", "guided", "reweighted", "difference", "in standard errors"),
        rows,
    )
    held_out, fitted = problem.data.held_out.nonzero()[:, 0], problem.data.fitted
    rows = [[name, *(f"{chi_squared(mean, problem.data, of):.2f}" for mean in
                     (problem.observed.mean(dim=0), weighted.value, guided.value))]
            for name, of in (("fitted", fitted), ("held out", held_out))]  # fmt: skip
    table("χ² per datum", ("data", "model", "reweighted", "guided"), rows)


# Data of a known tilt.


def synthetic(source: Source, count: int) -> None:
    """Data of one half of the samples, tilted by a known λ, fitted on the other half."""
    couplings = where(lambda row: row.kind not in FITTED)
    data = couplings.experiment(ala5.BACKBONE)
    observed = evaluate(data.observable, source.x).double()
    inside = evaluate(ala5.populations(), source.x).double()
    # A third of 1/σ_O for each datum fitted: of the sign in which the measured ones pull.
    sign = torch.tensor([1.0 if kind == "3J(HN,HA)" else -1.0 for kind in couplings.kinds], dtype=torch.float64)
    lambdas = torch.where(data.held_out, 0.0, sign / 3 / observed.std(dim=0))
    root = torch.linalg.cholesky(data.covariance)
    half = len(observed) // 2
    recovered = {"λ": [], "fitted couplings": [], "held-out couplings": [], "populations": []}
    thetas: dict[str, list[float]] = {}
    for repeat in range(count):
        random = torch.Generator().manual_seed(repeat)
        order = torch.randperm(len(observed), generator=random)
        one, two = order[:half], order[half : 2 * half]
        tilt = -(observed[one] @ lambdas)
        truth = lw.Estimate.from_log_weights(torch.cat([observed[one], inside[one]], dim=1), tilt)
        averages = truth.value[: len(lambdas)]
        noise = root @ torch.randn(len(lambdas), generator=random, dtype=torch.float64)
        clean, noisy = (replace(data, values=averages + e) for e in (0 * noise, noise))
        reference = fit_lambdas(observed[one], clean)

        def of(refit: Refit, two: Tensor = two) -> Tensor:
            return torch.cat([refit.fit.lambdas, refit.fit.predicted, refit.tilted @ inside[two]])

        found = bootstrap_reweighted(observed[two], noisy, of, repeats=50, seed=repeat)
        exact = torch.cat([reference.lambdas, truth.value])
        z = (found.value - exact) / (found.stderr**2 + torch.cat([reference.stderr, truth.stderr]) ** 2).sqrt()
        k, held_out, fitted = len(lambdas), data.held_out.nonzero()[:, 0], data.fitted
        for name, part in zip(recovered, (z[fitted], z[k + fitted], z[k + held_out], z[2 * k :]), strict=True):
            recovered[name].append(part[part.isfinite()])
        for name, theta in thetas_of(observed[two], data, averages, noise, couplings.kinds).items():
            thetas.setdefault(name, []).append(theta)
    rows = []
    for name, scores in recovered.items():
        within = torch.stack([(z.abs() < 3).all() for z in scores])
        everything = torch.cat(scores)
        rows.append([name, str(len(scores[0])), f"{int(within.sum())} of {count}",
                     f"{100 * float((everything.abs() < 3).double().mean()):.1f} %",
                     f"{float(everything.square().mean().sqrt()):.2f}"])  # fmt: skip
    kl = reference_kl(observed, lambdas)
    table(
        f"{source.name}: data of a known tilt (KL {kl:.2f} nats) of one half of {2 * half} samples, fitted on the "
        "other, θ = 1. λ is recovered if it is that of the same data without noise, under the same Σ; averages, if "
        "they are the truth's. Errors: of the data, of the samples fitted (bootstrap), and of the truth's samples",
        ("", "number", "repeats with all within 3 standard errors", "share of all within 3", "root mean square z"),
        rows,
    )
    print_thetas(thetas)


def reference_kl(observed: Tensor, lambdas: Tensor) -> float:
    log_w = -(observed @ lambdas)
    weight = log_w.softmax(dim=0)
    return float(weight @ log_w - (log_w.logsumexp(dim=0) - math.log(len(log_w))))


def thetas_of(
    observed: Tensor, data: lw.Experiment, averages: Tensor, noise: Tensor, kinds: Sequence[str]
) -> dict[str, float]:
    """θ with errors stated rightly, three times too small, and with a type whose values are all off by 4 σ."""
    observed = observed[:5000]
    off = torch.tensor([4.0 if kind == "1J(N,CA)" else 0.0 for kind in kinds]) * data.covariance.diagonal().sqrt()
    found = {}
    for which, held_out in (("two types", data.held_out), ("all types", torch.zeros_like(data.held_out))):
        right = replace(data, values=averages + noise, held_out=held_out)
        for how, each in (
            ("right", right),
            ("a third", replace(right, errors=right.covariance / 9)),
            ("off", replace(right, values=right.values + off)),
        ):
            found[f"{which}, {how}"] = trust(observed, each, kinds, THETAS).theta
    return found


def print_thetas(thetas: dict[str, list[float]]) -> None:
    rows = []
    words = {"right": "as they are", "a third": "stated 3 times too small", "off": "¹J(N,Cα) off by 4 σ, not stated"}
    for name, found in thetas.items():
        which, how = name.split(", ")
        right, here = torch.tensor(thetas[f"{which}, right"]), torch.tensor(found)
        quartiles = torch.quantile(here, torch.tensor([0.25, 0.5, 0.75])).tolist()
        room = right < max(THETAS)
        share = "" if how == "right" else f"{int((here > right).sum())} of {int(room.sum())}"
        least = f"{int((here >= right).sum())} of {len(here)}" if share else ""
        rows.append([which, words[how], " / ".join(f"{q:.3g}" for q in quartiles), share, least])
    table(
        "θ chosen by cross-validation between types",
        (
            "fitted",
            "errors",
            "quartiles of θ",
            "larger than with right errors, where that is not the largest tried",
            "at least as large",
        ),
        rows,
    )


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--model", default="ala5", help="a bundled name or a folder")
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=50, help="of each bootstrap")
    parser.add_argument("--frames", action="store_true", help="the simulated frames in place of the model")
    parser.add_argument("--guide", action="store_true", help="guided samples too")
    parser.add_argument("--budget", type=int, default=1_500_000, help="network evaluations to fit the guidance with")
    parser.add_argument("--synthetic", type=int, default=0, help="repeats with data of a known tilt, and nothing else")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    begin = time.perf_counter()
    model = None
    if arguments.frames:
        x = ala5.ensembles().biased
        x = x[: len(x) // BLOCKS * BLOCKS]
        source = Source("Simulated frames", x, len(x) // BLOCKS)
    else:
        model = lw.load_model(arguments.model)
        drawn = lw.sample(model, arguments.samples, solver="euler", steps=arguments.steps, t_grid="balanced", seed=1)
        source = Source("The model", points(drawn))
    if arguments.synthetic:
        synthetic(source, arguments.synthetic)
    else:
        conclusion(source, arguments.repeats)
        leave_out(source, arguments.repeats)
        karplus(source, arguments.repeats)
        if arguments.frames:
            other_force_field(arguments.repeats)
        if arguments.guide and isinstance(model, lw.DiffusionModel):
            guide(model, source, arguments.steps, arguments.budget)
    print(f"\n{time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
