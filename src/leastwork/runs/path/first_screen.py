"""The first screen of a report of Path Guidance, in plain words: what was asked, whether it is met, what to believe,
and the traffic lights of its checks.
"""

from leastwork.report.blocks import Check, Mark, Words
from leastwork.runs.base.checks import certificate_checks, many, step_check
from leastwork.runs.base.finished import Finished
from leastwork.runs.base.sentences import pm, share
from leastwork.runs.path.config import PathConfig
from leastwork.runs.path.numbers import PathNumbers
from leastwork.runs.path.sentences import falls_short
from leastwork.support.numerals import count, fraction, plain

__all__ = ["asked_for", "believable", "checks", "how_far_met"]

_COPIES = 0.5  # times the guides' own distances, below which samples are near to being copies
_AGREE = 3.0  # standard errors


def asked_for(config: PathConfig, metrics: PathNumbers, guides: int) -> list[Words]:
    """What was asked of the run."""
    definition = metrics.free_energy.region.rstrip(".")
    few = f"{count(metrics.quality.model_samples_in_region)} of {count(metrics.quality.model_samples)}"
    return [
        [
            f"{fraction(config.success)} of the samples are to lie in a region that the model visits rarely ({few} of "
            f"its own samples), known from {count(guides)} examples: ",
            Mark(definition, "name"),
            ".",
        ]
    ]


def how_far_met(config: PathConfig, metrics: PathNumbers) -> list[Words]:
    """Whether the samples are in the region."""
    success = metrics.quality.success
    if success.value is None or success.value == 0:
        return ["No: none of the guided samples is in the region."]
    verdict = "Not quite" if falls_short(config, metrics) else "Yes"
    return [f"{verdict}: {share(success)} of the guided samples are in the region."]


def believable(metrics: PathNumbers) -> list[Words]:
    """What to take from the run, and what not."""
    certificate, energy = metrics.certificate, metrics.free_energy
    found: list[Words] = []
    if energy.value is not None and certificate.ess.value is not None:
        n = many(certificate.samples * certificate.ess.value)
        found.append(
            f"The free energy of the region, {pm(energy)} k_BT, is that of the model; it rests on the weights of the "
            f"paths, which leave {n} effective samples."
        )
    exact = energy.exact
    if energy.value is not None and exact is not None:
        far = abs(energy.value - exact.value) > _AGREE * (energy.stderr or 0.0)
        verdict = (
            "differs by more than three standard errors: an error of the model, or of too few effective samples"
            if far
            else "agrees within three standard errors"
        )
        found.append(f"The value in {exact.source}, {plain(exact.value)} k_BT, {verdict}.")
    found.append(
        "The guided samples are in the region, but within it not as often at each place as the model would have them: "
        "for averages given the region take their weights."
    )
    return found


def checks(run: Finished[PathConfig], metrics: PathNumbers) -> list[Check]:
    """The traffic lights of a run."""
    remedy = run.config.chosen.remedy
    effective, bias, tail = certificate_checks(run, metrics.certificate, remedy)
    return [_in_region(run.config, metrics), effective, bias, _new(metrics, remedy), tail, step_check(metrics)]


def _in_region(config: PathConfig, metrics: PathNumbers) -> Check:
    success = metrics.quality.success
    finding = f"{share(success)} of the guided samples are in the region; {fraction(config.success)} were asked for."
    if success.value is None or success.value == 0:
        return Check("on target", "bad", finding, config.chosen.remedy)
    short = falls_short(config, metrics)
    return Check("on target", "doubtful" if short else "good", finding, config.chosen.remedy if short else "")


def _new(metrics: PathNumbers, remedy: str) -> Check:
    """In place of held-out data: whether the samples are new, and no copies of the guides."""
    name, near = "new structures", metrics.quality.nearest_guide
    if near is None or near.ratio.value is None:
        return Check(name, "unknown", "Too few samples are in the region to compare them with the guides.", remedy)
    finding = (
        f"Samples are {plain(near.ratio.value, 2)} times as far from the nearest guide as the guides are from each "
        "other; copies would be at 0."
    )
    if near.ratio.value < _COPIES:
        return Check(name, "doubtful", finding, "give more guides, or a larger bandwidth")
    return Check(name, "good", finding)
