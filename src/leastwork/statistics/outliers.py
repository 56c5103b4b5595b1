"""Samples that diverged: farther from the mean than eight times the 99 % quantile of the distance.

A network may be wrong at states far from its training data, and in one of ten thousand samples a step may lead there,
so that the path diverges. One such sample outweighs all others in a mean of squares, and a V learned from it guides
others in its direction.
"""

import warnings

import torch

from leastwork.errors import LeastworkWarning
from leastwork.geometry.state import State, leaves
from leastwork.support.text import plural

__all__ = ["outliers", "warn_of_outliers"]

_MULTIPLE = 8.0  # multiple of the quantile beyond which a sample is an outlier
_QUANTILE = 0.99  # of the distance from the mean
_ROWS = 4096  # samples at a time
_FEWEST_SAMPLES = 200  # samples for which the quantile is meaningful


def outliers(x: State) -> torch.Tensor:
    """Indices of samples that diverged; empty if there are fewer than 200 samples.

    >>> x = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
    >>> x[7] *= 100
    >>> outliers(x).tolist()
    [7]
    """
    far: list[torch.Tensor] = []
    for leaf in leaves(x):
        flat = leaf.detach().flatten(1)
        if len(flat) < _FEWEST_SAMPLES:
            return torch.zeros(0, dtype=torch.long)
        middle = flat.median(dim=0).values.double()
        distance = torch.cat([(some.double() - middle).norm(dim=1) for some in flat.split(_ROWS)])  # sparing of memory
        usual = distance.sort().values[int(_QUANTILE * len(distance))]
        far.append(distance > _MULTIPLE * usual)
    return torch.stack(far).any(dim=0).nonzero()[:, 0].cpu()


def warn_of_outliers(x: State) -> None:
    """Warn if some of the model's own samples diverged.

    Warns:
        LeastworkWarning: some samples diverged.
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
