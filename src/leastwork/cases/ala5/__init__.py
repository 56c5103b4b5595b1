"""Ala₅: its backbone in explicit water, and measured couplings."""

from leastwork.cases.ala5 import peptide
from leastwork.cases.ala5.peptide import *  # noqa: F403  (all of its public names, which it lists itself)

__all__ = peptide.__all__
