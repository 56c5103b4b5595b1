"""Samples of a model that blew up: farther from the mean than eight times where 99 of 100 lie.

A network knows nothing of states that it never saw, and once in ten thousand samples a step may lead there and on.
One such sample outweighs all others in a mean of squares, and V learned from it guides others after it.
"""

import warnings

import torch

from leastwork.errors import LeastworkWarning
from leastwork.geometry.state import State, leaves
from leastwork.support.text import plural

__all__ = ["outliers", "warn_of_outliers"]

_TIMES = 8.0
_USUAL = 0.99
_ENOUGH = 200  # samples


def outliers(x: State) -> torch.Tensor:
    """Indices of samples that lie so far out; none of fewer than 200 samples.

    >>> x = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
    >>> x[7] *= 100
    >>> outliers(x).tolist()
    [7]
    """
    far: list[torch.Tensor] = []
    for leaf in leaves(x):
        flat = leaf.detach().flatten(1).double()
        if len(flat) < _ENOUGH:
            return torch.zeros(0, dtype=torch.long)
        distance = (flat - flat.median(dim=0).values).norm(dim=1)
        usual = distance.sort().values[int(_USUAL * len(distance))]
        far.append(distance > _TIMES * usual)
    return torch.stack(far).any(dim=0).nonzero()[:, 0].cpu()


def warn_of_outliers(x: State) -> None:
    """Say so, with the remedy.

    Warns:
        LeastworkWarning: some of the model's own samples blew up.
    """
    found = outliers(x)
    if len(found):
        warnings.warn(
            f"{plural(len(found), 'sample')} of the model's own {len(leaves(x)[0])} lie far outside the others, the "
            f"first at index {int(found[0])}, as if generation blew up: use more steps or t_grid='balanced', or bound "
            "the network's denoised estimate; guidance learned from them is poor",
            LeastworkWarning,
            stacklevel=3,
        )
