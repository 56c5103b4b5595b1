"""Text blocks of the report of a run with couplings: θ, agreement, warnings."""

from leastwork.observables.karplus import KARPLUS
from leastwork.runs.base.sentences import pm
from leastwork.runs.observables.couplings.config import CouplingsConfig
from leastwork.runs.observables.couplings.numbers import CouplingNumbers
from leastwork.support.numerals import count, plain, plus_minus

__all__ = ["FEW", "agreement", "methods", "origin_of_theta", "reweighting", "settings", "warnings"]

FEW = 3
"""Groups below which cross-validation says little."""

_NOUN = {"types": "type of coupling", "residues": "residue"}


def origin_of_theta(config: CouplingsConfig, numbers: CouplingNumbers) -> str:
    """A sentence that says how θ was chosen."""
    curve = numbers.trust
    if curve.left_out is None:
        return (
            f"The covariance of the errors, of measurements and relations together, was multiplied by θ = "
            f"{plain(curve.theta, 3)}, as the run says."
        )
    noun, groups = _NOUN[curve.left_out], curve.groups
    asked = "" if curve.left_out == config.leave_out else ", for only one type of coupling is fitted"
    chosen = curve.chosen
    return (
        f"The trust in the data was chosen by cross-validation on the model's own samples, leaving out one "
        f"{noun} at a time{asked} ({', '.join(groups)}). Of all θ that predict what is left out as well as the best "
        f"one, within a standard error of the difference, the largest was taken, θ = {plain(curve.theta, 3)}: there "
        f"χ² per datum of the data left out is {plus_minus(curve.held_out[chosen], curve.held_out_stderr[chosen])}, "
        f"and {plain(curve.model, 3)} under the model."
    )


def agreement(numbers: CouplingNumbers) -> str:
    """χ² before and after, fitted and held out."""
    rows = {row.type: row for row in numbers.chi_squared}
    parts = [(name, rows[f"all {name}"]) for name in ("fitted", "held out") if f"all {name}" in rows]
    said = [f"of {name.replace(' ', '-')} couplings from {pm(row.model)} to {pm(row.after)}" for name, row in parts]
    return f"χ² per datum went {' and '.join(said)}."


def reweighting(numbers: CouplingNumbers, model_samples: int) -> str:
    """Whether weights alone would have done, and whether guiding says the same."""
    one = numbers.reweighting
    verdict = "this is sufficient without guidance" if one.enough else "this is not sufficient without guidance"
    text = (
        f"Reweighting keeps {count(round(one.effective))} effective of {count(model_samples)} samples of the model; by "
        f"the criterion of {count(one.criterion)}, {verdict}."
    )
    difference = numbers.guided_against_reweighted
    if difference is None:
        return text
    size = plain(abs(difference.standard_errors), 2)
    return (
        f"{text} At the same θ guided and reweighted averages differ at most in {difference.name}, by "
        f"{plain(difference.difference, 2)} Hz or {size} standard errors of both together."
    )


def warnings(numbers: CouplingNumbers) -> list[str]:
    """What to beware of, with its remedy."""
    curve = numbers.trust
    if curve.left_out is None or len(curve.groups) >= FEW:
        return []
    return [
        f"θ = {plain(curve.theta, 3)} rests on cross-validation over two groups of data, "
        f"{' and '.join(curve.groups)}, and may change with the samples: fit more types of coupling, or give theta "
        "a number."
    ]


def methods(config: CouplingsConfig, numbers: CouplingNumbers) -> str:
    """A sentence or two for a methods section."""
    rows = numbers.chi_squared
    used = dict.fromkeys(
        KARPLUS[config.karplus][kind].citation for kind in (row.type.split(", ")[0] for row in rows)
        if kind in KARPLUS[config.karplus]
    )  # fmt: skip
    curve = numbers.trust
    how = "given" if curve.left_out is None else f"chosen by cross-validation over {len(curve.groups)} {curve.left_out}"
    return (
        f"Scalar couplings were calculated from torsions by the Karplus relations “{config.karplus}” "
        f"({'; '.join(used)}); the covariance of the errors is that of the measurements and of the relations, of whose "
        f"variance residues share {plain(config.shared)}, times θ = {plain(curve.theta, 3)}, which was {how}."
    )


def settings(config: CouplingsConfig, numbers: CouplingNumbers) -> list[tuple[str, str]]:
    """Settings that shape the numbers."""
    curve = numbers.trust
    how = "given" if curve.left_out is None else f"by cross-validation over {curve.left_out}"
    return [
        ("couplings", config.couplings.name),
        ("Karplus relations", config.karplus),
        ("shared error", plain(config.shared)),
        ("θ", f"{plain(curve.theta, 3)}, {how}"),
    ]
