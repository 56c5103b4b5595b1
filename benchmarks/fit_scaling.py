"""The law by which a least-work fit costs evaluations, CPU seconds and memory: `python -m benchmarks.fit_scaling`.

Four axes, exact scores, 100 steps. d: two states, 0.15 to 0.53, in d dimensions. K: averages of a mixture in thirty
dimensions. ln(1/p): the pass between two wells in ten dimensions, twelve guides. Cost of the network: two states in
eight dimensions, where a Perceptron is evaluated beside the exact score. Each fit has a process and a thread of its
own. D is the dissipation of fresh paths, in k_BT, n the network evaluations of the fit, and on the first three axes

    ln D = a + b ln n + c ln s          so that          ln n = (ln D − a − c ln s)/b

by least squares over all sizes s and budgets; standard errors are those of the scatter about the law. CPU seconds and
memory are fitted by the same form. Seconds against the network's cost are a straight line, whose slope is the number
of evaluations if the ledger is right.

    python -m benchmarks.fit_scaling --out scaling.json     # keeps the points, and measures only what the file lacks

Puts tables and extrapolation into docs/scaling.md, and saves docs/images/fit-scaling.png. Takes half an hour on one
core.
"""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import options
from benchmarks.fresh import in_fresh_process, peak
from benchmarks.picture import open_frame, save
from benchmarks.table import DOCS, insert, markdown

STEPS, FRESH = 100, 4000
BUDGETS: dict[str, tuple[float, ...]] = {
    "d": (4e5, 1.2e6), "K": (4e5, 1.2e6), "ln 1/p": (1e6, 2e6), "network": (4e5,),
}  # fmt: skip
SIZES: dict[str, tuple[float, ...]] = {
    "d": (2, 8, 32, 128), "K": (1, 10, 100), "ln 1/p": (1e-2, 1e-3, 1e-4), "network": (0, 128, 256),
}  # fmt: skip
AHEAD = {"d": (100, 1000, 3000), "K": (100, 1000), "ln 1/p": tuple(math.log(10) * k for k in (4, 6, 9))}
WANTED = 0.1  # k_BT of dissipation, at which four fifths to nine tenths of the samples are effective
_SPREAD = 0.3  # of ln n, below which the points of an axis have the same budget
COLOURS = {"d": "#0072b2", "K": "#d55e00", "ln 1/p": "#009e73"}
LABELS = ("dissipation, $k_BT$", "CPU seconds of the fit")
POINTS = ("axis", "size", "evaluations, 10⁶", "CPU s", "memory, MiB", "dissipation, k_BT", "ESS", "µs of the network")
LAWS = ("axis", "dissipation: b", "c", "CPU seconds: b", "c", "memory: b", "c")
EXTRAPOLATED = ("axis", "size", "evaluations, 10⁶", "uncertain by the factor", "GPU hours", "minutes on 64 GPUs")

# The assumptions of the extrapolation: none of these numbers is measured here.
WEIGHTS, TOKENS, GPUS = 5e8, 256, 64  # each weight is used once for each token of a sample, in a product and a sum
PEAK, UTILISED = 989e12, 0.4  # dense bfloat16 operations a second of an H100 SXM (NVIDIA's data sheet), share reached
PHASES, LATENCY, TRAINING = 6, 0.03, 120.0  # chains that follow each other, s a step that cannot be divided, s for V


def measure(axis: str, size: float, budget: float) -> dict[str, Any]:
    """One fit, and fresh paths that judge it."""
    import torch

    import leastwork as lw
    from benchmarks.peers.given import quiet

    torch.set_num_threads(1)
    quiet()
    law: dict[str, Any] = {"solver": "exponential", "t_grid": "balanced", "steps": STEPS}
    run_fit, model = _problem(axis, size)
    before, begin = peak(), time.process_time()
    try:
        run = run_fit(budget=int(budget), certificate_samples=FRESH, **law)
    except lw.LeastworkError as error:
        return {"axis": axis, "size": size, "budget": budget, "reason": str(error)}
    seconds, memory = time.process_time() - begin, peak() - before
    with torch.no_grad():
        x, t = torch.randn(2048, *model.event_shape), torch.tensor(0.5)
        model.net(x, t)
        begin = time.process_time()
        for _ in range(5):
            model.net(x, t)
        cost = (time.process_time() - begin) / (5 * 2048)
    found = run.certificate
    return {
        "axis": axis, "size": size, "budget": budget, "evaluations": run.network_evaluations, "seconds": seconds,
        "memory": memory, "microseconds": 1e6 * cost, "dissipation": found.dissipation.value,
        "stderr": found.dissipation.stderr, "work": found.work.value, "ess": found.ess.value,
    }  # fmt: skip


def _problem(axis: str, size: float) -> tuple[Callable[..., Any], Any]:
    """The fit as a function of its settings, and the model."""
    from functools import partial

    import leastwork as lw
    from benchmarks.problems import averages_of_a_mixture, pass_between_wells, two_state_problem

    if axis == "ln 1/p":
        problem = pass_between_wells(size)
        return partial(lw.guide_path, problem.model, problem.guides(), region=problem.region), problem.model
    if axis == "K":
        model, data = averages_of_a_mixture(int(size))
    else:
        _, model, data = two_state_problem(8 if axis == "network" else int(size), 0.15, 0.53)
    if axis == "network" and size:
        model = _slower(model, int(size))
    return partial(lw.guide_observables, model, data), model


def _slower(model: Any, width: int) -> Any:
    """The same model, beside whose network a Perceptron is evaluated, times zero."""
    from dataclasses import replace

    from leastwork.networks.perceptron import Perceptron

    beside, own = Perceptron(model.event_shape[0], width=width, depth=4).requires_grad_(False), model.net
    return replace(model, net=lambda x, t: own(x, t) + 0 * beside(x, t))


@dataclass(frozen=True)
class Law:
    """ln y = a + b ln n + c ln s: the coefficients, (3,), and their covariance, (3, 3), from the scatter about it."""

    found: np.ndarray
    covariance: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[dict[str, Any]], key: str) -> "Law":
        """By least squares over the points of one axis; where all have the same n, b is not known."""
        n, y = (np.log([row[name] for row in rows]) for name in ("evaluations", key))
        design = np.column_stack([np.ones(len(rows)), n, np.log([_size(row) for row in rows])])
        known = [0, 1, 2] if np.ptp(n) > _SPREAD else [0, 2]
        found, covariance = np.zeros(3), np.full((3, 3), math.nan)
        found[known], covariance[np.ix_(known, known)] = _least_squares(design[:, known], y)
        return cls(found, covariance)

    @property
    def complete(self) -> bool:
        """Whether b is known."""
        return not math.isnan(self.covariance[1, 1])

    def exponents(self) -> tuple[str, str]:
        """b and c with their standard errors."""
        b, c = (f"{self.found[i]:.2f} ± {math.sqrt(self.covariance[i, i]):.2f}" for i in (1, 2))
        return (b if self.complete else "–"), c.replace(" ± nan", "")

    def evaluations(self, y: float, size: float) -> tuple[float, float]:
        """n at which the law has that y, and the standard error of ln n."""
        a, b, c = self.found
        log_n = (math.log(y) - a - c * math.log(size)) / b
        gradient = -np.array([1.0, log_n, math.log(size)]) / b
        return math.exp(log_n), math.sqrt(float(gradient @ self.covariance @ gradient))


def _least_squares(design: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The solution and its covariance."""
    found = np.linalg.lstsq(design, y, rcond=None)[0]
    left = len(y) - design.shape[1]
    scatter = np.square(y - design @ found).sum() / left if left else math.nan  # no scatter is known from so few points
    return found, scatter * np.linalg.inv(design.T @ design)


def _size(row: dict[str, Any]) -> float:
    return math.log(1 / row["size"]) if row["axis"] == "ln 1/p" else row["size"]


def tables(rows: list[dict[str, Any]]) -> dict[str, str]:
    """The points, the laws and the extrapolation."""
    good = {axis: [row for row in rows if row["axis"] == axis and "reason" not in row] for axis in SIZES}
    points = [
        (axis, f"{_size(row):.3g}", f"{row['evaluations'] / 1e6:.2f}", f"{row['seconds']:.0f}", f"{row['memory']:.0f}",
         f"{row['dissipation']:.3f} ± {row['stderr']:.3f}", f"{row['ess']:.2f}", f"{row['microseconds']:.2f}")
        for axis, of_axis in good.items() for row in of_axis
    ]  # fmt: skip
    points += [(row["axis"], f"{_size(row):.3g}", row["reason"].split(":")[0], *["–"] * 5)
               for row in rows if "reason" in row]  # fmt: skip
    laws, ahead = [], []
    for axis, sizes in AHEAD.items():
        of = {key: Law.of(good[axis], key) for key in ("dissipation", "seconds", "memory")}
        laws.append((axis, *(exponent for law in of.values() for exponent in law.exponents())))
        for size in sizes if of["dissipation"].complete else ():
            n, spread = of["dissipation"].evaluations(WANTED, size)
            ahead.append((axis, f"{size:.3g}", f"{n / 1e6:.2g}", f"{math.exp(spread):.2g}", *_on_gpus(n)))
    x = np.array([row["microseconds"] for row in good["network"]])
    y = np.array([1e6 * row["seconds"] / row["evaluations"] for row in good["network"]])
    line, covariance = _least_squares(np.column_stack([np.ones(len(x)), x]), y)
    slope = f"{line[1]:.2f} ± {math.sqrt(covariance[1, 1]):.2f}"
    return {
        "points": markdown(POINTS, points),
        "laws": markdown(LAWS, laws) + f"\n\nSlope of the seconds of a fit against those of its network: {slope}.",
        "ahead": markdown(EXTRAPOLATED, ahead),
    }


def _on_gpus(n: float) -> tuple[str, str]:
    """GPU hours, and minutes on all GPUs with what cannot be divided."""
    seconds = n * 2 * WEIGHTS * TOKENS / (PEAK * UTILISED)
    waiting = PHASES * STEPS * LATENCY + TRAINING
    return f"{seconds / 3600:.2g}", f"{(seconds / GPUS + waiting) / 60:.2g}"


def draw(rows: list[dict[str, Any]]) -> None:
    """Dissipation and seconds against the size of each axis, at every budget."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.5), layout="constrained")
    panels = figure.subplots(2, 3)
    for column, axis in enumerate(AHEAD):
        some = [row for row in rows if row["axis"] == axis and "reason" not in row]
        sizes = sorted({_size(row) for row in some})
        for axes, key, label in zip(panels[:, column], ("dissipation", "seconds"), LABELS, strict=True):
            for budget, style in zip(BUDGETS[axis], ("o--", "s-"), strict=True):
                at = [row for row in some if row["budget"] == budget]
                if not at:
                    continue
                axes.plot([_size(row) for row in at], [row[key] for row in at], style, color=COLOURS[axis],
                          label=f"{budget / 1e6:g}·10⁶ evaluations at most")  # fmt: skip
            axes.set(xscale="log", xlabel=axis, ylabel=label if column == 0 else "")
            if key == "dissipation":
                axes.set(yscale="log", ylim=(5e-4, 10))
            else:
                axes.set_ylim(0, 1.2 * max(row[key] for row in some))
            axes.set_xticks(sizes, [f"{size:.3g}" for size in sizes])
            axes.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
            open_frame(axes)
        panels[1, column].legend(frameon=False, fontsize=8, loc="lower left")
    save(figure, "fit-scaling")


def measured(file: Path | None, axes: Sequence[str]) -> list[dict[str, Any]]:
    """All points of some axes, those of the file first; the file keeps each as soon as it is there."""
    rows: list[dict[str, Any]] = json.loads(file.read_text()) if file is not None and file.exists() else []
    known = {(row["axis"], row["size"], row["budget"]) for row in rows}
    for axis in axes:
        for size, budget in product(SIZES[axis], BUDGETS[axis]):
            if (axis, size, budget) in known:
                continue
            rows.append(in_fresh_process(measure, axis, size, budget))
            print(rows[-1], flush=True)
            if file is not None:
                file.write_text(json.dumps(rows, indent=1) + "\n")
    return rows


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--out", type=Path, help="keep the points there, as JSON")
    parser.add_argument("--axes", nargs="+", choices=SIZES, default=list(SIZES))
    given = parser.parse_args()
    rows = measured(given.out, given.axes)
    if {row["axis"] for row in rows} < set(SIZES):
        return
    for name, table in tables(rows).items():
        print(table, end="\n\n")
        insert(DOCS / "scaling.md", name, table)
    draw(rows)


if __name__ == "__main__":
    main()
