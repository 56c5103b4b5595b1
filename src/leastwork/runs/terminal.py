"""What the command line prints of a run: small tables of text."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from leastwork.runs.joint.config import JointConfig
from leastwork.runs.load import Run
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.sentences import averages_after
from leastwork.runs.path.config import PathConfig
from leastwork.support.numerals import fraction, plus_minus

__all__ = ["print_comparison", "print_summary"]


def print_summary(config: Run, folder: Path) -> None:
    """A finished run, on stdout, or each part of a joint run below its name."""
    if isinstance(config, JointConfig):
        for part, one in config.runs.items():
            Console(highlight=False).print(Text(part, style="bold"))
            print_summary(one, folder / part)
        return
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    console = Console(highlight=False)
    if isinstance(config, PathConfig):
        console.print(_region(metrics))
        return
    console.print(_observables(config, metrics))
    if metrics["certificate"] is not None:
        console.print(_cost(metrics["certificate"]))


def print_comparison(rows: list[list[str]]) -> None:
    """Methods side by side, on stdout."""
    head = ("method", "target error/σ", "held out/σ", "KL to truth", "work/kT", "efficiency", "ESS", "evaluations", "s")
    table = Table(*head, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(highlight=False)
    console.width = max(console.width, 160)  # a line a method, also where it is piped
    console.print(table)


def _observables(config: RunConfig, metrics: dict[str, Any]) -> Table:
    after = averages_after(config)
    table = Table("observable", "datum", "model", after[0], box=None, pad_edge=False, header_style="bold")
    for row in metrics["observables"]:
        bounds = [f"{sign} {row[key]:g}" for key, sign in (("lower", "≥"), ("upper", "≤")) if row[key] is not None]
        datum = plus_minus(row["target"], row["error"]) if row["target"] is not None else " ".join(bounds)
        unit = f" {row['unit']}" if row["unit"] else ""
        name = f"{row['name']}{unit and f' ({unit.strip()})'}{' [held out]' if row['held_out'] else ''}"
        cells = (datum, plus_minus(row["model"], row["model_stderr"]), plus_minus(*(row[key] for key in after)))
        table.add_row(*(Text(cell) for cell in (name, *cells)))  # shown as it is, whatever brackets it holds
    return table


def _cost(certificate: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for key in ("work", "bound", "dissipation"):
        table.add_row(key, f"{plus_minus(**certificate[key])} kT")
    for key in ("efficiency", "ess"):
        table.add_row(key, fraction(**certificate[key]))
    if certificate["on_target"] is not None:
        table.add_row("on target", "yes" if certificate["on_target"]["value"] else "no")
    return table


def _region(metrics: dict[str, Any]) -> Table:
    energy = metrics["free_energy"]
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row("success", fraction(**metrics["quality"]["success"]))
    table.add_row("free energy", f"{plus_minus(energy['value'], energy['stderr'])} kT")
    if energy["exact"] is not None:
        table.add_row("exact", f"{plus_minus(energy['exact']['value'])} kT")
    for row in zip(*(column.cells for column in _cost(metrics["certificate"]).columns), strict=True):
        table.add_row(*row)
    return table
