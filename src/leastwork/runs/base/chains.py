"""Structures of a run that a reader turns: guided samples beside draws of the model, or beside the guides.

Draws of the model are chosen from the guided samples by systematic resampling with the weights of their paths, so that
each of them counts the same.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from leastwork.geometry.alignment import superposed
from leastwork.geometry.state import evenly, leaves
from leastwork.observables import end_to_end, evaluate, radius_of_gyration
from leastwork.report.blocks import Section
from leastwork.report.chains import point_map, traces
from leastwork.report.structures import MOST_ATOMS, Shade, Structures, StructureSet
from leastwork.runs.base.ensemble_structures import resampled
from leastwork.runs.base.finished import Finished
from leastwork.sampling.ensemble import log_weight_under
from leastwork.support.numerals import count

__all__ = ["Axis", "ChainSet", "chain_sections", "guided_chains", "model_chains", "structures_of"]

_SHOWN = 150  # structures of a set
_BONDS = (0.1, 0.5)  # nm, between atoms that follow each other in a chain
_FEWEST_ATOMS = 4


@dataclass(frozen=True, eq=False)
class ChainSet:
    """Structures of one kind: whose they are, chains (n, A, 3) in nm, their weights with mean one, or None."""

    label: str
    x: Tensor
    weight: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Axis:
    """A quantity of structures: its label, and its values for each set."""

    label: str
    values: Sequence[Tensor]


def guided_chains(run: Finished[Any]) -> ChainSet:
    """The samples of a run with their weights under the target."""
    ensemble = run.ensemble
    weight = None
    if ensemble.ledger.log_weight is not None and ensemble.log_tilt is not None:
        weight = len(ensemble) * log_weight_under("target", ensemble).to(torch.float64).softmax(dim=0)
    return ChainSet("guided" if run.kind else "model", leaves(ensemble.x)[0].to(torch.float64), weight)


def model_chains(run: Finished[Any]) -> ChainSet | None:
    """As many draws of the model, by the weights of guided paths; None where there are no weights, or no guidance."""
    ensemble = run.ensemble
    if ensemble.ledger.log_weight is None or not run.kind:
        return None
    share = log_weight_under("model", ensemble).to(torch.float64).softmax(dim=0)
    return ChainSet("model", leaves(ensemble.x)[0].to(torch.float64)[resampled(share)])


def structures_of(
    sets: Sequence[ChainSet], reference: Tensor, caption: str, axes: Sequence[Axis] = (), shades: Sequence[Axis] = ()
) -> Structures:
    """A figure of structures, thinned to what a page holds; the caption says so.

    Args:
        sets: one or two, already with the structures that axes and shades speak of.
        reference: the structure that they are laid on, (A, 3), nm.
        caption: the first sentences.
        axes: the two quantities of the map, or none for no map.
        shades: quantities to colour by, besides the weights.
    """
    most = max(1, min(_SHOWN, MOST_ATOMS // max(reference.shape[0], 1)))
    chosen = [evenly(len(one.x), most) for one in sets]
    centre = reference - reference.mean(dim=0)
    x = [superposed(one.x[some], centre).numpy() for one, some in zip(sets, chosen, strict=True)]
    totals = [f"{count(len(some))} of {count(len(one.x))} {one.label}" for one, some in zip(sets, chosen, strict=True)]
    named = [
        Shade(each.label, [values[some].double().numpy() for values, some in zip(each.values, chosen, strict=True)])
        for each in shades
    ]
    weights = [one.weight for one in sets]
    if weights[0] is not None:
        filled = [torch.ones(len(one.x)) if one.weight is None else one.weight for one in sets]
        named.append(Shade("weight", [values[some].numpy() for values, some in zip(filled, chosen, strict=True)]))
    pairs = [(f"{one.label}", some) for one, some in zip(sets, chosen, strict=True)]
    chart = None
    if axes:
        across, up = axes
        chart = point_map(
            [
                (label, across.values[i][some].double().numpy(), up.values[i][some].double().numpy())
                for i, (label, some) in enumerate(pairs)
            ],
            (across.label, up.label),
        )
    choose = " A click on a point of the map shows its structure." if axes else ""
    return Structures(
        [StructureSet(one.label, each, len(one.x)) for one, each in zip(sets, x, strict=True)],
        centre.numpy(),
        traces([(total, each) for total, each in zip(totals, x, strict=True)], centre.numpy()),
        f"{caption} Evenly chosen: {' and '.join(totals)} structures; the run's folder has all.{choose}",
        f"Structures laid over each other: {' beside '.join(one.label for one in sets)}",
        named,
        chart,
    )


def chain_sections(run: Finished[Any]) -> list[Section]:
    """The structures of a run whose states are chains of atoms in nm; none for any other run."""
    guided = guided_chains(run)
    if not _are_chains(guided.x):
        return []
    guides = run.plots.get("guides")
    beside = model_chains(run) if guides is None else ChainSet("guides", guides.to(torch.float64))
    sets = [guided] if beside is None or not _are_chains(beside.x) else [guided, beside]
    sizes = Axis("radius of gyration  (nm)", [evaluate(radius_of_gyration(), one.x)[:, 0] for one in sets])
    ends = Axis("end-to-end distance  (nm)", [evaluate(end_to_end(), one.x)[:, 0] for one in sets])
    caption = "Chains of atoms, superposed on the first of the samples (black)."
    if guides is None and len(sets) > 1:
        caption += " Those of the model are guided samples drawn again by the weights of their paths."
    return [Section("Structures", structures=[structures_of(sets, guided.x[0], caption, (sizes, ends))])]


def _are_chains(x: Tensor) -> bool:
    """Whether states are atoms in space, each as far from the next as bound atoms are."""
    if x.ndim != 3 or x.shape[2] != 3 or x.shape[1] < _FEWEST_ATOMS or not len(x):
        return False
    bond = float((x[:1000, 1:] - x[:1000, :-1]).norm(dim=2).median())
    return math.isfinite(bond) and _BONDS[0] < bond < _BONDS[1]
