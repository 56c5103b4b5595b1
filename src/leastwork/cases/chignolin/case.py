"""The case of chignolin, as run files name it."""

from leastwork.cases.chignolin.folding import NATIVE, contact_map, folded, native
from leastwork.cases.chignolin.sections import sections
from leastwork.cases.chignolin.transition import TransitionConfig, region_truth
from leastwork.runs.base.cases import Case

__all__ = ["CASES"]

CASES = {
    "chignolin": Case(
        event_shape=tuple(NATIVE.shape),
        observables={"folded": folded, "Q": native, "contacts": contact_map},
        region_kinds=(TransitionConfig,),
        region_truth=region_truth,
        part=sections,
    )
}
