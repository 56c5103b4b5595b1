"""The report of Path Guidance: where the samples lie, the region's free energy, work, novelty, the bandwidth's part."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leastwork.errors import ConfigError
from leastwork.fit.methods import Told
from leastwork.kernels.density import kernel_density
from leastwork.kernels.region import Region
from leastwork.path_guidance.files import FitNumbers, read_numbers
from leastwork.report.blocks import Fact, Image, Mark, Part, Section, Table, Words
from leastwork.report.drawing import Drawing
from leastwork.runs.base.finished import Finished
from leastwork.runs.base.numbers import Number
from leastwork.runs.base.sections import CITED_FOR_WORK, fact_of_effective, fact_of_work, made_with, work_section
from leastwork.runs.base.sentences import share
from leastwork.runs.path import figures as path_figures
from leastwork.runs.path.config import PathConfig
from leastwork.runs.path.figures import Curve, Panel
from leastwork.runs.path.first_screen import asked_for, believable, checks, how_far_met
from leastwork.runs.path.numbers import PathNumbers, PathQualityNumbers, path_numbers
from leastwork.runs.path.samples import samples_section
from leastwork.runs.path.sentences import free_energy, kind_of, methods, outcome, warnings, whose_region
from leastwork.support.numerals import count, fraction, plain

__all__ = ["part"]


def part(run: Finished[PathConfig]) -> Part:
    """The content of the report of a run.

    Raises:
        ConfigError: the folder holds no fit, or a file of the region is missing.
    """
    fit = read_numbers(run.folder)
    if fit is None:
        raise ConfigError(f"{run.folder} holds no fit, fit/fit.json is missing: run it again")
    config, metrics = run.config, path_numbers(run.metrics)
    sections = [
        _region(run, metrics, fit.bandwidth),
        work_section(run, metrics.certificate),
        samples_section(metrics.quality, run.plots),
        _sensitivity(config, metrics.quality),
    ]
    return Part(
        kind_of(config),
        outcome(config, metrics),
        _facts(metrics),
        warnings(config, metrics),
        [*sections, _learning(fit.stages[0])] if fit.stages else sections,
        methods(config, metrics, len(run.plots["guides"]), fit.stages),
        [*_settings(run, metrics, fit), *made_with(metrics)],
        asked_for(config, metrics, len(run.plots["guides"])),
        how_far_met(config, metrics),
        believable(metrics),
        checks(run, metrics),
        CITED_FOR_WORK,
    )


def _facts(metrics: PathNumbers) -> list[Fact]:
    certificate = metrics.certificate
    return [
        Fact("samples in the region", share(metrics.quality.success)),
        fact_of_work("free energy of the region", metrics.free_energy),
        Fact("efficiency", share(certificate.efficiency)),
        fact_of_effective(certificate),
    ]


def _settings(run: Finished[PathConfig], metrics: PathNumbers, fit: FitNumbers) -> list[tuple[str, str]]:
    """Settings that shape the numbers, as the run resolved them."""
    how = "given" if run.config.bandwidth is not None else "by leave-one-out likelihood"
    return [
        *run.drawing_settings(),
        ("model samples", count(metrics.quality.model_samples)),
        ("guides", count(len(run.plots["guides"]))),
        ("bandwidth", f"{plain(fit.bandwidth)} ({how})"),
        *run.config.chosen.table(Told(trials=fit.trials)),
    ]


def _region(run: Finished[PathConfig], metrics: PathNumbers, bandwidth: float) -> Section:
    definition = metrics.free_energy.region
    whose = whose_region(run.config)
    stop = "" if definition.endswith(".") else "."
    described: Words = [Mark(f"{definition}{stop}", "name"), *([f" {whose}"] if whose else [])]
    images = []
    if "x" in run.plots:  # states of two coordinates
        images.append(
            Image(
                _plane(run, bandwidth),
                "All samples of the model (left) and a closer look at the region (right): the density of the model in "
                "grey on a logarithmic scale, guided samples, the guides, and the outline of the region.",
                "The model's density, the guided samples, the guides and the region",
            )
        )
    return Section("The region and its free energy", [described, " ".join(free_energy(metrics))], images)


def _plane(run: Finished[PathConfig], bandwidth: float) -> Drawing:
    model, guided, points = (_flat(run.plots[name]) for name in ("x of the model", "x", "guides"))
    return path_figures.plane(model, guided, points, _membership(run, bandwidth))


def _membership(run: Finished[PathConfig], bandwidth: float) -> NDArray[np.bool_] | None:
    """Membership on a figure's grids, as the run stored it; for older runs from the region, unless that is code."""
    if "outlines" in run.plots:
        return run.plots["outlines"].numpy()
    given, guides = run.config.region, run.plots["guides"]
    event = tuple(guides.shape[1:])
    if given is not None and given.runs_code:
        return None
    region = Region(kernel_density(guides, bandwidth=bandwidth)) if given is None else given.build(event)

    def inside(x: NDArray[np.float64]) -> NDArray[np.bool_]:
        return region(torch.from_numpy(x).to(guides.dtype).reshape(-1, *event)).numpy()

    model, guided, points = (_flat(run.plots[name]) for name in ("x of the model", "x", "guides"))
    return path_figures.outlines(model, guided, points, inside)


def _flat(x: Tensor) -> NDArray[np.float64]:
    return x.flatten(1).to(torch.float64).numpy()


def _sensitivity(config: PathConfig, quality: PathQualityNumbers) -> Section:
    given = "; the region of this run was given and does not depend on a bandwidth" if config.region is not None else ""
    image = Image(
        _against_bandwidth(quality),
        "The region that the guides' kernel defines at different bandwidths: the share of the guided samples in it, "
        "and its free energy under the model, estimated by their path weights. The bandwidth of this run is marked in "
        f"grey{given}. The estimate for a region far from that of this run rests on few samples.",
        "Share of samples in, and free energy of, the region that the guides define at several bandwidths",
    )
    return Section("Sensitivity to the bandwidth", [], [image])


def _against_bandwidth(quality: PathQualityNumbers) -> Drawing:
    rows = quality.bandwidth_sensitivity
    x = np.array([row.bandwidth for row in rows])
    inside, energy = _curve([row.share for row in rows]), _curve([row.free_energy for row in rows])
    panels = [
        Panel("guided samples in the region", [inside], (0, 1.05)),
        Panel("−ln p of the region  (k_BT)", [energy]),
    ]
    return path_figures.curves(x, panels, "bandwidth of the guides' kernel", logarithmic=True, chosen=quality.bandwidth)


def _curve(estimates: Sequence[Number | None]) -> Curve:
    """A curve through estimates; None becomes NaN, which is not drawn."""
    values = np.array([None if one is None else one.value for one in estimates], dtype=float)
    errors = np.array([None if one is None else one.stderr for one in estimates], dtype=float)
    return Curve("guided", values, errors)


def _learning(stage: Mapping[str, Any]) -> Section:
    found = (
        f"Noising and denoising found {count(stage['members'])} members of the region from the guides; "
        f"{fraction(stage['acceptance'])} of these moves stayed in the region. V was learned from these "
        "members first, and then from guided paths."
    )
    table = Table(
        "Rounds of guided paths: the log-SNR above which the guidance is computed from the border of the region, the "
        "number of paths, the share of them in the region, the work that the guidance wasted, and the variance of the "
        "part of each path's log-weight that V did not predict, before and after learning from these paths. The last "
        "rows compare log-SNRs for this handover; the one with the least wasted work was taken.",
        ["round", "border from", "paths", "in the region", "wasted (k_BT)", "not predicted"],
        [
            [
                str(number),
                "never" if one["handover"] is None else plain(one["handover"], 3),
                count(one["paths"]),
                fraction(one["success"]),
                plain(one["dissipation"], 3),
                " → ".join(plain(value, 3) for value in one["variance"]) if one["variance"] else "–",
            ]
            for number, one in enumerate(stage["rounds"], 1)
        ],
    )
    return Section("Learning", [found], [], [table])
