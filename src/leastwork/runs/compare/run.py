"""All methods on the data of one run file, compared in a table and a figure.

The folder afterwards:  config.yaml · comparison.json · comparison.md · comparison.png
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from leastwork.data.trust import with_theta
from leastwork.errors import ConfigError, LeastworkError
from leastwork.geometry.state import State
from leastwork.observable_guidance.compare import COMPARED, Row, compare, strangers
from leastwork.observable_guidance.files import on_a_line
from leastwork.runs.base.numbers import versions, with_stderr
from leastwork.runs.base.threads import choose_threads
from leastwork.runs.compare.figure import draw_comparison
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.inputs import build_inputs
from leastwork.runs.observables.truth import BINS, truth
from leastwork.statistics.estimate import Estimate
from leastwork.support.files import write_text
from leastwork.support.json_files import read_json, write_json
from leastwork.support.numerals import count, fraction, plain, plus_minus
from leastwork.support.progress import Progress, no_progress
from leastwork.systems.line import kl_histogram

__all__ = ["cells", "compare_methods", "markdown", "row_values"]

_CELLS = {
    "method", "target_error", "held_out_error", "divergence", "work", "efficiency", "ess", "fit_evaluations",
    "sample_evaluations", "seconds", "reason",
}  # fmt: skip
_BLOCK = 1024  # samples are drawn in whole blocks of so many


def compare_methods(
    config: RunConfig,
    out: Path,
    begin: Callable[[], None],
    progress: Progress = no_progress,
    methods: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Compare all methods on the data of one run; each row is written as soon as it is there, and found rows are kept.

    Args:
        config: settings of the run; its method is not used.
        out: folder of the results.
        begin: makes the folder, called when everything has been checked.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        methods: names of the methods; by default all.

    Returns:
        the rows, plain values, as they stand in comparison.json.

    Raises:
        ConfigError: settings or a folder that cannot be used.
        LeastworkError: every method refuses the data; says why the last does.
    """
    theta = config.data.stated_theta
    if theta is None:
        raise ConfigError(
            "'theta' in 'data' is auto, and compare takes one for all methods: give a number, such as what a run chose"
        )
    inputs = build_inputs(config)
    choose_threads(inputs.model)
    begin()
    path = out / "comparison.json"
    rows: list[dict[str, Any]] = []
    if path.exists():
        rows = _rows(path)
    density = truth(config.system)

    def divergence(x: State, log_weight: Tensor) -> float:
        values = on_a_line(x)
        assert density is not None
        assert values is not None
        return kl_histogram(values, density, BINS, log_weight=log_weight)

    choices = inputs.choices.given
    if "solver" not in config.sampling.model_fields_set:
        del choices["solver"]  # each method has its own default; some cannot use multistep steps
    done = {row["method"] for row in rows}
    left = [method for method in methods or (*COMPARED, *strangers()) if method not in done]
    found = compare(
        inputs.model,
        with_theta(inputs.data, theta),
        left,
        n=-(-config.sampling.n // _BLOCK) * _BLOCK,
        seed=config.seed,
        divergence=None if density is None else divergence,
        samples=config.fit.samples,
        fit=config.settings,
        progress=progress,
        **choices,
    )
    held_out = inputs.data.held_out.tolist()
    for row in found:
        rows.append(row_values(row, held_out))
        write_json(path, {"seed": config.seed, "versions": versions(), "rows": rows}, readable=True)
    write_text(out / "comparison.md", markdown(rows))
    if all(row["reason"] for row in rows):
        raise LeastworkError(f"no method meets the data: {rows[-1]['reason']}")
    draw_comparison(rows, out / "comparison.png")
    return rows


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows that an interrupted call has written."""
    remedy = "delete it and start again"
    rows = read_json(path, remedy).get("rows")
    if not isinstance(rows, list) or not all(isinstance(row, dict) and set(row) == _CELLS for row in rows):
        raise ConfigError(f"{path} is damaged (it holds other rows than compare writes): {remedy}")
    return rows


def row_values(row: Row, held_out: Sequence[bool]) -> dict[str, Any]:
    """A row as plain values, with the worst observable of each kind."""

    def worst(kind: bool) -> dict[str, float | None] | None:
        if row.miss is None or kind not in held_out:
            return None
        of_kind = [k for k, held in enumerate(held_out) if held is kind]
        k = max(of_kind, key=lambda k: abs(float(row.miss.value[k])))  # type: ignore[union-attr]
        return with_stderr(Estimate(row.miss.value[k], row.miss.stderr[k]))

    return {
        "method": row.method,
        "target_error": worst(False),
        "held_out_error": worst(True),
        "divergence": row.divergence,
        **{key: _maybe(getattr(row, key)) for key in ("work", "efficiency", "ess")},
        "fit_evaluations": row.fit_evaluations,
        "sample_evaluations": row.sample_evaluations,
        "seconds": row.seconds,
        "reason": row.reason,
    }


def _maybe(one: Estimate | None) -> dict[str, float | None] | None:
    return None if one is None else with_stderr(one)


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The table, for a README."""
    head = ("method", "target error / σ", "held-out error / σ", "KL to the truth", "W (k_BT)", "efficiency", "ESS")
    head += ("fit evaluations", "fit seconds")
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def cells(row: dict[str, Any]) -> list[str]:
    """A line of the table as text."""
    if row["reason"]:
        return [row["method"], row["reason"].replace("|", "/"), *[""] * 7]
    numbers = [_pm(row[key]) for key in ("target_error", "held_out_error")]
    numbers += [plain(row["divergence"], 3), _pm(row["work"]), *(_percent(row[key]) for key in ("efficiency", "ess"))]
    return [row["method"], *numbers, count(row["fit_evaluations"]), plain(row["seconds"], 2)]


def _pm(one: dict[str, float | None] | None) -> str:
    return "–" if one is None else plus_minus(one["value"], one["stderr"])


def _percent(one: dict[str, float | None] | None) -> str:
    return "–" if one is None else fraction(one["value"], one["stderr"])
