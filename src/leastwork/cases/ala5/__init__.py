"""Ala₅: its backbone in explicit water, and measured couplings."""

from leastwork.cases.ala5.peptide import *  # noqa: F403  (all public names of this module, which lists them)
