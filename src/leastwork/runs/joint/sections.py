"""The overview of a joint run: its parts side by side, what was asked of each, what came of it, what it cost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leastwork.runs.base.finished import Finished, FinishedJoint
from leastwork.runs.joint.config import AnyRun
from leastwork.runs.joint.kinds import kind_of_run
from leastwork.support.numerals import count, fraction, plain, plus_minus

__all__ = ["Row", "introduction", "overview"]

_NONE = "–"


@dataclass(frozen=True)
class Row:
    """A line of the overview, with a cell for each part."""

    label: str
    cells: Sequence[str]


def introduction(run: FinishedJoint) -> str:
    """One sentence: what was run."""
    models = {Path(one.model).name for one in run.config.runs.values()}
    whose = f" of model {models.pop()}" if len(models) == 1 else ""
    return f"A joint run{whose}: {', then '.join(run.config.runs)}."


def overview(parts: Sequence[Finished[AnyRun]], warnings: Sequence[int]) -> list[Row]:
    """What a table shows.

    Args:
        parts: finished runs.
        warnings: how many there are of each.
    """
    lines: dict[str, Callable[[Finished[AnyRun]], str]] = {
        "model": lambda run: Path(run.config.model).name,
        "method": lambda run: kind_of_run(run.config).title(run.config),
        "asked": lambda run: kind_of_run(run.config).asked(run.config, run.metrics),
        "reached": lambda run: kind_of_run(run.config).reached(run.config, run.metrics),
        "work spent": lambda run: _cost(run, "work"),
        "unavoidable": lambda run: _cost(run, "bound"),
        "efficiency": lambda run: _share(run, "efficiency"),
        "effective samples": _effective,
        "free energy of the region": _energy,
        "network evaluations": lambda run: count(run.metrics["network_evaluations"]),
        "wall time": lambda run: f"{plain(run.metrics['seconds'], 3)} s",
    }
    rows = [Row(label, [cell(run) for run in parts]) for label, cell in lines.items()]
    rows.append(Row("warnings", ["none" if n == 0 else f"{n}, below" for n in warnings]))
    return [row for row in rows if any(cell != _NONE for cell in row.cells)]


def _cost(run: Finished[AnyRun], key: str) -> str:
    """In k_B T; of weights, which take no work, the divergence that guiding to the same target would take at least."""
    certificate = run.metrics["certificate"]
    if certificate is not None:
        return f"{plus_minus(**_pair(certificate[key]))} k_BT"
    if key == "bound":
        return f"{plain(run.metrics['quality']['reweighting_kl'])} k_BT"
    return _NONE


def _share(run: Finished[AnyRun], key: str) -> str:
    certificate = run.metrics["certificate"]
    return _NONE if certificate is None else fraction(**_pair(certificate[key]))


def _effective(run: Finished[AnyRun]) -> str:
    if run.metrics["certificate"] is None:
        return fraction(run.metrics["quality"]["reweighting_ess"])
    return _share(run, "ess")


def _energy(run: Finished[AnyRun]) -> str:
    energy: Mapping[str, Any] | None = run.metrics["free_energy"]
    return _NONE if energy is None or energy["value"] is None else f"{plus_minus(**_pair(energy))} k_BT"


def _pair(one: Mapping[str, Any]) -> dict[str, Any]:
    return {key: one[key] for key in ("value", "stderr")}
