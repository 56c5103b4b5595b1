"""One page that says what a run did, what it cost and what it is worth; made from the run's folder alone."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import Environment, StrictUndefined
from safetensors import SafetensorError
from safetensors.torch import load_file

from leastwork.ensemble import Ensemble
from leastwork.errors import ConfigError
from leastwork.storage import open_ensemble, write_text
from leastwork.work import ON_TARGET
from leastwork.workflow import figures
from leastwork.workflow.config import RunConfig, load_config
from leastwork.workflow.figures import Samples
from leastwork.workflow.fitted import Fitted, load_fitted
from leastwork.workflow.numerals import count, fraction, plain, plus_minus
from leastwork.workflow.prose import methods, outcome, warnings
from leastwork.workflow.quality import truth

__all__ = ["write_report"]

_TEMPLATE = Path(__file__).with_name("report.html.j2")
_PANELS = 12
_NAME = 32  # characters


@dataclass(frozen=True, eq=False)
class Finished:
    """A finished run, as its folder holds it."""

    config: RunConfig
    metrics: dict[str, Any]
    ensemble: Ensemble
    fitted: Fitted
    kind: str
    """Of the guidance, as its file names it; empty where there is none."""
    schedule: Mapping[str, Any]
    plots: Mapping[str, torch.Tensor]


def write_report(folder: str | Path) -> Path:
    """Make ``report.html`` of a finished run, again if need be.

    Args:
        folder: of the run.

    Raises:
        ConfigError: the folder holds no finished run.
    """
    path = Path(folder) / "report.html"
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters.update(plain=plain, fraction=fraction, count=count)
    page.globals.update(pm=plus_minus)
    write_text(path, page.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(**_context(_read(Path(folder)))))
    return path


def _read(folder: Path) -> Finished:
    for name in ("config.yaml", "metrics.json", "ensemble.zarr", "plots.safetensors"):
        if not (folder / name).exists():
            hint = "finish it with leastwork run … --resume" if folder.is_dir() else "there is no such folder"
            raise ConfigError(f"{folder} holds no finished run, {name} is missing: {hint}")
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        plots = load_file(folder / "plots.safetensors")
        guidance = folder / "guidance" / "guidance.json"
        described = json.loads(guidance.read_text(encoding="utf-8")) if guidance.exists() else {"kind": "", "parts": {}}
        kind, schedule = described["kind"], described["parts"]
    except (ValueError, KeyError, SafetensorError) as error:
        raise ConfigError(f"{folder} is damaged ({error}): delete metrics.json and resume the run") from error
    fitted = load_fitted(folder)
    if fitted is None:
        raise ConfigError(f"{folder} holds no fit, fit/fit.json is missing: run it again")
    config = load_config(folder / "config.yaml")
    return Finished(config, metrics, open_ensemble(folder / "ensemble.zarr"), fitted, kind, schedule, plots)


def _context(run: Finished) -> dict[str, Any]:
    """What the template shows."""
    guided = run.fitted.guidance is not None or run.config.method != "reweight"
    ledger = run.ensemble.ledger
    action = None if ledger.action is None else {"value": float(ledger.action.mean()), "stderr": _stderr(ledger.action)}
    return {
        "config": run.config,
        "metrics": run.metrics,
        "guided": guided,
        "has_units": any(row["unit"] for row in run.metrics["observables"]),
        "outcome": outcome(run.config, run.metrics),
        "warnings": warnings(run.config, run.metrics, ledger.why_no_weights, run.kind == "control"),
        "densities": _densities(run, guided),
        "on_a_line": _on_a_line(run),
        "observables": _observables(run),
        "ledger": _ledger(run),
        "action": action if guided else None,
        "model_ess": run.ensemble.ess if ledger.log_weight is not None and guided else None,
        "methods": methods(run.config, run.metrics, run.kind, run.schedule, run.fitted.stages),
        "stages": run.fitted.stages,
        "settings": _settings(run),
    }


def _stderr(values: torch.Tensor) -> float:
    return float(values.std()) / len(values) ** 0.5


def _on_a_line(run: Finished) -> bool:
    return run.fitted.x is not None and "x" in run.plots


def _curves(run: Finished, guided: bool, model: torch.Tensor, after: torch.Tensor) -> list[Samples]:
    weights = torch.softmax(run.fitted.maxent.log_tilt_of(run.fitted.observed), dim=0)
    before, last = (values.to(torch.float64).numpy() for values in (model, after))
    curves = [Samples("model", before), Samples("reweighted", before, weights.numpy())]
    return [*curves, Samples("guided", last)] if guided else curves


def _densities(run: Finished, guided: bool) -> str:
    """Densities of a system on a line, histograms of the observables of any other."""
    if run.fitted.x is not None and "x" in run.plots:
        density = truth(run.config.system)

        def exact(x: np.ndarray) -> np.ndarray:
            assert density is not None
            return density.log_prob(torch.from_numpy(x)[:, None]).exp().numpy()

        curves = _curves(run, guided, run.fitted.x, run.plots["x"])
        return figures.densities(curves, None if density is None else exact, "x")
    return figures.histograms(
        [
            (_label(row), _curves(run, guided, run.fitted.observed[:, k], run.plots["observed"][:, k]), _datum(row))
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


def _ledger(run: Finished) -> str | None:
    certificate, steps = run.metrics["certificate"], run.ensemble.ledger.step_work
    if certificate is None or steps is None:
        return None
    bound, wasted, efficiency = (certificate[key] for key in ("bound", "dissipation", "efficiency"))
    known = efficiency["value"] is not None
    caption = f"efficiency {fraction(efficiency['value'], efficiency['stderr'])}" if known else "nothing was to be done"
    times, work, stderr = (part.numpy() for part in (run.ensemble.ledger.times, steps.value, steps.stderr))
    return figures.ledger((bound["value"], bound["stderr"]), wasted["value"], caption, times, work, stderr)


def _settings(run: Finished) -> list[tuple[str, str]]:
    """Settings that shape the numbers, as the run resolved them."""
    config, sampling = run.config, run.config.sampling
    grid = sampling.t_grid if isinstance(sampling.t_grid, str) else f"{len(sampling.t_grid)} times given"
    noise = "" if sampling.process == "ode" else f", κ = {plain(sampling.kappa or 1.0)}"
    rows = [
        ("model", config.model),
        ("method", config.method),
        ("seed", str(config.seed)),
        ("process", f"{sampling.process.upper()}{noise}"),
        ("solver", f"{sampling.solver}, {count(sampling.steps)} steps, grid {grid}"),
        ("samples drawn", count(sampling.n)),
        ("model samples", count(run.metrics["quality"]["model_samples"])),
    ]
    if config.method == "least-work" and run.kind != "control":
        rows.append(("budget", f"{count(config.fit.budget)} network evaluations"))
    if config.method == "scheduled":
        how = config.fit.search if config.fit.search == "gradient" else f"{config.fit.search}, {config.fit.calls} calls"
        rows += [
            ("search", f"{how}, {count(config.fit.fit_samples)} samples an evaluation"),
            ("γ", plain(config.fit.gamma)),
            ("through the network", "yes" if config.fit.jacobian else "no"),
        ]
        rows += [
            (name, plain(run.schedule[key]))
            for name, key in (("strength a", "strength"), ("decay b", "decay"))
            if isinstance(run.schedule.get(key), int | float)
        ]
    return rows
