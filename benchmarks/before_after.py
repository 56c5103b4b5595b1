"""Has a change made the library slower? Two checkouts on the same short problems, in alternating fresh processes.

    python -m benchmarks.before_after                      # the last commit, and the working tree
    python -m benchmarks.before_after main --rounds 30     # main, and the working tree
    python -m benchmarks.before_after v1 v2 --only import  # two revisions, or folders of checkouts

Each process runs one problem with PYTHONPATH set to src/ of one checkout, on one thread: it prepares, works several
times, and reports the least cost in CPU seconds (user and system), which depend less than the clock on what else the
machine does; `import` and `list` count the whole life of the process after Python itself has started. Before and after
are medians; the ratio is the median of the rounds' ratios with its standard error, and beside it the ratio of the least
costs. Problems use public names only, so that checkouts may be far apart.

Takes about ten minutes for twenty rounds of all problems on a quiet core.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.command import options
from benchmarks.table import ROOT, markdown
from benchmarks.timing import Cost, in_turn, ratio

CHILD = """
import contextlib, io, json, os, sys, time
from pathlib import Path
prepare, work, times, folder = sys.argv[1], compile(sys.argv[2], "work", "exec"), int(sys.argv[3]), Path(sys.argv[4])
names, costs = {"folder": folder}, []
with contextlib.redirect_stdout(io.StringIO()):
    exec(prepare, names)
    for _ in range(times):
        begin = time.perf_counter(), time.process_time()
        exec(work, names)
        costs.append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
import leastwork
print(json.dumps([leastwork.__file__, *map(min, zip(*costs))]))
"""


@dataclass(frozen=True)
class Problem:
    """Python that is run once to prepare, and Python that is timed so many times in one process."""

    work: str
    prepare: str = ""
    times: int = 1


def drawing(name: str, samples: int, steps: int) -> Problem:
    return Problem(
        f"lw.sample(model, {samples}, solver='euler', steps={steps}, seed=1)",
        f"import leastwork as lw; model = lw.load_model({name!r}); lw.sample(model, 100, steps=5, seed=1)",
        times=3,
    )


COMMAND = """
from leastwork.cli import app
def leastwork(*words):
    app(words, standalone_mode=False)
"""
DATA = """
import torch, leastwork as lw
random = torch.Generator().manual_seed(0)
shared = torch.randn(20_000, 1, generator=random, dtype=torch.float64)
x = 0.55 * shared + 0.84 * torch.randn(20_000, 20, generator=random, dtype=torch.float64)
everything = lw.Observable(lambda x: x, names=tuple(map(str, range(20))))
data = lw.Experiment(everything, [(-1) ** k * 0.2 for k in range(20)])
"""
SCHEDULED = """
import leastwork as lw
model = lw.load_model("prinz")
data = lw.Experiment(lw.Observable(lambda x: x[:, 0], names="x"), [0.096])
"""
REPORT = f"""
{COMMAND}
run = folder / "run"
if not run.exists():
    leastwork("run", "prinz", "--out", str(run), "--quiet", "--set", "method=scheduled", "--set", "sampling.n=5000")
leastwork("report", str(run))
"""
PROBLEMS = {
    "import leastwork": Problem("import leastwork"),
    "import to sample": Problem("from leastwork import load_model, sample"),
    "import of jobs": Problem("from leastwork import Experiment, guide_observables, guide_path, load_model"),
    "leastwork list": Problem(f"{COMMAND}\nleastwork('list')"),
    "prinz, 20,000 samples": drawing("prinz", 20_000, 50),
    "muller-brown, 10,000 samples": drawing("muller-brown", 10_000, 50),
    "chignolin, 2,000 samples": drawing("chignolin", 2000, 30),
    "λ of 20 averages": Problem("lw.fit_lambdas(x, data)", f"{DATA}\nlw.fit_lambdas(x, data)", times=5),
    "scheduled fit of prinz": Problem(
        "lw.guide_observables(model, data, 'scheduled', samples=5000, certificate_samples=5000, fit_samples=1024,"
        " solver='euler', steps=30)",
        SCHEDULED,
    ),
    "report of a run": Problem("leastwork('report', str(run))", REPORT, times=3),
}


@contextmanager
def checkout(where: str) -> Iterator[Path]:
    """The folder of that name, or a temporary worktree of that revision."""
    if Path(where).is_dir():
        yield Path(where).resolve()
        return
    with tempfile.TemporaryDirectory() as folder:
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", f"{folder}/tree", where], check=True)
        try:
            yield Path(folder) / "tree"
        finally:
            subprocess.run([*git, "remove", "--force", f"{folder}/tree"], check=True)


def run(problem: Problem, tree: Path, folder: Path) -> Cost:
    """The cost of a problem in a fresh process; ``folder`` keeps what is prepared once."""
    folder.mkdir(exist_ok=True)
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, "-c", CHILD, problem.prepare, problem.work, str(problem.times), str(folder)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, **one_thread, "PYTHONPATH": str(tree / "src")},
    )
    file, wall, cpu = json.loads(done.stdout.splitlines()[-1])
    if not Path(file).is_relative_to(tree / "src"):
        raise RuntimeError(f"{file} was imported in place of leastwork in {tree / 'src'}: give a checkout with src/")
    return Cost(wall, cpu)


def row(name: str, trees: list[Path], folders: list[Path], rounds: int) -> list[str]:
    calls = [lambda t=t, f=f: run(PROBLEMS[name], t, f) for t, f in zip(trees, folders, strict=True)]
    for call in calls:
        call()  # compiles what is imported, and prepares
    found = in_turn(calls, rounds)
    before, after = ([one.cpu for one in costs] for costs in found)
    walls = ratio(*([one.wall for one in costs] for costs in found))
    cpu = ratio(before, after)
    return [name, f"{median(before):.3f}", f"{median(after):.3f}", str(cpu), f"{cpu.of_least:.3f}", str(walls)]


HEAD = ("problem", "before, CPU s", "after, CPU s", "ratio", "of the least", "ratio by the clock")


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("before", nargs="?", default="HEAD", help="a revision, or the folder of a checkout")
    parser.add_argument("after", nargs="?", default=str(ROOT), help="likewise; by default this checkout as it is")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", nargs="+", default=[""], help="problems that have one of these in their names")
    chosen = parser.parse_args()
    names = [name for name in PROBLEMS if any(part in name for part in chosen.only)]
    with checkout(chosen.before) as one, checkout(chosen.after) as other, tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch) / side for side in ("before", "after")]
        rows = []
        for name in names:
            rows.append(row(name, [one, other], folders, chosen.rounds))
            print(" ".join(rows[-1]), file=sys.stderr, flush=True)
    print(markdown(HEAD, rows))


if __name__ == "__main__":
    main()
