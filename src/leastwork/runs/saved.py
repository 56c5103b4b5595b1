"""Runs made in Python: written into a folder like that of a run file, read back, and reported on the same page.

    run.save(folder) · run.report(folder) · lw.load_run(folder)

The folder has a ``config.yaml`` too. What has no file form, as a function has none, is named there and is given again
to :func:`load_run`: an observable, a region, a model around a function.
"""

import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from leastwork.adapters.source import ModelName, load_model, source_of
from leastwork.data.indirect import Indirect
from leastwork.errors import ConfigError
from leastwork.fit.methods import settings_of
from leastwork.fit.run import FittedRun
from leastwork.kernels.base import Kernel
from leastwork.kernels.region import Membership
from leastwork.models.base import Model
from leastwork.models.files import check_fingerprint, description_of, fingerprint, save_model
from leastwork.models.latents import latent_decoder
from leastwork.observable_guidance.run import ObservableRun
from leastwork.observables import Observable
from leastwork.path_guidance.run import PathRun
from leastwork.runs.base.complaints import sentences
from leastwork.runs.base.kind_of_run import Given, KindOfRun
from leastwork.runs.base.placed import on_this_machine, placed
from leastwork.runs.base.sealed import check_seal, settings_in, write_sealed
from leastwork.runs.base.settings import GIVEN_MODEL, AnyConfig, ChurnSection
from leastwork.runs.carry_out import measure_run
from leastwork.runs.joint.kinds import kind_of_run, kinds
from leastwork.runs.load import dump_config, load_config
from leastwork.runs.page import write_report
from leastwork.runs.status import described_by
from leastwork.sampling.solvers import Churn, Solver, as_solver, solver_names
from leastwork.sampling.solvers.usual import usual_solver
from leastwork.sampling.storage import open_ensemble, save_ensemble
from leastwork.support.arguments import path_of
from leastwork.support.progress import no_progress

__all__ = ["load_run", "report_run", "save_run"]

_N = 10_000


def load_run(
    folder: str | Path,
    *,
    model: Model | None = None,
    observable: Observable | Indirect | None = None,
    region: Membership | None = None,
    kernel: Kernel | None = None,
    trust_code: bool = False,
) -> ObservableRun | PathRun:
    """Read a run from its folder, be it of a run file or saved in Python; ``.sample`` and ``.certify`` go on from it.

    Args:
        folder: the folder of the run.
        model: what was guided, where it has no file form, or lies elsewhere now.
        observable: what was measured, of a run that was saved in Python, or its data on functions of averages.
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
    folder = path_of("folder", folder)
    config = read_run_file(folder)
    code = [*(config.code if region is None else ()), *(config.source.code if model is None else ())]
    if code and not trust_code:
        raise ConfigError(
            f"{folder} names code, and reading it would run {code[0]}: look into that file, and if you trust "
            "it, load_run(folder, trust_code=True)"
        )
    given = Given(observable, region, kernel)
    run = kind_of_run(config).job_of_folder(config, _model(config, model), folder, given).load(folder)
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
    return replace(run, settings=config.run_settings, ensemble=ensemble, certificate_samples=samples)


def read_run_file(folder: Path) -> AnyConfig:
    """The ``config.yaml`` of a single run.

    Raises:
        ConfigError: there is none, or it is of a joint run.
    """
    described = described_by(folder)
    check_seal(folder)
    parts = load_config(described).parts
    if "" not in parts:
        places = ", ".join(str(folder / part) for part in parts)
        raise ConfigError(f"{folder} holds a joint run: load one of its parts, {places}")
    return parts[""]


def _model(config: AnyConfig, model: Model | None) -> Model:
    if model is not None:
        return model
    if config.model == GIVEN_MODEL:
        raise ConfigError(f"{config.name} guides a model that has no file form: pass it, load_run(folder, model=…)")
    return placed(load_model(config.model), on_this_machine(config))


def save_run(run: FittedRun, folder: Path, model: ModelName | None = None) -> Path:
    """See :meth:`leastwork.fit.run.FittedRun.save`."""
    kind = kinds()[run.kind_of_run]
    _begin(folder, _described(run, kind, folder, model), run.model)
    kind.save(run, folder)
    return _with_samples(run, folder)


def report_run(run: FittedRun, folder: Path, model: ModelName | None = None) -> Path:
    """See :meth:`leastwork.fit.run.FittedRun.report`."""
    judged = run.certificate_ensemble
    save_run(run, folder, model)
    config = read_run_file(folder)
    measure_run(folder, config, kind_of_run(config).job_of_run(run, config), run, judged, no_progress)
    return write_report(folder)


def _described(run: FittedRun, kind: KindOfRun[Any, Any], folder: Path, model: ModelName | None) -> AnyConfig:
    """The run file of a run.

    Raises:
        ConfigError: the method has no name, or a part of the run no file form.
    """
    registry = kind.schema.registry
    if run.method not in registry:
        raise ConfigError(f"method {run.method!r} has no name in files: register it by register_method before saving")
    known = settings_of(registry[run.method])
    settings = {key: value for key, value in run.settings.items() if key in known and value is not None}
    tree = {
        "name": folder.resolve().name,
        "model": _reference(run.model, folder, model),
        **kind.keys(run),
        "method": run.method,
        "fit": {**settings, "samples": len(run.model_samples)},
        "sampling": _sampling(run),
        "seed": run.seed,
    }
    schema = kind.schema.naming(run.method)
    try:
        return schema.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"the run has no file form: {sentences(error, schema)[0]}") from None


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


def _sampling(run: FittedRun) -> dict[str, Any]:
    asked = run.choices.given
    solver = as_solver(asked.get("solver", usual_solver(run.model)))
    grid = asked.get("t_grid")
    found = {key: asked[key] for key in ("process", "steps", "kappa", "batch_size") if key in asked}
    if grid is not None:
        found["t_grid"] = tuple(grid.tolist()) if isinstance(grid, torch.Tensor) else grid
    return {
        "n": run.certificate_samples or (_N if run.ensemble is None else len(run.ensemble)),
        **_solver_keys(solver),
        **found,
    }


def _solver_keys(solver: Solver) -> dict[str, Any]:
    """How ``sampling`` names a solver; steps with churn have settings there."""
    if isinstance(solver, Churn):
        own = {one.name: getattr(solver, one.name) for one in fields(solver) if one.name in ChurnSection.model_fields}
        return {"solver": "churn", "churn": own}
    name = next((name for name, known in solver_names().items() if known == solver), None)
    if name is None:
        raise ConfigError(
            f"solver {solver!r} has no name in files: save a run that draws by one of {tuple(solver_names())}"
        )
    return {"solver": name}


def _begin(folder: Path, config: AnyConfig, model: Model) -> None:
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


def _with_samples(run: FittedRun, folder: Path) -> Path:
    """The samples of the certificate beside the fit, where they are drawn and not there yet."""
    drawn = run.__dict__.get("certificate_ensemble") or run.ensemble
    if drawn is not None and not (folder / "ensemble.zarr").exists():
        save_ensemble(drawn, folder / "ensemble.zarr")
    return folder
