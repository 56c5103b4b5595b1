"""Data of several techniques side by side: the columns of all observables, and a covariance in blocks

    o = (o_1, …, o_P)        Σ = diag(Σ_1, …, Σ_P)

Errors that two techniques share are not known to either, so the blocks between them are zero.
"""

from collections.abc import Sequence

import torch

from leastwork.data.experiment import Experiment
from leastwork.errors import ConfigError
from leastwork.observables.function import stack

__all__ = ["join"]


def join(parts: Sequence[Experiment]) -> Experiment:
    """One experiment of the data of several, whose names must differ.

    Args:
        parts: experiments on states of the same model.

    Raises:
        ConfigError: there are none, or a name occurs in two of them.

    >>> from leastwork.observables import component
    >>> size = Experiment(component(0, "size"), values=[1.2], errors=[0.1])
    >>> contact = Experiment(component(1, "contact"), upper=[0.5])
    >>> join([size, contact]).names
    ('size', 'contact')
    """
    if not parts:
        raise ConfigError("there are no data to join: give at least one experiment")
    if len(parts) == 1:
        return parts[0]
    correlated = any(part.errors.ndim == 2 for part in parts)
    errors = torch.block_diag(*(p.covariance for p in parts)) if correlated else torch.cat([p.errors for p in parts])
    columns = {key: torch.cat([getattr(p, key) for p in parts]) for key in ("values", "lower", "upper", "held_out")}
    return Experiment(stack(*(part.observable for part in parts)), errors=errors, **columns)
