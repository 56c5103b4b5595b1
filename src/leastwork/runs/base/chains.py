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

__all__ = ["Axis", "ChainSet", "chain_sections", "chosen_chains", "guided_chains", "model_chains", "structures_of"]

_SHOWN = 150  # structures of a set
_BONDS = (0.1, 0.5)  # nm, between atoms that follow each other in a chain
_FEWEST_ATOMS = 4


@dataclass(frozen=True, eq=False)
class ChainSet:
    """Structures of one kind, few enough for a page.

    Args:
        label: whose they are.
        x: chains of atoms, (n, A, 3), nm.
        of: number of structures from which these were chosen, evenly.
        weight: weights of which the mean over all is one, (n,), or None.
    """

    label: str
    x: Tensor
    of: int
    weight: Tensor | None = None

    @property
    def total(self) -> str:
        """How many they are, in words."""
        return f"{count(len(self.x))} of {count(self.of)} {self.label}"


@dataclass(frozen=True, eq=False)
class Axis:
    """A quantity of structures: its label, and its values for each set."""

    label: str
    values: Sequence[Tensor]


def chosen_chains(label: str, x: Tensor, among: Tensor | None = None, weight: Tensor | None = None) -> ChainSet:
    """As many structures as a page holds.

    Args:
        label: whose they are.
        x: structures, (n, A, 3), nm.
        among: indices of those to choose from, by default all.
        weight: weights of which the mean over all is one, (n,), or None.
    """
    among = torch.arange(len(x)) if among is None else among
    some = among[evenly(len(among), max(1, min(_SHOWN, MOST_ATOMS // max(x.shape[1], 1))))]
    return ChainSet(label, x[some].to(torch.float64), len(among), None if weight is None else weight[some])


def guided_chains(run: Finished[Any], label: str = "", among: Tensor | None = None) -> ChainSet:
    """Samples of a run with their weights under the target.

    Args:
        run: a finished run, whose samples are chains.
        label: whose they are, by default guided, or the model's where nothing guides.
        among: indices of those to choose from, by default all.
    """
    ensemble, weight = run.ensemble, None
    if ensemble.ledger.log_weight is not None and ensemble.log_tilt is not None:
        weight = len(ensemble) * log_weight_under("target", ensemble).to(torch.float64).softmax(dim=0)
    return chosen_chains(label or ("guided" if run.kind else "model"), leaves(ensemble.x)[0], among, weight)


def model_chains(run: Finished[Any]) -> ChainSet | None:
    """Draws of the model, by the weights of guided paths; None where there are no weights, or no guidance."""
    ensemble = run.ensemble
    if ensemble.ledger.log_weight is None or not run.kind:
        return None
    share = log_weight_under("model", ensemble).to(torch.float64).softmax(dim=0)
    return chosen_chains("model", leaves(ensemble.x)[0], resampled(share))


def structures_of(
    sets: Sequence[ChainSet], reference: Tensor, caption: str, axes: Sequence[Axis] = (), shades: Sequence[Axis] = ()
) -> Structures:
    """A figure of structures, whose caption says how many of all it shows.

    Args:
        sets: one or two.
        reference: the structure that they are laid on, (A, 3), nm.
        caption: the first sentences.
        axes: the two quantities of the map, or none for no map.
        shades: quantities to colour by, besides the weights.
    """
    centre = reference.to(torch.float64) - reference.to(torch.float64).mean(dim=0)
    x = [superposed(one.x, centre).numpy() for one in sets]
    named = [Shade(each.label, [values.double().numpy() for values in each.values]) for each in shades]
    if sets[0].weight is not None:
        weights = [torch.ones(len(one.x)) if one.weight is None else one.weight for one in sets]
        named.append(Shade("weight", [weight.numpy() for weight in weights]))
    chart = None
    if axes:
        across, up = ([values.double().numpy() for values in axis.values] for axis in axes)
        points = [(one.label, across[i], up[i]) for i, one in enumerate(sets)]
        chart = point_map(points, (axes[0].label, axes[1].label))
    choose = " A click on a point of the map shows its structure." if axes else ""
    return Structures(
        [StructureSet(one.label, each, one.of) for one, each in zip(sets, x, strict=True)],
        centre.numpy(),
        traces([(one.total, each) for one, each in zip(sets, x, strict=True)], centre.numpy()),
        f"{caption} Evenly chosen: {' and '.join(one.total for one in sets)} structures; the run's folder has all."
        f"{choose}",
        f"Structures laid over each other: {' beside '.join(one.label for one in sets)}",
        named,
        chart,
    )


def chain_sections(run: Finished[Any]) -> list[Section]:
    """The structures of a run whose states are chains of atoms in nm; none for any other run."""
    if not _are_chains(leaves(run.ensemble.x)[0]):
        return []
    guided, guides = guided_chains(run), run.plots.get("guides")
    beside = model_chains(run) if guides is None else None
    if guides is not None and _are_chains(guides):
        beside = chosen_chains("guides", guides)
    sets = [guided] if beside is None else [guided, beside]
    sizes = Axis("radius of gyration  (nm)", [evaluate(radius_of_gyration(), one.x)[:, 0] for one in sets])
    ends = Axis("end-to-end distance  (nm)", [evaluate(end_to_end(), one.x)[:, 0] for one in sets])
    caption = "Chains of atoms, superposed on the first of the samples (black, or white in the dark scheme)."
    if guides is None and len(sets) > 1:
        caption += " Those of the model are guided samples drawn again by the weights of their paths."
    return [Section("Structures", structures=[structures_of(sets, guided.x[0], caption, (sizes, ends))])]


def _are_chains(x: Tensor) -> bool:
    """Whether states are atoms in space, each as far from the next as bound atoms are."""
    if x.ndim != 3 or x.shape[2] != 3 or x.shape[1] < _FEWEST_ATOMS or not len(x):
        return False
    bond = float((x[:1000, 1:] - x[:1000, :-1]).norm(dim=2).median())
    return math.isfinite(bond) and _BONDS[0] < bond < _BONDS[1]
