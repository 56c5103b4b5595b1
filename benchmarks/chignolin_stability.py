"""Observable Guidance of chignolin by its measured stability, three ways: `python -m benchmarks.chignolin_stability`.

The published form is searched in 40 calls of 1,000 samples and 60 steps (extra `search`). `--budget` is what the fit
may spend, `--drawn` how many samples judge it, and `--only` leaves the scheduled form out.

One number, the folded fraction 0.533 ± 0.03 at 340.15 K. Work and efficiency are judged on fresh samples; errors in
held-out quantities are those against the reference simulation, `removed` the share of them that guidance removes over
the share that exact maximum-entropy reweighting of the biased simulation removes, and `miss` the distance of the folded
fraction from the optimum's, in standard deviations, at 100,000 samples.

Takes about ten minutes on one core.
"""

import leastwork as lw
from benchmarks.command import options
from benchmarks.problems import chignolin_stability, points
from leastwork.cases import chignolin
from leastwork.cases.chignolin.errors import describe, held_out, removed
from leastwork.data.maxent import fit_lambdas
from leastwork.observable_guidance.search import gaussian_process_search
from leastwork.observables import evaluate

LAW = {"solver": "euler", "steps": 60, "t_grid": "balanced"}
"""Of the published form; least-work takes the usual solver, and places its 200 steps itself."""


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--budget", type=int, default=10_000_000)
    parser.add_argument("--drawn", type=int, default=100_000)
    parser.add_argument("--only", action="store_true", help="least-work alone")
    arguments = parser.parse_args()
    model = lw.load_model("chignolin")
    data = chignolin_stability()
    known = chignolin.ensembles()
    reference, biased = describe(known.reference), describe(known.biased)
    observed = evaluate(data.observable, known.biased)
    best = held_out(biased, reference, fit_lambdas(observed, data).log_tilt_of(observed))
    before = held_out(biased, reference)
    print(f"biased simulation {before}\nreweighted {best}", flush=True)
    run = lw.guide_observables(model, data, seed=0, budget=arguments.budget, steps=200)
    print(f"fit {run.seconds:.0f} s, {run.network_evaluations / 1e6:.1f}e6 evaluations; target {run.maxent.target}")
    c = run.certificate
    print(
        f"W {c.work}  bound {c.bound}  efficiency {c.efficiency}  ESS of the target {c.ess}  miss {c.miss}", flush=True
    )
    own = run.model_samples
    start = held_out(describe(points(own)), reference)
    print(f"model {start}; reweighted {held_out(describe(points(own)), reference, own.log_tilt)}", flush=True)
    many = run.sample(arguments.drawn, seed=7)
    judged = run.certify(many)
    after = held_out(describe(points(many)), reference)
    sharp = lw.Estimate.from_samples(chignolin.is_folded(points(many)).double())
    share = removed(start, after, before, best)
    print(f"least-work, {arguments.drawn} samples: miss {judged.miss}, folded {many.mean(chignolin.folded())} "
          f"(sharp {sharp})\n  {after}\n  removed {' '.join(f'{r:.3f}' for r in share)}", flush=True)  # fmt: skip
    if arguments.only:
        return
    scheduled = lw.guide_observables(model, data, "scheduled", samples=8000, seed=0, fit_samples=1000,
                                     search=gaussian_process_search(40, seed=1), certificate_samples=5000,
                                     **LAW)  # fmt: skip
    c = scheduled.certificate
    own = scheduled.model_samples
    start, after = (held_out(describe(points(drawn)), reference) for drawn in (own, scheduled.certificate_ensemble))
    weighted = held_out(describe(points(own)), reference, own.log_tilt)
    print(f"scheduled: W {c.work}  efficiency {c.efficiency}  ESS {c.ess}  miss {c.miss}  {scheduled.seconds:.0f} s\n"
          f"  {after}\n  removed {' '.join(f'{r:.3f}' for r in removed(start, after, before, best))}; by reweighting "
          f"{' '.join(f'{r:.3f}' for r in removed(start, weighted, before, best))}")  # fmt: skip


if __name__ == "__main__":
    main()
