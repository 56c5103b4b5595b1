"""The report of Observable Guidance: distributions, averages, work, multipliers and distance from the truth."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from leastwork.errors import ConfigError
from leastwork.fit.methods import Told
from leastwork.observable_guidance.files import FitNumbers, read_numbers
from leastwork.report import figures
from leastwork.report.figures import Samples
from leastwork.runs.base.finished import Finished
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.couplings import sentences as couplings_prose
from leastwork.runs.observables.couplings.config import CouplingsConfig
from leastwork.runs.observables.sentences import kind_of, methods, outcome, warnings
from leastwork.runs.observables.truth import truth
from leastwork.sampling.work import ON_TARGET
from leastwork.support.numerals import count

__all__ = ["context"]

_PANELS = 12
_NAME = 32  # characters


def context(run: Finished, config: RunConfig) -> dict[str, Any]:
    """What the template shows.

    Raises:
        ConfigError: the folder holds no fit.
    """
    fitted = read_numbers(run.folder)
    if fitted is None:
        raise ConfigError(f"{run.folder} holds no fit, fit/fit.json is missing: run it again")
    guided = config.chosen.guides
    ledger = run.ensemble.ledger
    action = None if ledger.action is None else {"value": float(ledger.action.mean()), "stderr": _stderr(ledger.action)}
    beware = warnings(config, run.metrics, ledger.why_no_weights, run.kind == "control")
    method = methods(config, run.metrics, Told(run.kind, run.schedule, fitted.stages))
    if isinstance(config.data, CouplingsConfig):
        beware += couplings_prose.warnings(run.metrics)
        method += f" {couplings_prose.methods(config.data, run.metrics)}"
    return {
        "kind": kind_of(config),
        "guided": guided,
        "has_units": any(row["unit"] for row in run.metrics["observables"]),
        "outcome": outcome(config, run.metrics),
        "warnings": beware,
        "densities": _densities(run, config, fitted, guided),
        "on_a_line": _on_a_line(run, fitted),
        "observables": _observables(run),
        "ledger": run.work_figure(),
        "action": action if guided else None,
        "model_ess": run.ensemble.ess if ledger.log_weight is not None and guided else None,
        "methods": method,
        "stages": fitted.stages,
        "settings": _settings(run, config, Told(run.kind, run.schedule, fitted.stages)),
    }


def _stderr(values: torch.Tensor) -> float:
    return float(values.std()) / len(values) ** 0.5


def _on_a_line(run: Finished, fitted: FitNumbers) -> bool:
    return fitted.x is not None and "x" in run.plots


def _curves(fitted: FitNumbers, guided: bool, model: torch.Tensor, after: torch.Tensor) -> list[Samples]:
    weights = torch.softmax(fitted.maxent.log_tilt_of(fitted.observed), dim=0)
    before, last = (values.to(torch.float64).numpy() for values in (model, after))
    curves = [Samples("model", before), Samples("reweighted", before, weights.numpy())]
    return [*curves, Samples("guided", last)] if guided else curves


def _densities(run: Finished, config: RunConfig, fitted: FitNumbers, guided: bool) -> str:
    """Densities of a system on a line, histograms of the observables of any other."""
    if fitted.x is not None and "x" in run.plots:  # on a line
        density = truth(config.system)

        def exact(x: np.ndarray) -> np.ndarray:
            assert density is not None
            return density.log_prob(torch.from_numpy(x)[:, None]).exp().numpy()

        curves = _curves(fitted, guided, fitted.x, run.plots["x"])
        return figures.densities(curves, None if density is None else exact, "x")
    return figures.histograms(
        [
            (_label(row), _curves(fitted, guided, fitted.observed[:, k], run.plots["observed"][:, k]), _datum(row))
            for k, row in enumerate(run.metrics["observables"][:_PANELS])
        ]
    )


def _label(row: Mapping[str, Any]) -> str:
    return f"{_short(row['name'])} ({_short(row['unit'])})" if row["unit"] else _short(row["name"])


def _short(name: str) -> str:
    """A name that fits into a figure."""
    return name if len(name) <= _NAME else name[: _NAME - 1] + "…"


def _datum(row: Mapping[str, Any]) -> float:
    """The measured value, or the bound that is nearest to the model."""
    if row["target"] is not None:
        return row["target"]
    low = -np.inf if row["lower"] is None else row["lower"]
    high = np.inf if row["upper"] is None else row["upper"]
    if np.isfinite(low) and np.isfinite(high):
        return low if abs(row["model"] - low) < abs(row["model"] - high) else high
    return low if np.isfinite(low) else high


def _observables(run: Finished) -> str:
    rows = []
    for row in sorted(run.metrics["observables"], key=lambda row: row["held_out"]):
        sigma, datum = row["sigma"] or 1.0, _datum(row)
        kinds = {"model": "model_stderr", "reweighted": "reweighted_stderr", "guided": "stderr"}
        distances = {
            kind: ((row[kind] - datum) / sigma, (row[stderr] or 0.0) / sigma)
            for kind, stderr in kinds.items()
            if row[kind] is not None
        }
        label = f"{_short(row['name'])} (held out)" if row["held_out"] else _short(row["name"])
        optimum = None if row["held_out"] else (row["optimum"] - datum) / sigma
        rows.append({"label": label, "error": (row["error"] or 0.0) / sigma, "optimum": optimum, **distances})
    return figures.observables(rows, ON_TARGET)


def _settings(run: Finished, config: RunConfig, told: Told) -> list[tuple[str, str]]:
    """Settings that shape the numbers, as the run resolved them."""
    rows = [*run.drawing_settings(), ("model samples", count(run.metrics["quality"]["model_samples"]))]
    if isinstance(config.data, CouplingsConfig):
        rows += couplings_prose.settings(config.data, run.metrics)
    return rows + config.chosen.table(told)
