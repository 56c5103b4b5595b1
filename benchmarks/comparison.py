"""Every method on the same data: `python benchmarks/comparison.py`.

Two problems: the bundled Prinz model with one observable (as `leastwork compare prinz` does), and two states in 30
dimensions whose population is to go from 0.15 to 0.53, where the published form of guidance does not arrive. The tables
are printed and put into README.md and docs/comparison.md between their markers, the figures into docs/images.
"""

import re
import tempfile
from pathlib import Path
from typing import Any

import torch

import leastwork as lw
from leastwork.observable_guidance.compare import compare
from leastwork.runs.compare.figure import draw_comparison
from leastwork.runs.compare.run import compare_run, markdown, row_values
from leastwork.runs.load import load_config
from leastwork.systems.mixtures import two_states

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"


def prinz() -> list[dict[str, Any]]:
    """The bundled run, one observable, 200 Euler steps."""
    with tempfile.TemporaryDirectory() as folder:
        return compare_run(load_config("prinz"), Path(folder) / "c")


def thirty() -> list[dict[str, Any]]:
    """Two states in 30 dimensions, 200 Euler steps, the model's score exact."""
    mixture = two_states(30, (0.85, 0.15), separation=2.0, std=0.3)
    right = lw.Observable(lambda x: mixture.populations(x)[:, 1], names="right state")
    model, data = mixture.model(lw.VPSchedule()), lw.Experiment(right, values=[0.53])
    rows = []
    for row in compare(model, data, solver="euler", steps=200):
        rows.append(row_values(row, [False]))
        print(f"  {row.method}: {row.seconds:.0f} s {row.reason}", flush=True)
    return rows


def insert(file: Path, name: str, table: str) -> None:
    """Replace what stands between the markers of that name."""
    text = file.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->", f"<!-- end {name} -->"
    found, count = re.subn(f"{re.escape(begin)}.*?{re.escape(end)}", f"{begin}\n{table}{end}", text, flags=re.DOTALL)
    if count:
        file.write_text(found, encoding="utf-8")


def main() -> None:
    torch.set_num_threads(1)
    for name, problem in (("comparison", prinz), ("comparison-30", thirty)):
        rows = problem()
        table = markdown(rows)
        print(table, flush=True)
        draw_comparison(rows, IMAGES / f"{name}.png")
        for file in (ROOT / "README.md", ROOT / "docs" / "comparison.md"):
            insert(file, name, table)


if __name__ == "__main__":
    main()
