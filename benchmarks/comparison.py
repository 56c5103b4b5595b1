"""Every method on the same data: `python -m benchmarks.comparison`.

Two problems: the bundled Prinz model with one observable (as `leastwork compare prinz` does), and two states in 30
dimensions whose population is to go from 0.15 to 0.53, where the published form of guidance does not arrive. The tables
are printed and put into README.md and docs/comparison.md between their markers, the figures into docs/images.

Takes about eight minutes on one core.
"""

import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.command import options
from benchmarks.picture import IMAGES
from benchmarks.problems import two_state_problem
from benchmarks.table import DOCS, ROOT, insert
from leastwork.observable_guidance.compare import compare
from leastwork.runs.carry_out import compare_run
from leastwork.runs.compare.figure import draw_comparison
from leastwork.runs.compare.run import markdown, row_values
from leastwork.runs.load import load_config


def prinz() -> list[dict[str, Any]]:
    """The bundled run, one observable, 200 Euler steps."""
    with tempfile.TemporaryDirectory() as folder:
        return compare_run(load_config("prinz"), Path(folder) / "c")


def thirty() -> list[dict[str, Any]]:
    """Two states in 30 dimensions, 200 Euler steps, the model's score exact."""
    _, model, data = two_state_problem(30, 0.15, 0.53)
    rows = []
    for row in compare(model, data, solver="euler", steps=200):
        rows.append(row_values(row, [False]))
        print(f"  {row.method}: {row.seconds:.0f} s {row.reason}", flush=True)
    return rows


def main() -> None:
    options(__doc__).parse_args()
    torch.set_num_threads(1)
    for name, problem in (("comparison", prinz), ("comparison-30", thirty)):
        rows = problem()
        table = markdown(rows)
        print(table, flush=True)
        draw_comparison(rows, IMAGES / f"{name}.png")
        for file in (ROOT / "README.md", DOCS / "comparison.md"):
            insert(file, name, table)


if __name__ == "__main__":
    main()
