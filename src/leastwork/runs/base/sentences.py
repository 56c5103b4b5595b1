"""Sentences that reports of all kinds of run share: how samples were drawn, and what to beware of."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leastwork.runs.base.settings import AnySettings
from leastwork.support.numerals import count, fraction, plain, plus_minus

__all__ = ["LEAST_ESS", "Metrics", "drawing", "gone_astray", "pm", "too_few_steps"]

LEAST_ESS = 0.01
_ASTRAY = 0.1, 30  # share of the variance of ln w, at least, and in equal shares of all paths
Metrics = Mapping[str, Any]


def gone_astray(certificate: Mapping[str, Any]) -> list[str]:
    """A warning where a single path makes much of the variance of ln w, or nothing; older runs do not tell."""
    share = certificate.get("worst_path")
    if share is None or share < max(_ASTRAY[0], _ASTRAY[1] / certificate["samples"]):
        return []
    return [
        f"One of {count(certificate['samples'])} guided paths makes {fraction(share)} of the variance of ln w: it went "
        "astray, and the work it wastes hides what the others do: take more sampling.steps."
    ]


def too_few_steps(metrics: Metrics, names: Sequence[str]) -> list[str]:
    """A warning where the number of steps moves an average or ln⟨w⟩ by more than it may, or nothing."""
    found = metrics.get("discretisation", {})
    if not found.get("matters"):
        return []
    what = [
        f"the average of {name} by {pm(row)}"
        for name, row in zip(names, found["averages"], strict=True)
        if row["large"]
    ]
    if not what:
        what = [f"ln⟨w⟩, and so free energies, by {pm(found['log_z'])}"]
    return [f"{count(found['steps'])} steps are too few, they move {', '.join(what)}: take more sampling.steps."]


def drawing(config: AnySettings, metrics: Metrics) -> str:
    """How samples were drawn, of either kind of run."""
    chosen = config.sampling
    process = "probability-flow ODE" if chosen.process == "ode" else f"reverse SDE (κ = {plain(chosen.kappa or 1.0)})"
    solvers = {"euler": "Euler", "heun": "Heun", "exponential": "exponential", "multistep": "second-order multistep"}
    grid = {
        "uniform": "uniform in t",
        "log-snr": "uniform in the logarithmic signal-to-noise ratio",
        "balanced": "half of them uniform in the logarithmic signal-to-noise ratio, half in the signal's share",
        "signal": "denser where basins and structures form, uniform in α²/(α² + σ²), α/(α + 3σ) and the logarithmic "
        "signal-to-noise ratio in the proportion 2 : 2 : 1",
    }
    times = "given explicitly" if isinstance(chosen.t_grid, tuple) else grid[grid_of(metrics, chosen.t_grid)]
    steps = len(chosen.t_grid) - 1 if isinstance(chosen.t_grid, tuple) else chosen.steps
    used = metrics["versions"]
    return (
        f"Samples were drawn from the pre-trained model “{Path(config.model).name}” by "
        f"the {process} with {count(steps)} {solvers[chosen.solver]} steps on a grid {times} "
        f"(leastwork {used['leastwork']}, PyTorch {used['torch']}, seed {metrics['seed']})."
    )


def grid_of(metrics: Metrics, asked: str | None) -> str:
    """The name of the grid that was asked for, or else of the one that was taken."""
    return metrics["discretisation"]["t_grid"] if asked is None else asked


def pm(one: Mapping[str, Any]) -> str:
    return plus_minus(one["value"], one["stderr"])
