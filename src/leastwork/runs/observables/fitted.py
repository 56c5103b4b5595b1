"""What a run knows before it draws: θ, λ and the target, the guidance, and the model's own samples.

It is written before the first guided sample, so that an interrupted run goes on with the very same guidance.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from leastwork.data.maxent import MaxEnt
from leastwork.data.trust import TrustCurve, trusted
from leastwork.errors import ConfigError
from leastwork.guidance.base import Guidance
from leastwork.guidance.files import load_guidance, save_guidance
from leastwork.observable_guidance.job import guide_observables
from leastwork.observable_guidance.least_work import LeastWorkFit, Stage
from leastwork.observables import Observable, evaluate
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.couplings.config import stated_theta
from leastwork.runs.observables.inputs import Inputs
from leastwork.runs.observables.trust_file import curve_from, described
from leastwork.support.files import read_tensors, readable, write_tensors, write_text
from leastwork.support.progress import Progress, no_progress

__all__ = ["Fitted", "as_numbers", "fit", "load_fitted", "save_fitted"]


@dataclass(frozen=True, eq=False)
class Fitted:
    """The outcome of a fit.

    Args:
        maxent: λ, target and spread.
        guidance: h, or None for reweighting.
        observed: observables of the model's samples, float64 (n, K).
        x: the model's samples themselves where they are numbers, (n,), else None.
        network_evaluations, seconds: what it took.
        stages: how a least-work guidance was learned, one entry a stage, plain values.
        theta: θ, by which the covariance of the data's stated errors was multiplied.
        trust: what other θ would have made of the data, where it was chosen by that.
        reported: observables without data of the model's samples, (n, M), or None.
    """

    maxent: MaxEnt
    guidance: Guidance | None
    observed: Tensor
    x: Tensor | None
    network_evaluations: int
    seconds: float
    stages: tuple[Mapping[str, Any], ...] = ()
    theta: float = 1.0
    trust: TrustCurve | None = None
    reported: Tensor | None = None


def fit(config: RunConfig, inputs: Inputs, progress: Progress = no_progress) -> Fitted:
    """Fit θ, λ and the guidance as the run says."""
    stated = stated_theta(config.data)
    found = guide_observables(
        inputs.model,
        inputs.data if stated is None else trusted(inputs.data, stated),
        config.chosen,
        seed=config.seed,
        samples=config.fit.samples,
        groups=inputs.couplings.groups if stated is None and inputs.couplings is not None else None,
        progress=progress,
        **inputs.choices,
    )
    own = found.model_samples
    return Fitted(
        found.maxent,
        found.guidance,
        evaluate(inputs.data.observable, own.x) if found.observed is None else found.observed,
        as_numbers(own.x),
        found.network_evaluations,
        found.seconds,
        tuple(map(_stage, found.fit.history)) if isinstance(found.fit, LeastWorkFit) else (),
        found.trust.theta if found.trust is not None else stated or 1.0,
        found.trust,
        None if inputs.reported is None else evaluate(inputs.reported, own.x),
    )


def _stage(stage: Stage) -> dict[str, Any]:
    return {
        "fraction": stage.fraction,
        "ess": stage.ess,
        "iterations": [check.iteration for check in stage.checks],
        "validation": [check.validation for check in stage.checks],
        "variance_before": [polish.variance_before for polish in stage.polishes],
        "variance_after": [polish.variance_after for polish in stage.polishes],
    }


def as_numbers(x: Any) -> Tensor | None:
    """Samples of one coordinate as (n,), None for any other."""
    return x.reshape(-1) if isinstance(x, Tensor) and x[0].numel() == 1 else None


def save_fitted(fitted: Fitted, folder: Path) -> None:
    """Write into ``guidance/`` and ``fit/``; ``fit/fit.json`` comes last and marks the whole."""
    if fitted.guidance is not None:
        save_guidance(fitted.guidance, folder / "guidance")
    parts = {field.name: getattr(fitted.maxent, field.name) for field in fields(MaxEnt)}
    tensors = {name: part.contiguous() for name, part in parts.items() if isinstance(part, Tensor)}
    tensors["observed"] = fitted.observed
    if fitted.x is not None:
        tensors["x"] = fitted.x
    if fitted.reported is not None:
        tensors["reported"] = fitted.reported
    plain = {name: part for name, part in parts.items() if not isinstance(part, Tensor)}
    path = folder / "fit" / "fit.safetensors"
    write_tensors(path, tensors)
    if fitted.trust is not None:
        write_text(folder / "fit" / "trust.json", json.dumps(described(fitted.trust), indent=1) + "\n")
    about = {
        "maxent": plain,
        "guided": fitted.guidance is not None,
        "network_evaluations": fitted.network_evaluations,
        "seconds": fitted.seconds,
        "stages": fitted.stages,
        "theta": fitted.theta,
        "theta_chosen": fitted.trust is not None,
    }
    write_text(folder / "fit" / "fit.json", json.dumps(about, indent=1) + "\n")


def load_fitted(folder: Path, observable: Observable | None = None) -> Fitted | None:
    """Read it back; None where there is none yet. Without the observable the guidance is left out.

    Raises:
        ConfigError: the files are damaged.
    """
    mark = folder / "fit" / "fit.json"
    if not mark.exists():
        return None
    try:
        about = json.loads(readable(mark).read_text(encoding="utf-8"))
        tensors: dict[str, Any] = dict(read_tensors(mark.with_name("fit.safetensors")))
        observed, x, reported = tensors.pop("observed"), tensors.pop("x", None), tensors.pop("reported", None)
        plain = about["maxent"]
        maxent = MaxEnt(**{**plain, "names": tuple(plain["names"])}, **tensors)
        guided = about["guided"] and observable is not None
        rest = (about["network_evaluations"], about["seconds"], tuple(about["stages"]), about.get("theta", 1.0))
        curve = mark.with_name("trust.json") if about.get("theta_chosen") else None
        trust = None if curve is None else curve_from(json.loads(readable(curve).read_text(encoding="utf-8")))
    except ConfigError:
        raise
    except (ValueError, KeyError, TypeError, SafetensorError, OSError) as error:
        raise ConfigError(f"{mark.parent} is damaged ({error}): delete it to fit anew") from error
    guidance = load_guidance(folder / "guidance", observable) if guided else None
    return Fitted(maxent, guidance, observed, x, *rest, trust, reported)
