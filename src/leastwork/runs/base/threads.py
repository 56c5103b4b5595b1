"""The number of torch's threads for a run."""

import os

from torch import set_num_threads

from leastwork.models.base import Model

__all__ = ["choose_threads"]

SMALL_NETWORK = 50_000
"""Weights of a network that runs no faster on two threads."""


def choose_threads(model: Model) -> None:
    """Use one thread for a small network, whose operations are too short to share, unless the user has chosen.

    A run owns its process, the library does not: ``leastwork.sample`` leaves torch's threads as they are.
    """
    size = sum(p.numel() for p in model.parameters())
    if "OMP_NUM_THREADS" not in os.environ and size < SMALL_NETWORK:
        set_num_threads(1)
