"""Ala₅: its backbone in explicit water, and measured couplings."""

from leastwork.cases.ala5.peptide import (
    BACKBONE,
    BASINS,
    DATA,
    SEQUENCE,
    TEMPERATURE,
    Ensembles,
    couplings,
    ensembles,
    populations,
)

__all__ = [
    "BACKBONE",
    "BASINS",
    "DATA",
    "SEQUENCE",
    "TEMPERATURE",
    "Ensembles",
    "couplings",
    "ensembles",
    "populations",
]
