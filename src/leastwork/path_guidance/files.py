"""Files of a fitted Path Guidance: fit/fit.json, fit/model.zarr and guidance/.

``fit.json`` is written last: if it is there, the fit is complete. The fit is written before the first guided sample is
drawn, so that an interrupted run goes on with the same guidance.
"""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from leastwork.errors import ConfigError
from leastwork.fit.files import open_own_samples
from leastwork.fit.result import FitRecord
from leastwork.geometry.state import State
from leastwork.guidance.files import load_guidance, save_guidance
from leastwork.kernels.base import Kernel
from leastwork.kernels.density import kernel_density, usual_kernel
from leastwork.kernels.files import kernel_from, kernel_parts
from leastwork.kernels.region import IntervalRegion, Membership, Region
from leastwork.models.base import Scored, is_scored
from leastwork.models.files import check_fingerprint, fingerprint, in_precision, precision
from leastwork.models.latents import latent_decoder, of_data
from leastwork.path_guidance.run import PathRun
from leastwork.sampling.choices import Choices
from leastwork.sampling.storage import save_ensemble
from leastwork.support.json_files import read_json, write_json
from leastwork.support.text import brief

__all__ = ["FitNumbers", "load_fit", "read_numbers", "save_fit"]

_REMEDY = "delete the folder fit to fit anew"


@dataclass(frozen=True)
class FitNumbers:
    """The numbers of a fit that a report needs, without the model, the guidance and the samples.

    Args:
        log_odds: L of the target.
        target: share of the target in A.
        network_evaluations, seconds: cost of the whole fit, the model's own samples included.
        stages: how a least-work guidance was found, as plain values.
        trials: number of parameters that were tried for a published form.
        bandwidth: bandwidth of the guides' kernel.
        model: fingerprint of the model, or None if it has none.
        search: network evaluations and seconds of the search alone, or None if they are not known.
        kernel: plain values of the guides' kernel, or its name if it has no file form; None for the usual kernel.
        precision: precision of the model's parameters, or None if it is not known.
        times: the times at which the fit has placed the steps, or None where they are as chosen.
    """

    log_odds: float
    target: float
    network_evaluations: int
    seconds: float
    stages: tuple[Mapping[str, Any], ...]
    trials: int
    bandwidth: float
    model: str | None = None
    search: Mapping[str, Any] | None = None
    kernel: Mapping[str, Any] | None = None
    precision: str | None = None
    times: tuple[float, ...] | None = None

    @property
    def record(self) -> FitRecord:
        """How the guidance was found, and the cost."""
        whole = {"network_evaluations": self.network_evaluations, "seconds": self.seconds}
        return FitRecord(**(self.search or whole), stages=self.stages, trials=self.trials)


def save_fit(run: PathRun, folder: Path) -> None:
    """Write a fit into a folder, replacing a fit that may be there.

    Raises:
        ConfigError: the guidance has no file form.
    """
    shutil.rmtree(folder / "fit", ignore_errors=True)
    save_guidance(run.guidance, folder / "guidance")
    (folder / "fit").mkdir(parents=True)
    save_ensemble(run.model_samples, folder / "fit" / "model.zarr")
    record = run.fit.record()
    found = FitNumbers(
        run.log_odds, run.target, run.network_evaluations, run.seconds, record.stages, record.trials,
        run.guides.bandwidth, fingerprint(run.model),
        {"network_evaluations": record.network_evaluations, "seconds": record.seconds}, _kernel_values(run),
        precision(run.model), None if run.times is None else tuple(run.times.tolist()),
    )  # fmt: skip
    write_json(folder / "fit" / "fit.json", asdict(found))


def read_numbers(folder: Path) -> FitNumbers | None:
    """The numbers of the fit in a folder, or None if there is no fit yet.

    Raises:
        ConfigError: the file is damaged.
    """
    mark = folder / "fit" / "fit.json"
    if not mark.exists():
        return None
    try:
        described = read_json(mark, _REMEDY)
        return FitNumbers(**{**described, "stages": tuple(described["stages"])})
    except ConfigError:
        raise
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ConfigError(f"{mark.parent} is damaged ({brief(error)}): {_REMEDY}") from error


def load_fit(
    folder: Path,
    model: Scored,
    points: State,
    region: Membership | None,
    method: str,
    choices: Choices,
    seed: int,
    kernel: Kernel | None = None,
) -> PathRun | None:
    """The fitted run in a folder, or None if there is none yet.

    Args:
        folder: the folder of the run.
        model: the model that was guided.
        points: the guides, (M, *event), data units.
        region: A, or None for the region that the guides' kernel defines.
        method, choices, seed: the method, sampling choices and seed of the fit.
        kernel: the kernel of the guides, if it has no file form.

    Raises:
        ConfigError: the files are damaged, or of another model.
    """
    found = read_numbers(folder)
    if found is None:
        return None
    check_fingerprint(model, found.model, folder)
    placed = in_precision(model, found.precision)
    assert is_scored(placed)
    guides = kernel_density(points, _kernel(folder, model, found, kernel), found.bandwidth)
    inside: Membership = Region(guides) if region is None else of_data(region, model)
    coordinate = region.interval[0] if isinstance(region, IntervalRegion) else None
    return PathRun(
        placed,
        guides,
        inside,
        method,
        load_guidance(folder / "guidance", coordinate),
        found.log_odds,
        found.target,
        choices,
        seed,
        replace(open_own_samples(folder / "fit"), decoder=latent_decoder(model)),
        found.record,
        network_evaluations=found.network_evaluations,
        seconds=found.seconds,
        times=None if found.times is None else torch.tensor(found.times, dtype=torch.float64),
    )


def _kernel_values(run: PathRun) -> Mapping[str, Any] | None:
    """The kernel of the guides as plain values, None if it is the usual one."""
    kernel = run.guides.kernel
    if is_scored(run.model) and kernel == usual_kernel(run.model):
        return None
    try:
        return kernel_parts(kernel)
    except ConfigError:
        return {"given": type(kernel).__name__}


def _kernel(folder: Path, model: Scored, found: FitNumbers, given: Kernel | None) -> Kernel:
    if given is not None:
        return given
    if found.kernel is None:
        return usual_kernel(model)
    if "given" in found.kernel:
        raise ConfigError(
            f"{folder} has guides with a {found.kernel['given']}, which has no file form: pass it, "
            "load_run(folder, kernel=…)"
        )
    return kernel_from(found.kernel)
