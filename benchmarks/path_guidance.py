"""Ways into a rare region, one table a problem: `python -m benchmarks.path_guidance`.

Twelve guides, the region known. `success` is the share of fresh samples in it, W their work, the efficiency that of the
share reached, a dash where too few effective samples know it; F = −ln p(A) from path weights, beside a plain count of
the same discretised model (with its hits); `diversity` the Vendi score of the samples in A over that of the model's own
there, 1 for the right ensemble; `nearest` the median distance to the nearest guide over that of the model's own samples
in A: small for copies of the guides. SMC steering takes the tilt L·1_A of the least-work run, at the evaluations that
this run took in all. The tables are put into docs/path.md between their markers.

Takes about a quarter of an hour on one core.
"""

import math
import time

import torch
from torch import Tensor

import leastwork as lw
from benchmarks.command import options
from benchmarks.problems import LAW, Count, Problem, count, pass_between_wells, points, saddle
from benchmarks.table import DOCS, cells, insert, markdown
from leastwork.path_guidance.run import PathMethod, PathRun
from leastwork.sampling.steer import steer
from leastwork.statistics.diversity import nearest_guide, relative_diversity

COUNTED = 1_000_000
HEAD = (
    "method", "success", "W/kT", "efficiency", "F/kT", "F − count, in s.e.", "diversity", "nearest", "evaluations", "s",
)  # fmt: skip
METHODS: tuple[PathMethod, ...] = ("transported", "loss", "least-work")


def row(problem: Problem, run: PathRun, counted: Count, seconds: float) -> list[str]:
    drawn, certificate = run.certificate_ensemble, run.certificate
    inside = points(run.inside(drawn))
    return [
        run.method,
        f"{run.success}",
        f"{certificate.work}",
        "–" if math.isnan(certificate.efficiency.value) else f"{certificate.efficiency}",
        *free_energy(run.free_energy, counted),
        f"{relative_diversity(inside, counted.hits)}",
        f"{near(run, inside, counted):.2f}",
        f"{run.network_evaluations / 1e6:.0f}e6",
        f"{seconds:.0f}",
    ]


def free_energy(found: lw.Estimate, counted: Count) -> tuple[str, str]:
    off = found.value - counted.free_energy.value
    return f"{found}", f"{off / math.hypot(found.stderr, counted.free_energy.stderr):.1f}"


def near(run: PathRun, x: Tensor, counted: Count) -> float:
    own = nearest_guide(counted.hits, run.guides).median()
    return float(nearest_guide(x, run.guides).median() / own)


def smc_row(problem: Problem, run: PathRun, counted: Count) -> list[str]:
    """Steering by the indicator itself, which looks ahead at the denoised state."""
    begin = time.perf_counter()
    n = 1024 * round(run.network_evaluations / 201 / 1024)
    drawn = steer(problem.model, n, run.log_tilt, seed=3, **LAW)
    inside = problem.region(drawn.x).double()
    weight = torch.softmax(drawn.log_weight + run.log_tilt(drawn.x), dim=0)
    p = (drawn.log_weight.exp() * inside).double()
    found = lw.Estimate.from_influence(-math.log(float(p.mean())), p / p.mean(), drawn.ledger.group)
    return [
        "SMC steering", f"{float(weight @ inside):.3f} (weighted)", "–", "–", *free_energy(found, counted), "–", "–",
        f"{drawn.network_evaluations / 1e6:.0f}e6", f"{time.perf_counter() - begin:.0f}",
    ]  # fmt: skip


def main() -> None:
    options(__doc__).parse_args()
    torch.set_num_threads(1)
    for problem in (saddle(), pass_between_wells()):
        counted = count(problem, COUNTED)
        rows = []
        print(
            f"{problem.name}: count {counted.free_energy} ({len(counted.hits)} hits of {counted.samples}, "
            f"{counted.seconds:.0f} s), quadrature {problem.exact:.4f}",
            flush=True,
        )
        for method in METHODS:
            begin = time.perf_counter()
            run = lw.guide_path(problem.model, problem.guides(), method, region=problem.region, **LAW)
            assert run.certificate
            rows.append(row(problem, run, counted, time.perf_counter() - begin))
            print(cells(rows[-1]), flush=True)
            if method == "least-work":
                rows.append(smc_row(problem, run, counted))
                print(cells(rows[-1]), flush=True)
        about = (
            f"\n\nCount: F = {counted.free_energy} from {len(counted.hits)} hits of {counted.samples:,} samples; the "
            f"density itself has {problem.exact:.4f}.\n"
        )
        insert(DOCS / "path.md", problem.name, markdown(HEAD, rows) + about)


if __name__ == "__main__":
    main()
