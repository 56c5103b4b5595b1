"""Each technique left out in turn and predicted, in metrics.json and the report, where ``leave_each_out`` is true."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from leastwork.data.each_left_out import each_left_out
from leastwork.data.mixture import Data
from leastwork.report.blocks import Mark, Section, Table
from leastwork.runs.base.numbers import with_stderr
from leastwork.runs.base.sentences import pm
from leastwork.runs.observables.numbers import LeftOutNumbers
from leastwork.support.random import derive_seed

__all__ = ["left_out", "left_out_section"]

_REPEATS = 20


def left_out(observed: Tensor, data: Data, techniques: Sequence[str], seed: int) -> list[dict[str, Any]]:
    """What stands under ``left_out`` in the quality of a run.

    Args:
        observed: the observables of the model's samples, (n, K).
        data: the data as they are fitted, θ included.
        techniques: the technique of each datum.
        seed: the seed of the run.
    """
    found = each_left_out(observed, data, techniques, repeats=_REPEATS, seed=derive_seed(seed, "techniques left out"))
    return [
        {
            "technique": one.group,
            "data": one.count,
            "before": with_stderr(one.before),
            "after": with_stderr(one.after),
            "change": with_stderr(one.change),
        }
        for one in found
    ]


def left_out_section(rows: Sequence[LeftOutNumbers]) -> Section:
    """The table of techniques, each predicted by the others."""
    table = Table(
        "χ² per datum of each technique by the model itself, and predicted by reweighting to all other data, with the "
        "errors that are fitted. Standard errors are those of the samples and of the data that are fitted, by one "
        "bootstrap; the data left out are as measured: a right prediction has 1 ± √(2/data), or less of bounds.",
        ["technique", "data", "model", "predicted", "change"],
        [
            [(Mark(row.technique, "name"),), str(row.data), pm(row.before), pm(row.after), pm(row.change)]
            for row in rows
        ],
    )
    better = [row.technique for row in rows if (row.change.value or 0.0) < -2 * (row.change.stderr or 0.0)]
    worse = [row.technique for row in rows if (row.change.value or 0.0) > 2 * (row.change.stderr or 0.0)]
    said = [f"The other data improve the prediction of {', '.join(better)}." if better else ""]
    said.append(f"They make it worse of {', '.join(worse)}: check these data against the others." if worse else "")
    if not better and not worse:
        said = ["No technique is predicted better or worse than by the model, beyond two standard errors."]
    return Section("Each technique left out", [" ".join(filter(None, said))], [], [table])
