"""Chignolin in ten beads: its physics, simulations and committor."""

from leastwork.cases.chignolin.folding import *  # noqa: F403  (all public names of this module, which lists them)
