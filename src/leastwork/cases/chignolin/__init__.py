"""Chignolin in ten beads: its physics, simulations and committor."""

from leastwork.cases.chignolin import folding
from leastwork.cases.chignolin.folding import *  # noqa: F403  (all of its public names, which it lists itself)

__all__ = folding.__all__
