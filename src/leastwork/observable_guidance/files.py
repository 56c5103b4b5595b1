"""Files of a fitted Observable Guidance: guidance/, and fit/ with fit.json, fit.safetensors, trust.json, model.zarr.

``fit.json`` is written last: if it is there, the fit is complete. The fit is written before the first guided sample is
drawn, so that an interrupted run goes on with the same guidance.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.data.fixed_point import at_point
from leastwork.data.indirect import Indirect
from leastwork.data.linear import Linearisation
from leastwork.data.maxent import MaxEnt
from leastwork.data.mixture import Data
from leastwork.data.trust import TrustCurve, with_theta
from leastwork.errors import ConfigError
from leastwork.fit.files import open_own_samples
from leastwork.fit.result import FitRecord
from leastwork.geometry.state import State
from leastwork.guidance.files import load_guidance, save_guidance
from leastwork.models.base import Model
from leastwork.models.files import check_fingerprint, fingerprint, in_precision, precision
from leastwork.models.latents import latent_decoder
from leastwork.observable_guidance.run import ObservableRun
from leastwork.observables import Observable
from leastwork.sampling.choices import Choices
from leastwork.sampling.storage import save_ensemble
from leastwork.support.json_files import read_json, write_json
from leastwork.support.tensor_files import read_tensors, write_tensors
from leastwork.support.text import brief

__all__ = [
    "FitNumbers",
    "load_fit",
    "numbers_of",
    "on_a_line",
    "read_numbers",
    "save_fit",
    "stated_data",
    "stored_data",
]

_REMEDY = "delete the folder fit to fit anew"
_POINT = ("averages", "parameters", "errors", "model")
_DATA = ("values", "errors", "lower", "upper", "held_out")


@dataclass(frozen=True, eq=False)
class FitNumbers:
    """The numbers of a fit that a report needs, without the model, the guidance and the samples.

    Args:
        maxent: λ, target and spread.
        observed: observables of the model's own samples, float64 (n, K).
        record: how the guidance was found.
        network_evaluations, seconds: cost of the whole fit, the model's own samples included.
        theta: θ, by which the covariance of the data's stated errors was multiplied.
        trust: the cross-validation by which θ was chosen, or None if θ was not chosen.
        x: the model's own samples, (n,), if a state is a single number, else None.
        linearisation: where functions of averages were linearised, with their unknowns, or None.
    """

    maxent: MaxEnt
    observed: Tensor
    record: FitRecord = field(default_factory=FitRecord)
    network_evaluations: int = 0
    seconds: float = 0.0
    theta: float = 1.0
    trust: TrustCurve | None = None
    x: Tensor | None = None
    linearisation: Linearisation | None = None

    @property
    def stages(self) -> tuple[Mapping[str, Any], ...]:
        """How the guidance was learned, one mapping for each stage."""
        return self.record.stages


def numbers_of(run: ObservableRun) -> FitNumbers:
    """The numbers of a fit that is in memory."""
    record = FitRecord() if run.fit is None else run.fit.record()
    x = on_a_line(run.model_samples.x)
    return FitNumbers(
        run.maxent, run.observed, record, run.network_evaluations, run.seconds, run.theta, run.trust, x,
        run.linearisation,
    )  # fmt: skip


def on_a_line(x: State) -> Tensor | None:
    """The samples as (n,) if each is a single number, else None."""
    return x.reshape(-1) if isinstance(x, Tensor) and x[0].numel() == 1 else None


def save_fit(run: ObservableRun, folder: Path) -> None:
    """Write a fit into a folder, replacing a fit that may be there.

    Raises:
        ConfigError: the guidance has no file form.
    """
    fit = folder / "fit"
    shutil.rmtree(fit, ignore_errors=True)
    if run.guidance is not None:
        save_guidance(run.guidance, folder / "guidance")
    fit.mkdir(parents=True)
    save_ensemble(replace(run.model_samples, log_tilt=None), fit / "model.zarr")
    found = numbers_of(run)
    parts = {field.name: getattr(found.maxent, field.name) for field in fields(MaxEnt)}
    tensors = {name: part.contiguous() for name, part in parts.items() if isinstance(part, Tensor)}
    tensors["observed"] = found.observed
    if run.times is not None:
        tensors["times"] = run.times.contiguous()
    if found.x is not None:
        tensors["x"] = found.x.contiguous()
    data = stated_data(run)
    tensors |= {f"data.{name}": getattr(data, name).contiguous() for name in _DATA}
    point = run.linearisation
    if point is not None:
        tensors |= {f"linearisation.{name}": getattr(point, name).contiguous() for name in _POINT}
    write_tensors(fit / "fit.safetensors", tensors)
    if found.trust is not None:
        write_json(fit / "trust.json", found.trust.parts())
    about = {
        "maxent": {name: part for name, part in parts.items() if not isinstance(part, Tensor)},
        "guided": run.guidance is not None,
        "network_evaluations": found.network_evaluations,
        "seconds": found.seconds,
        "stages": found.record.stages,
        "theta": found.theta,
        "theta_chosen": found.trust is not None,
        "trials": found.record.trials,
        "search": {"network_evaluations": found.record.network_evaluations, "seconds": found.record.seconds},
        "data": {"names": run.data.names, "units": run.data.units},
        **({} if point is None else {"unknowns": {"names": point.names, "residual": point.residual}}),
        "model": fingerprint(run.model),
        "precision": precision(run.model),
    }
    write_json(fit / "fit.json", about)


def read_numbers(folder: Path) -> FitNumbers | None:
    """The numbers of the fit in a folder, or None if there is no fit yet.

    Raises:
        ConfigError: the files are damaged.
    """
    about, tensors = _read(folder)
    return None if about is None else _numbers(folder, about, tensors)


def _numbers(folder: Path, about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> FitNumbers:
    try:
        plain = about["maxent"]
        columns: set[str] = {field.name for field in fields(MaxEnt)} & set(tensors)
        values: dict[str, Any] = {**plain, "names": tuple(plain["names"]), **{name: tensors[name] for name in columns}}
        maxent = MaxEnt(**values)
        whole = (about["network_evaluations"], about["seconds"])
        search = about.get("search", {"network_evaluations": whole[0], "seconds": whole[1]})
        record = FitRecord(**search, stages=tuple(about["stages"]), trials=about.get("trials", 0))
        curve = folder / "fit" / "trust.json" if about.get("theta_chosen") else None
        trust = None if curve is None else TrustCurve.from_parts(read_json(curve, _REMEDY))
        return FitNumbers(
            maxent, tensors["observed"], record, *whole, about.get("theta", 1.0), trust, tensors.get("x"),
            _point(about, tensors),
        )  # fmt: skip
    except ConfigError:
        raise
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise _damaged(folder, error) from error


def _point(about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Linearisation | None:
    unknowns = about.get("unknowns")
    if unknowns is None:
        return None
    parts = {name: tensors[f"linearisation.{name}"] for name in _POINT}
    return Linearisation(**parts, names=tuple(unknowns["names"]), residual=float(unknowns["residual"]))


def stated_data(run: ObservableRun) -> Experiment:
    """The data of a run with their errors as stated, before their covariance was multiplied by θ."""
    return with_theta(run.data, 1 / run.theta)


def stored_data(folder: Path, observable: Observable | Indirect) -> Experiment:
    """The data of the fit in a folder, with their errors as stated.

    Args:
        folder: the folder of the run.
        observable: the observable of these data, which has no file form, or the data on functions of averages that the
            run was made with.

    Raises:
        ConfigError: there is no fit, it is damaged, or the observable has other names than the data.
    """
    about, tensors = _read(folder)
    if about is None:
        raise ConfigError(f"{folder} holds no fit, fit/fit.json is missing: pass a folder written by run.save")
    try:
        names, values = tuple(about["data"]["names"]), {name: tensors[f"data.{name}"] for name in _DATA}
        point = _point(about, tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, error) from error
    observable = observable.at(point).observable if isinstance(observable, Indirect) else observable
    if observable.names != names:
        raise ConfigError(f"{folder} holds data for {names}, not {observable.names}: pass the observable of these data")
    return Experiment(observable, **values)


def load_fit(folder: Path, model: Model, data: Data, method: str, choices: Choices, seed: int) -> ObservableRun | None:
    """The fitted run in a folder, or None if there is none yet.

    Args:
        folder: the folder of the run.
        model: the model that was guided.
        data: the data, with their errors as stated; the fit knows θ, and where functions of averages are linearised.
        method, choices, seed: the method, sampling choices and seed of the fit.

    Raises:
        ConfigError: the files are damaged, of an earlier version, or of another model.
    """
    about, tensors = _read(folder)
    if about is None:
        return None
    found = _numbers(folder, about, tensors)
    data = with_theta(at_point(data.sampled_by(model), found.linearisation), found.theta)
    check_fingerprint(model, about.get("model"), folder)
    guidance = load_guidance(folder / "guidance", data.observable) if about["guided"] else None
    model = in_precision(model, about.get("precision"))
    log_tilt = found.maxent.log_tilt_of(found.observed)
    samples = replace(open_own_samples(folder / "fit"), log_tilt=log_tilt, decoder=latent_decoder(model))
    return ObservableRun(
        model, data, method, found.maxent, guidance, choices, seed, samples, found.observed, found.record,
        network_evaluations=found.network_evaluations, seconds=found.seconds, trust=found.trust,
        theta=found.theta, linearisation=found.linearisation, times=tensors.get("times"),
    )  # fmt: skip


def _read(folder: Path) -> tuple[dict[str, Any] | None, dict[str, Tensor]]:
    mark = folder / "fit" / "fit.json"
    if not mark.exists():
        return None, {}
    about, tensors = read_json(mark, _REMEDY), mark.with_name("fit.safetensors")
    try:
        return about, read_tensors(tensors)
    except FileNotFoundError:
        raise ConfigError(f"{tensors} is missing: {_REMEDY}") from None
    except SafetensorError as error:
        raise ConfigError(f"{tensors} is damaged ({brief(error)}): {_REMEDY}") from error


def _damaged(folder: Path, error: Exception) -> ConfigError:
    return ConfigError(f"{folder / 'fit'} is damaged ({brief(error)}): {_REMEDY}")
