"""The overview of a joint run: its parts side by side, what was asked of each, what came of it, what it cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leastwork.runs.base.checks import many
from leastwork.runs.base.finished import Finished, FinishedJoint
from leastwork.runs.base.numbers import CertificateNumbers, Number
from leastwork.runs.base.sentences import pm, share
from leastwork.runs.base.settings import AnyConfig
from leastwork.runs.joint.kinds import kind_of_run
from leastwork.runs.observables.numbers import observable_numbers
from leastwork.runs.path.numbers import path_numbers
from leastwork.support.numerals import count, plain

__all__ = ["Row", "introduction", "overview"]

_NONE = "–"


@dataclass(frozen=True)
class Row:
    """A line of the overview, with a cell for each part."""

    label: str
    cells: Sequence[str]


def introduction(run: FinishedJoint) -> str:
    """A sentence that names the model and the parts."""
    models = {one.source.label for one in run.config.parts.values()}
    whose = f" of model {models.pop()}" if len(models) == 1 else ""
    return f"A joint run{whose}: {', then '.join(run.config.parts)}."


def overview(parts: Sequence[Finished[AnyConfig]], warnings: Sequence[int] = ()) -> list[Row]:
    """The rows of the table that compares the parts.

    Args:
        parts: finished runs.
        warnings: number of warnings of each part, or none for no such row, and none of its checks.
    """
    lines: dict[str, Callable[[Finished[AnyConfig]], str]] = {
        "model": lambda run: run.config.source.label,
        "method": lambda run: kind_of_run(run.config).title(run.config),
        "asked": lambda run: kind_of_run(run.config).asked(run.config, run.metrics),
        "reached": lambda run: kind_of_run(run.config).reached(run.config, run.metrics),
        "work spent": lambda run: _cost(run, lambda certificate: certificate.work),
        "unavoidable": _bound,
        "efficiency": _efficiency,
        "effective samples": _effective,
        "free energy of the region": _energy,
        "network evaluations": lambda run: count(run.numbers.network_evaluations),
        "wall time": lambda run: f"{plain(run.numbers.seconds, 3)} s",
    }
    rows = [Row(label, [cell(run) for run in parts]) for label, cell in lines.items()]
    if warnings:
        rows.append(Row("checks", [_checks(run) for run in parts]))
        rows.append(Row("warnings", ["none" if n == 0 else f"{n}, below" for n in warnings]))
    return [row for row in rows if any(cell != _NONE for cell in row.cells)]


def _checks(run: Finished[AnyConfig]) -> str:
    """How many of the checks of a run are good, doubtful and so on."""
    states = [check.state for check in kind_of_run(run.config).checks(run)]
    words = {"good": "good", "doubtful": "doubtful", "bad": "not good", "unknown": "not known"}
    return ", ".join(f"{states.count(state)} {word}" for state, word in words.items() if state in states) or _NONE


def _cost(run: Finished[AnyConfig], cost: Callable[[CertificateNumbers], Number]) -> str:
    """A work in k_B T, if there is a certificate."""
    certificate = run.numbers.certificate
    return _NONE if certificate is None else f"{pm(cost(certificate))} k_BT"


def _bound(run: Finished[AnyConfig]) -> str:
    """The bound of the work; for a run that only reweights, the divergence of the target from the model."""
    if run.numbers.certificate is None:
        return f"{plain(observable_numbers(run.metrics).quality.reweighting_kl)} k_BT"
    return _cost(run, lambda certificate: certificate.bound)


def _efficiency(run: Finished[AnyConfig]) -> str:
    certificate = run.numbers.certificate
    return _NONE if certificate is None else share(certificate.efficiency)


def _effective(run: Finished[AnyConfig]) -> str:
    certificate = run.numbers.certificate
    if certificate is None:
        quality = observable_numbers(run.metrics).quality
        return _of(quality.reweighting_ess, quality.model_samples)
    return _NONE if certificate.ess.value is None else _of(certificate.ess.value, certificate.samples)


def _of(ess: float, samples: int) -> str:
    return f"{many(samples * ess)} of {count(samples)}"


def _energy(run: Finished[AnyConfig]) -> str:
    if run.metrics["free_energy"] is None:
        return _NONE
    energy = path_numbers(run.metrics).free_energy
    return _NONE if energy.value is None else f"{pm(energy)} k_BT"
