"""Structures of a run for a viewer, with the weights that take them to the target, and structures of the target itself.

guided.pdb · guided.xtc       guided samples, evenly chosen; model.* where nothing guides and samples are weighted
guided-weights.csv            dP/dQ · e^r of each of these frames, its mean over all samples one
target.pdb · target.xtc       samples chosen by systematic resampling with these weights, so that each counts the same
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from leastwork.geometry.state import evenly, leaves
from leastwork.runs.base.structures import write_structures
from leastwork.sampling.ensemble import Ensemble, log_weight_under
from leastwork.sampling.steer import systematic_ancestors
from leastwork.support.files import write_text
from leastwork.support.residues import THREE_LETTERS

__all__ = ["resampled", "write_ensemble_structures"]

_MOST = 2000  # structures in a trajectory


def write_ensemble_structures(folder: Path, sequence: str, ensemble: Ensemble, guided: bool) -> list[str]:
    """Write the structures of an ensemble, and of its target where the samples have weights.

    Args:
        folder: where; made if need be.
        sequence: one-letter codes of the residues.
        ensemble: samples of Cα atoms, (n, A, 3), nm, with the log-tilt of the target.
        guided: whether a guidance drew them, or they are the model's own.

    Returns:
        list[str]: sentences that say what is missing.
    """
    (x, *_) = leaves(ensemble.x)
    name, chosen = "guided" if guided else "model", evenly(len(x), _MOST)
    residues: Sequence[str] = [THREE_LETTERS[code] for code in sequence]
    missing = [write_structures(folder, name, x[chosen], residues)]
    if ensemble.ledger.log_weight is not None:
        share = torch.softmax(log_weight_under("target", ensemble).to(torch.float64), dim=0)
        rows = [f"{frame},{float(len(x) * share[i]):.8g}" for frame, i in enumerate(chosen.tolist())]
        write_text(folder / f"{name}-weights.csv", "\n".join(["frame,weight", *rows]) + "\n")
        missing.append(write_structures(folder, "target", x[resampled(share)[evenly(len(x), _MOST)]], residues))
    return [sentence for sentence in missing if sentence is not None]


def resampled(share: Tensor) -> Tensor:
    """Indices of as many samples with equal weights, in their order; no random number is needed.

    In the order of their weights, samples of equal weight keep their share to one sample, whatever the order in which
    they were drawn.
    """
    order = torch.argsort(share, stable=True)
    middle = torch.full((1,), 0.5, dtype=torch.float64)
    return order[systematic_ancestors(share[order][None], middle)[0]].sort().values
