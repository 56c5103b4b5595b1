"""Every method on the same data: `python -m benchmarks.comparison`.

Two problems: the bundled Prinz model with one observable (as `leastwork compare prinz` does), and two states in 30
dimensions whose population is to go from 0.15 to 0.53, where the published form of guidance does not arrive. The tables
are printed and put into README.md and docs/comparison.md between their markers, the figures into docs/images.

    python -m benchmarks.comparison --only trust-region    # one row; all others stay, and so do the figures

Takes about half an hour on one core.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.command import options
from benchmarks.picture import IMAGES
from benchmarks.problems import two_state_problem
from benchmarks.table import DOCS, ROOT, insert, merge
from leastwork.observable_guidance.compare import compare
from leastwork.runs.compare.figure import draw_comparison
from leastwork.runs.compare.run import compare_methods, markdown, row_values
from leastwork.runs.load import load_config
from leastwork.runs.observables.config import RunConfig


def prinz(methods: Sequence[str] | None) -> list[dict[str, Any]]:
    """The bundled run, one observable, 200 Euler steps."""
    with tempfile.TemporaryDirectory() as folder:
        config = load_config("prinz", ["sampling.solver=euler", "sampling.steps=200"])
        assert isinstance(config, RunConfig)
        return compare_methods(config, Path(folder), lambda: None, methods=methods)


def thirty(methods: Sequence[str] | None) -> list[dict[str, Any]]:
    """Two states in 30 dimensions, 200 Euler steps, the model's score exact."""
    _, model, data = two_state_problem(30, 0.15, 0.53)
    rows = []
    for row in compare(model, data, methods, solver="euler", steps=200):
        rows.append(row_values(row, [False]))
        print(f"  {row.method}: {row.seconds:.0f} s {row.reason}", flush=True)
    return rows


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--only", nargs="+", metavar="METHOD", help="methods whose rows are measured")
    only = parser.parse_args().only
    torch.set_num_threads(1)
    for name, problem in (("comparison", prinz), ("comparison-30", thirty)):
        rows = problem(only)
        table = markdown(rows)
        print(table, flush=True)
        if only is None:
            draw_comparison(rows, IMAGES / f"{name}.png")
        for file in (ROOT / "README.md", DOCS / "comparison.md"):
            (insert if only is None else merge)(file, name, table)


if __name__ == "__main__":
    main()
