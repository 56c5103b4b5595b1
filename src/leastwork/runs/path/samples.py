"""The section on the samples of a region: their number, novelty, diversity, and distance from the truth."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from leastwork.report.blocks import Image, Section, Table, Words, italic
from leastwork.report.drawing import Drawing
from leastwork.runs.base.sentences import pm, share
from leastwork.runs.path import figures as path_figures
from leastwork.runs.path.numbers import Distance, PathQualityNumbers
from leastwork.support.numerals import count, plain

__all__ = ["samples_section"]

_COORDINATES = 12  # of a table
_SAMPLES = {"guided": "guided samples in A", "model given A": "guided samples in A, weighted"}
_AGAINST = {"model": "the model's own in A", "truth": "exact draws in A"}


def samples_section(quality: PathQualityNumbers, plots: Mapping[str, Tensor]) -> Section:
    """The section on the quality of the samples; their distances are shown only if there are enough samples."""
    images = []
    if "guided to guide" in plots:
        images.append(
            Image(
                _nearest(plots),
                "Distances to the nearest guide: from guided samples in A, from the other guides, and from the "
                "model's own samples in A, if there are any. Copies of guides would be much nearer to them than the "
                "guides are to each other.",
                "Distances of samples to the nearest guide",
            )
        )
    return Section("The samples", [], images, [_worth(quality), *_distances(quality.wasserstein)])


def _nearest(plots: Mapping[str, Tensor]) -> Drawing:
    model = plots.get("model to guide")
    return path_figures.nearest(
        plots["guided to guide"].numpy(), plots["guide to guide"].numpy(), None if model is None else model.numpy()
    )


def _worth(quality: PathQualityNumbers) -> Table:
    own = f"the model's own, {count(quality.model_samples_in_region)} of {count(quality.model_samples)}"
    rows: list[list[Words]] = [
        ["share in the region", "guided samples", share(quality.success)],
        ["", own, share(quality.model_share)],
    ]
    near, ess, apart = quality.nearest_guide, quality.ess_in_region, quality.discrepancy_to_guides
    if near is not None and ess is not None and apart is not None:
        kish = "Kish fraction of guided samples in A under the model given A"
        rows.append(["effective samples", kish, share(ess)])
        rows.append(["median distance to the nearest guide", "guided samples in A", pm(near.guided)])
        rows.append(["", "the guides to each other", pm(near.guides)])
        if near.model is not None:
            rows.append(["", "the model's own in A", pm(near.model)])
        rows.append(["discrepancy", "guided samples in A and the guides", pm(apart)])
    diversity = quality.diversity
    if diversity is not None:
        over = "exact draws in A" if diversity.reference == "truth" else "the model given A"
        rows.append(["diversity", f"guided samples in A over {over}", pm(diversity)])
    return Table(
        "How many samples are in the region, and how new and varied they are. The diversity is a ratio of Vendi scores "
        "at equal number and bandwidth; the discrepancy is the squared maximum mean discrepancy.",
        ["quantity", "of", "value ± standard error"],
        rows,
        text_columns=2,
    )


def _distances(found: Sequence[Distance]) -> list[Table]:
    """W₁, a row for each reference, coordinate and weighting; no table where nothing was compared."""
    if not found:
        return []
    number = 1 + max(row.coordinate for row in found)
    some = f", the first {_COORDINATES} of {number}" if number > _COORDINATES else ""
    table = Table(
        (
            f"Wasserstein distances of single coordinates{some}. Weighted by d", italic("P"), "/d", italic("Q"),
            " the samples are draws of the model given A. The last column is the mean distance of two sets of these "
            "sizes from one distribution; only a distance above about twice this value shows a difference.",
        ),
        ["coordinate", "samples", "against", "distance", "chance"],
        [
            [row.name, _SAMPLES[row.samples], _AGAINST[row.reference], pm(row), plain(row.noise, 2)]
            for row in found
            if row.coordinate < _COORDINATES
        ],
        text_columns=3,
    )  # fmt: skip
    return [table]
