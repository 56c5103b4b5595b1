"""Sections of the report of a run with couplings: θ, χ² by type, and averages without data."""

from collections.abc import Sequence
from dataclasses import dataclass

from leastwork.report.blocks import Image, Section, Table
from leastwork.runs.base.cases import case
from leastwork.runs.base.sentences import pm
from leastwork.runs.observables.couplings import figures as couplings_figures
from leastwork.runs.observables.couplings import sentences as couplings_prose
from leastwork.runs.observables.couplings.config import CouplingsConfig
from leastwork.runs.observables.couplings.numbers import CouplingNumbers, Reported, coupling_numbers
from leastwork.runs.observables.numbers import ObservableQuality

__all__ = ["Extras", "extras"]


@dataclass(frozen=True)
class Extras:
    """What a form of data adds to the report of a run: warnings, sections, sentences on methods, and settings."""

    warnings: Sequence[str] = ()
    sections: Sequence[Section] = ()
    methods: str = ""
    settings: Sequence[tuple[str, str]] = ()


def extras(config: CouplingsConfig, system: str | None, quality: ObservableQuality) -> Extras:
    """What couplings add.

    Args:
        config: the settings of the couplings.
        system: the name of the run's case, or None.
        quality: the quality metrics of the run.
    """
    numbers = coupling_numbers(quality.besides)
    reported = [row for row in numbers.reported if row.name not in _shown_by_case(system)]
    return Extras(
        couplings_prose.warnings(numbers),
        [
            _trust(config, numbers),
            _agreement(numbers, quality.model_samples),
            *([_reported(reported)] if reported else []),
        ],
        couplings_prose.methods(config, numbers),
        couplings_prose.settings(config, numbers),
    )


def _shown_by_case(system: str | None) -> tuple[str, ...]:
    """Columns that a case reports by means of its own, in sections of its own."""
    known = None if system is None else case(system)
    return () if known is None or known.means is None or known.reported is None else known.reported().names


def _trust(config: CouplingsConfig, numbers: CouplingNumbers) -> Section:
    curve = numbers.trust
    images = []
    if curve.left_out is not None:
        images.append(
            Image(
                couplings_figures.trust(curve),
                f"χ² per datum of data that are left out, one {curve.left_out.removesuffix('s')} at a time, with its "
                "standard error, of data that are all fitted, both by reweighting, and of the unchanged model: against "
                "θ (left) and against the divergence from the model at each θ (right). The grey line is the θ of this "
                "run.",
                "χ² of left-out and fitted data against θ and against the divergence from the model",
            )
        )
    return Section("Trust in the data", [couplings_prose.origin_of_theta(config, numbers)], images)


def _agreement(numbers: CouplingNumbers, model_samples: int) -> Section:
    rows = numbers.chi_squared
    guided = ["guided"] if rows[0].guided is not None else []
    said = {True: "held out", False: "fitted", None: ""}
    table = Table(
        "χ² per datum by type of coupling, with the stated errors of the data, without θ. Standard errors are those of "
        "a finite number of samples; that of the change is a jackknife over the data.",
        ["type", "", "data", "model", "reweighted", *guided, "change"],
        [
            [
                row.type,
                said[row.held_out] if not row.type.startswith("all") else "",
                str(row.data),
                *(pm(one) for one in (row.model, row.reweighted, row.guided) if one is not None),
                pm(row.change),
            ]
            for row in rows
        ],
        text_columns=2,
    )
    return Section(
        "Agreement by type of coupling",
        [couplings_prose.agreement(numbers), couplings_prose.reweighting(numbers, model_samples)],
        [],
        [table],
    )


def _reported(rows: Sequence[Reported]) -> Section:
    shown = {"model": rows[0].model, "reweighted": rows[0].reweighted, "guided": rows[0].guided}
    kinds = [kind for kind, one in shown.items() if one is not None]
    table = Table(
        "Averages of observables that have no data, ± one standard error.",
        ["observable", "unit", *kinds],
        [
            [
                row.name,
                row.unit or "–",
                *(pm(one) for one in (row.model, row.reweighted, row.guided) if one is not None),
            ]
            for row in rows
        ],
        text_columns=2,
    )
    return Section("Without data", [], [], [table])
