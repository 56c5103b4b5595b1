"""The quality of samples of a region: success, novelty, diversity, and their dependence on choices.

Samples in A are compared as they are and weighted by dP/dQ, which makes them draws of the model given A. What they are
compared with is the model's own samples in A, where it has enough of them, and draws of the true density given A, where
that is known. Everything rests on the same guided samples, weights included.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from leastwork.geometry.state import State, evenly, event_numel, flatten, shapes, take
from leastwork.kernels.aligned import AlignedKernel
from leastwork.kernels.density import KernelDensity
from leastwork.kernels.region import Region
from leastwork.observables import distances, end_to_end, radius_of_gyration, stack
from leastwork.path_guidance.run import PathRun
from leastwork.runs.base.numbers import number, with_stderr
from leastwork.runs.path.truth import RegionTruth
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.work import kish_ess
from leastwork.statistics.discrepancy import maximum_mean_discrepancy, wasserstein
from leastwork.statistics.diversity import guides_apart, nearest_guide, novelty, relative_diversity, typical_distance
from leastwork.statistics.estimate import Estimate
from leastwork.support.random import generator

__all__ = ["FACTORS", "PathQuality", "bandwidth_sensitivity", "path_quality", "region_share"]

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Factors of the bandwidth for which its influence is computed."""

ENOUGH = 20
"""Samples in A below which there is nothing to compare."""

_EFFECTIVE = 200  # effective samples of the model given A that may stand for it
_COMPARED = 4000  # samples at most in a distance
_DIVERSE = 1000  # samples at most in a Vendi score
_RESAMPLES = 50


@dataclass(frozen=True, eq=False)
class PathQuality:
    """Figures of merit as they stand in metrics.json, and distances to the nearest guide for a figure, (n,) each."""

    metrics: dict[str, Any]
    distances: dict[str, Tensor]


def region_share(run: PathRun, ensemble: Ensemble) -> Estimate:
    """The share of samples in A."""
    return Estimate.from_samples(run.region(ensemble.x).to(torch.float64))


def path_quality(run: PathRun, ensemble: Ensemble, truth: RegionTruth | None) -> PathQuality:
    """Judge guided samples.

    Args:
        run: the run that drew them.
        ensemble: guided samples.
        truth: the region of the true density, if it is known.
    """
    own_hits = run.region(run.model_samples.x)
    found = int(own_hits.sum())
    own = take(run.model_samples.x, own_hits.nonzero()[:, 0]) if found >= ENOUGH else None
    metrics: dict[str, Any] = {
        "success": with_stderr(region_share(run, ensemble)),
        "bandwidth": run.guides.bandwidth,
        "model_samples": len(own_hits),
        "model_samples_in_region": found,
        "model_share": with_stderr(Estimate.from_samples(own_hits.to(torch.float64))),
        **dict.fromkeys(("ess_in_region", "nearest_guide", "discrepancy_to_guides", "diversity")),
        "wasserstein": [],
        "bandwidth_sensitivity": bandwidth_sensitivity(run, ensemble),
    }
    apart = {"guide to guide": guides_apart(run.guides)}
    if own is not None:
        apart["model to guide"] = nearest_guide(own, run.guides)
    if int(run.region(ensemble.x).sum()) >= ENOUGH:
        inside = run.inside(ensemble)
        apart["guided to guide"] = nearest_guide(inside.x, run.guides)
        metrics |= _inside(run, inside, own, truth)
    return PathQuality(metrics, apart)


def _inside(run: PathRun, inside: Ensemble, own: State | None, truth: RegionTruth | None) -> dict[str, Any]:
    """Metrics of guided samples in A, compared with the model's own, if there are enough, and the truth, if known."""
    new = novelty(inside.x, run.guides)
    spread = typical_distance(run.guides.points, run.guides.kernel)
    few = evenly(len(inside), _COMPARED)
    apart = maximum_mean_discrepancy(take(inside.x, few), run.guides.points, spread, run.guides.kernel)
    references: dict[str, State] = {} if own is None else {"model": own}
    if truth is not None:
        references["truth"] = truth.sample(_COMPARED, generator(run.seed, "truth"))
    return {
        "ess_in_region": with_stderr(kish_ess(inside.log_weight)),
        "nearest_guide": {
            "guided": with_stderr(new.samples),
            "guides": with_stderr(new.guides),
            "ratio": with_stderr(new.ratio),
            "model": None if own is None else with_stderr(novelty(own, run.guides).samples),
        },
        "discrepancy_to_guides": {**with_stderr(apart), "bandwidth": number(spread)},
        "diversity": _diversity(run, inside, truth),
        "wasserstein": _distances(run, inside, references),
    }


def bandwidth_sensitivity(run: PathRun, ensemble: Ensemble) -> list[dict[str, Any]]:
    """The share of samples in the region of the guides at other bandwidths, and −ln p of that region."""
    rows = []
    for factor in FACTORS:
        k = run.guides
        other = replace(run, region=Region(KernelDensity(k.kernel, k.points, factor * k.bandwidth)))
        share = region_share(other, ensemble)
        energy = with_stderr(other.free_energy_of(ensemble)) if share.value > 0 else None
        rows.append({"factor": factor, "bandwidth": factor * k.bandwidth, "share": with_stderr(share),
                     "free_energy": energy})  # fmt: skip
    return rows


def _diversity(run: PathRun, inside: Ensemble, truth: RegionTruth | None) -> dict[str, Any] | None:
    """The Vendi score over that of the truth, or else of the model given A by the weights of other samples."""
    kernel = run.guides.kernel
    if truth is not None:
        drawn = truth.sample(_DIVERSE, generator(run.seed, "diversity"))
        found = relative_diversity(inside.x, drawn, kernel, max_samples=_DIVERSE)
        return {**with_stderr(found), "reference": "truth"}
    if kish_ess(inside.log_weight).value * len(inside) < _EFFECTIVE:
        return None
    plain, weighted = (torch.arange(first, len(inside), 2) for first in (0, 1))
    n = min(len(weighted), _DIVERSE)
    x, log_weight = take(inside.x, weighted), inside.log_weight[weighted]
    width = typical_distance(x, kernel, n) / 2
    inverse = relative_diversity(x, take(inside.x, plain), kernel, width, log_weight, n)
    return {**with_stderr(Estimate(1 / inverse.value, inverse.stderr / inverse.value**2)), "reference": "model"}


def _distances(run: PathRun, inside: Ensemble, references: dict[str, State]) -> list[dict[str, Any]]:
    """W₁ of every marginal of samples in A, as they are and weighted, from every reference."""
    few = evenly(len(inside), _COMPARED)
    names, of = _marginals(run)
    x, log_weight = of(take(inside.x, few)).to(torch.float64), inside.log_weight[few].to(torch.float64)
    kinds = {"guided": torch.zeros_like(log_weight), "model given A": log_weight}
    rows = []
    for reference, y in references.items():
        for kind, weight in kinds.items():
            random = generator(run.seed, f"bootstrap {reference} {kind}")
            found, noise = _distance(x, of(y).to(torch.float64), weight, random)
            for k, name in enumerate(names):
                one = with_stderr(Estimate(found.value[k], found.stderr[k]))
                rows.append(
                    {
                        "coordinate": k,
                        "name": name,
                        "samples": kind,
                        "reference": reference,
                        **one,
                        "noise": number(noise[k]),
                    }
                )
    return rows


def _marginals(run: PathRun) -> tuple[tuple[str, ...], Callable[[State], Tensor]]:
    """Coordinates, or for structures without orientation the lengths along the chain, its size and its ends."""
    shape = run.model.event_shape
    if not isinstance(run.guides.kernel, AlignedKernel):
        return tuple(f"x_{k + 1}" for k in range(event_numel(shape))), flatten
    atoms = shapes(shape)[0][0]
    chain = stack(distances([(i, i + 1) for i in range(atoms - 1)]), radius_of_gyration(), end_to_end())
    return chain.names, chain


def _distance(x: Tensor, y: Tensor, log_weight: Tensor, random: torch.Generator) -> tuple[Estimate, Tensor]:
    """W₁ with its bootstrapped error, and the mean distance of two draws of such sizes from the law of x, (K,)."""
    w = log_weight.softmax(dim=0)
    effective = max(2, round(len(x) * kish_ess(log_weight).value))

    def again(n: int) -> Tensor:
        return torch.multinomial(w, n, replacement=True, generator=random)

    errors, noise = [], []
    for _ in range(_RESAMPLES):
        some = torch.randint(len(x), (len(x),), generator=random)
        other = torch.randint(len(y), (len(y),), generator=random)
        errors.append(wasserstein(x[some], y[other], log_weight[some]))
        noise.append(wasserstein(x[again(effective)], x[again(len(y))]))
    return Estimate(wasserstein(x, y, log_weight), torch.stack(errors).std(dim=0)), torch.stack(noise).mean(dim=0)
