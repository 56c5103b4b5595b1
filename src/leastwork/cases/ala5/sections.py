"""Additional sections in reports of the alanine pentapeptide: populations of the basins of φ and ψ."""

from collections.abc import Sequence

from leastwork.report.blocks import Image, Section, Table
from leastwork.runs.base.finished import Finished
from leastwork.runs.observables.couplings import figures as couplings_figures
from leastwork.support.numerals import plus_minus

__all__ = ["sections"]

_NAMES = {"PPII": "PPII", "beta": "β", "alpha_R": "α_R", "alpha_L": "α_L", "other": "other"}


def sections(run: Finished) -> Sequence[Section]:
    """Populations of model, reweighted and guided samples."""
    rows = run.metrics["quality"].get("populations", [])
    if not rows:
        return []
    found = {(row["residue"], row["basin"]): row for row in rows}
    basins: list[str] = list(dict.fromkeys(row["basin"] for row in rows))
    residues = [None, *dict.fromkeys(row["residue"] for row in rows if row["residue"] is not None)]
    kinds = [kind for kind in ("model", "reweighted", "guided") if rows[0][kind] is not None]
    means = {
        kind: [(found[None, basin][kind]["value"], found[None, basin][kind]["stderr"]) for basin in basins]
        for kind in kinds
    }
    shown: list[str] = [_NAMES.get(basin, basin) for basin in basins]
    table = Table(
        "Populations of basins of φ and ψ in per cent, ± one standard error, of each residue and their mean.",
        ["residue", "samples", *shown],
        [
            [
                ("mean" if residue is None else str(residue)) if kind == kinds[0] else "",
                kind,
                *(_percent(found[residue, basin][kind]) for basin in basins),
            ]
            for residue in residues
            for kind in kinds
        ],
        text_columns=2,
    )
    figure = Image(
        couplings_figures.populations(shown, means),
        "Populations of basins, the mean of residues 2 to 5, with one standard error.",
        "Populations of basins of model, reweighted and guided samples",
    )
    return [Section("Populations", [], [figure], [table])]


def _percent(one: dict[str, float]) -> str:
    return plus_minus(100 * one["value"], None if one["stderr"] is None else 100 * one["stderr"])
