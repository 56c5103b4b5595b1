"""The case of the alanine pentapeptide, as run files name it."""

import torch
from torch import Tensor

from leastwork.cases.ala5.peptide import BACKBONE, populations
from leastwork.cases.ala5.sections import sections
from leastwork.runs.base.cases import Case, GroupMeans

__all__ = ["CASES"]


def _means() -> GroupMeans:
    """Populations of each basin, for each residue and, with residue None, for all residues together."""
    places = [(basin, int(residue)) for basin, residue in (name.rsplit(" ", 1) for name in populations().names)]
    basins = list(dict.fromkeys(basin for basin, _ in places))

    def values(columns: Tensor) -> Tensor:
        return torch.cat([columns, columns.unflatten(1, (-1, len(basins))).mean(dim=1)], dim=1)

    labels = [*places, *((basin, None) for basin in basins)]
    return GroupMeans("populations", values, [{"basin": basin, "residue": residue} for basin, residue in labels])


CASES = {
    "ala5": Case(
        event_shape=(16, 3),
        reported=populations,
        means=_means,
        backbone=lambda: BACKBONE,
        part=sections,
    )
}
