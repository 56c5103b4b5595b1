"""Runs made in Python: written into a folder like that of a run file, read back, and reported on the same page.

    run.save(folder) · run.report(folder) · lw.load_run(folder)

The folder has a ``config.yaml`` too. What has no file form, as a function has none, is named there and is given again
to :func:`load_run`: an observable, a region, a model around a function.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from leastwork.adapters.source import ModelName, load_model, source_of
from leastwork.errors import ConfigError
from leastwork.fit.methods import Registry, settings_of
from leastwork.kernels.base import Kernel
from leastwork.kernels.region import Membership, definition_of
from leastwork.models.base import Model, is_scored
from leastwork.models.files import check_fingerprint, description_of, fingerprint, save_model
from leastwork.models.latents import latent_decoder
from leastwork.observable_guidance import files as observable_files
from leastwork.observable_guidance.methods import METHODS
from leastwork.observable_guidance.run import ObservableRun
from leastwork.observables import Observable
from leastwork.path_guidance import files as path_files
from leastwork.path_guidance.methods import PATH_METHODS
from leastwork.path_guidance.run import PathRun
from leastwork.runs.base.complaints import sentences
from leastwork.runs.base.job import Job
from leastwork.runs.base.sealed import check_seal, settings_in, write_sealed
from leastwork.runs.base.settings import GIVEN_MODEL, sampling_choices
from leastwork.runs.carry_out import measure_run
from leastwork.runs.joint.config import AnyRun, JointConfig
from leastwork.runs.load import dump_config, load_config
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.inputs import Inputs, build_inputs
from leastwork.runs.observables.job import ObservableJob
from leastwork.runs.page import write_report
from leastwork.runs.path.config import PathConfig
from leastwork.runs.path.guide_points import write_points
from leastwork.runs.path.inputs import PathInputs, build_path_inputs
from leastwork.runs.path.job import PathJob
from leastwork.sampling.solvers import as_solver, solver_names
from leastwork.sampling.solvers.usual import usual_solver
from leastwork.sampling.storage import open_ensemble, save_ensemble
from leastwork.support.progress import no_progress

__all__ = ["load_run", "report_run", "save_run"]

_N = 10_000


def load_run(
    folder: str | Path,
    *,
    model: Model | None = None,
    observable: Observable | None = None,
    region: Membership | None = None,
    kernel: Kernel | None = None,
    trust_code: bool = False,
) -> ObservableRun | PathRun:
    """Read a run from its folder, be it of a run file or saved in Python; ``.sample`` and ``.certify`` go on from it.

    Args:
        folder: of the run.
        model: what was guided, where it has no file form, or lies elsewhere now.
        observable: what was measured, of a run that was saved in Python.
        region: A, of a run that was saved in Python with a region.
        kernel: of the guides, where it is not the usual one of the model.
        trust_code: execute the Python files that the run names, as those of an observable of kind ``python``; without
            it a folder that asks for that is refused.

    Returns:
        ObservableRun | PathRun: with the guided samples of the folder, if it has some, as ``ensemble``.

    Raises:
        ConfigError: the folder holds no fit, files are missing or damaged, the model has other weights than that of
            the fit, something that has no file form is not given, or a file would be executed.
    """
    folder = Path(folder)
    config = read_run_file(folder)
    code = [*(config.code if region is None else ()), *(config.source.code if model is None else ())]
    if code and not trust_code:
        raise ConfigError(
            f"{folder} names code, and reading it would run {code[0]}: look into that file, and if you trust "
            "it, load_run(folder, trust_code=True)"
        )
    task = (
        _path_job(config, folder, model, region, kernel)
        if isinstance(config, PathConfig)
        else _observable_job(config, folder, model, observable)
    )
    run = task.load(folder)
    if run is None:
        raise ConfigError(f"{folder} holds no fit, fit/fit.json is missing: finish it with leastwork run … --resume")
    store = folder / "ensemble.zarr"
    ensemble = open_ensemble(store) if store.exists() else None
    if ensemble is not None:
        ensemble = replace(ensemble, decoder=latent_decoder(run.model))
    if ensemble is not None and ensemble.log_tilt is None:
        ensemble = run.with_target(ensemble)
    own = config.certificate_samples is None and ensemble is not None
    samples = None if own else config.certificate_samples or config.sampling.n
    return replace(run, settings=_settings(config), ensemble=ensemble, certificate_samples=samples)


def read_run_file(folder: Path) -> AnyRun:
    """The ``config.yaml`` of a single run.

    Raises:
        ConfigError: there is none, or it is of a joint run.
    """
    described = folder / "config.yaml"
    if not described.is_file():
        what = "config.yaml is missing" if folder.is_dir() else "there is no such folder"
        raise ConfigError(f"{folder} holds no run, {what}: pass a folder of leastwork run, or of run.save")
    check_seal(folder)
    config = load_config(described)
    if isinstance(config, JointConfig):
        parts = ", ".join(str(folder / part) for part in config.runs)
        raise ConfigError(f"{folder} holds a joint run: load one of its parts, {parts}")
    return config


def _settings(config: AnyRun) -> Mapping[str, Any]:
    more = {"success": config.success} if isinstance(config, PathConfig) else {}
    return {**config.own_settings, **more}


def _model(config: AnyRun, model: Model | None) -> Model:
    if model is not None:
        return model
    if config.model == GIVEN_MODEL:
        raise ConfigError(f"{config.name} guides a model that has no file form: pass it, load_run(folder, model=…)")
    return load_model(config.model)


def _observable_job(
    config: RunConfig, folder: Path, model: Model | None, observable: Observable | None
) -> ObservableJob:
    names = config.given_names
    if names is None:
        return ObservableJob(config, build_inputs(config, _model(config, model)))
    if observable is None:
        raise ConfigError(
            f"{config.name} has data for {', '.join(names)}, of an observable that is a function and has no file form: "
            "pass it, load_run(folder, observable=…)"
        )
    data = observable_files.stored_data(folder, observable)
    return ObservableJob(config, Inputs(_model(config, model), data, sampling_choices(config.sampling)))


def _path_job(
    config: PathConfig, folder: Path, model: Model | None, region: Membership | None, kernel: Kernel | None
) -> PathJob:
    return PathJob(config, replace(build_path_inputs(config, _model(config, model), region), kernel=kernel))


def save_run(run: ObservableRun | PathRun, folder: Path, model: ModelName | None = None) -> Path:
    """See :meth:`leastwork.fit.run.FittedRun.save`."""
    if isinstance(run, PathRun):
        _save_path_run(run, folder, model)
    else:
        config = _describe(run, folder, model, RunConfig, METHODS, {"data": {"given": list(run.data.names)}})
        observable_files.save_fit(run, _begun(folder, config, run.model))
    return _with_samples(run, folder)


def _save_path_run(run: PathRun, folder: Path, model: ModelName | None) -> None:
    own = bool(getattr(run.region, "density", None) is run.guides)
    region = {} if own else {"region": {"kind": "given", "definition": definition_of(run.region)}}
    more = {"guides": {"safetensors": "inputs/guides.safetensors"}, "bandwidth": run.guides.bandwidth, **region}
    _begun(folder, _describe(run, folder, model, PathConfig, PATH_METHODS, more), run.model)
    write_points(run.guides.points, folder / "inputs" / "guides.safetensors")
    path_files.save_fit(run, folder)


def report_run(run: ObservableRun | PathRun, folder: Path, model: ModelName | None = None) -> Path:
    """See :meth:`leastwork.fit.run.FittedRun.report`."""
    judged = run.certificate_ensemble
    save_run(run, folder, model)
    config = read_run_file(folder)
    measure_run(folder, config, _job_of(run, config), run, judged, no_progress)
    return write_report(folder)


def _job_of(run: ObservableRun | PathRun, config: AnyRun) -> Job[Any]:
    """The job of a run in memory, which its own file describes."""
    choices = sampling_choices(config.sampling)
    if isinstance(run, PathRun):
        assert isinstance(config, PathConfig)
        assert is_scored(run.model)
        return PathJob(config, PathInputs(run.model, run.guides.points, run.region, choices))
    assert isinstance(config, RunConfig)
    return ObservableJob(config, Inputs(run.model, observable_files.stated_data(run), choices))


def _describe(
    run: ObservableRun | PathRun,
    folder: Path,
    model: ModelName | None,
    schema: type[RunConfig] | type[PathConfig],
    registry: Registry[Any],
    more: Mapping[str, Any],
) -> AnyRun:
    """The run as a run file says it.

    Raises:
        ConfigError: a part that a run file has no words for.
    """
    if run.method not in registry:
        raise ConfigError(f"method {run.method!r} has no name in files: register it by register_method before saving")
    known = settings_of(registry[run.method])
    settings = {key: value for key, value in run.settings.items() if key in known and value is not None}
    top = {"success": run.settings["success"]} if "success" in run.settings and schema is PathConfig else {}
    tree = {
        "name": folder.resolve().name,
        "model": _reference(run.model, folder, model),
        **more,
        **top,
        "method": run.method,
        "fit": {**settings, "samples": len(run.model_samples)},
        "sampling": _sampling(run),
        "seed": run.seed,
    }
    named = schema.naming(run.method)
    try:
        return named.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"the run has no file form: {sentences(error, named)[0]}") from None


def _reference(model: Model, folder: Path, given: ModelName | None) -> Any:
    """How ``config.yaml`` names the model: as given, by its copy, or not at all."""
    if given is not None:
        source = source_of(given)
        check_fingerprint(source.build(), fingerprint(model), folder)
        return source.with_paths(lambda _, path: _seen_from(folder, path)).plain()
    try:
        description_of(model)  # pyright: ignore[reportArgumentType]  (a kind that has no file form is refused)
    except ConfigError:
        return GIVEN_MODEL
    return "model"


def _seen_from(folder: Path, path: Path) -> Path:
    """A path relative to a folder."""
    return Path(os.path.relpath(path, folder))


def _sampling(run: ObservableRun | PathRun) -> dict[str, Any]:
    asked = run.choices.given
    solver = as_solver(asked.get("solver", usual_solver(run.model)))
    name = next((name for name, known in solver_names().items() if known == solver), None)
    if name is None:
        raise ConfigError(
            f"solver {solver!r} has no name in files: save a run that draws by one of {tuple(solver_names())}"
        )
    grid = asked.get("t_grid")
    found = {key: asked[key] for key in ("process", "steps", "kappa", "batch_size") if key in asked}
    if grid is not None:
        found["t_grid"] = tuple(grid.tolist()) if isinstance(grid, torch.Tensor) else grid
    return {
        "n": run.certificate_samples or (_N if run.ensemble is None else len(run.ensemble)),
        "solver": name,
        **found,
    }


def _begun(folder: Path, config: AnyRun, model: Model) -> Path:
    """Make the folder and describe the run there, or see that it is the same run."""
    text = dump_config(config)
    described = folder / "config.yaml"
    used = folder.is_dir() and any(folder.iterdir())
    if used and not (described.is_file() and settings_in(folder) == text):
        raise ConfigError(f"{folder} is not empty and holds something else than this run: choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_sealed(folder, text)
    if config.model == "model":
        save_model(model, folder / "model")  # pyright: ignore[reportArgumentType]  (as above)
    return folder


def _with_samples(run: ObservableRun | PathRun, folder: Path) -> Path:
    """The samples of the certificate beside the fit, where they are drawn and not there yet."""
    drawn = run.__dict__.get("certificate_ensemble") or run.ensemble
    if drawn is not None and not (folder / "ensemble.zarr").exists():
        save_ensemble(drawn, folder / "ensemble.zarr")
    return folder
