"""Multistate Bennett acceptance ratio (MBAR): reduced free energies of windows from how their samples overlap.

    f_i = −ln Σ_n e^{r_i(x_n)} / Σ_j N_j e^{f_j + r_j(x_n)}        O_ij = Σ_n N_j e^{f_i + f_j + r_i + r_j}/(Σ_k …)²

for samples of the densities p e^{r_i} with r_0 = 0 (Shirts & Chodera, J. Chem. Phys. 129, 124105, 2008); the overlap
matrix O is that of Klimovich, Shirts & Mobley, J. Comput.-Aided Mol. Des. 29, 397, 2015. pymbar solves the equations.
"""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.support.extras import needs

__all__ = ["LEAST_OVERLAP", "Mbar", "needs_pymbar", "solve_mbar"]

LEAST_OVERLAP = 0.03
"""Smallest overlap of neighbours that connects them (Klimovich et al., 2015)."""

_TOLERANCE = 1e-6  # largest violation of the equations, nats
_MOST_ITERATIONS = 1000


@dataclass(frozen=True)
class Mbar:
    """Reduced free energies (K,), those of the model zero, the overlap matrix (K, K), and whether they can be trusted.

    ``violation`` is the largest violation of the equations, nats; ``parts`` numbers the groups of windows that overlap
    among themselves, (K,), and is all zero if every window is connected with the model.
    """

    free_energies: Tensor
    overlap: Tensor
    violation: float
    parts: tuple[int, ...]

    @property
    def converged(self) -> bool:
        return self.violation <= _TOLERANCE


def needs_pymbar() -> None:
    """Raise the error that names the command if pymbar is missing, before anything is spent.

    Raises:
        LeastworkError: pymbar is not installed.
    """
    _pymbar()


def _pymbar() -> "type":
    logging.getLogger("pymbar").setLevel(logging.ERROR)  # it greets with advice about jax and time series
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return needs("pymbar", "free-energy").MBAR


def solve_mbar(log_tilt: Sequence[Tensor], start: Tensor) -> Mbar:
    """Solve the equations for samples of K densities.

    Args:
        log_tilt: for the samples of each density all the r_j, float64 (K, n_i); none may be empty.
        start: a first guess of f, (K,).

    Raises:
        LeastworkError: pymbar is not installed, or a density has no samples.
    """
    if min(one.shape[1] for one in log_tilt) == 0:
        empty = next(i for i, one in enumerate(log_tilt) if one.shape[1] == 0)
        raise LeastworkError(f"window {empty} has no samples: draw more samples in each window")
    if len(log_tilt) == 1:
        return Mbar(torch.zeros(1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64), 0.0, (0,))
    mbar, counts = _pymbar(), np.array([one.shape[1] for one in log_tilt])
    tilts = torch.cat(list(log_tilt), dim=1)
    adaptive = {
        "method": "adaptive",
        "tol": 1e-12,
        "options": {"min_sc_iter": 0, "maxiter": _MOST_ITERATIONS},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the violation below says whether it converged
        solved = mbar(
            -tilts.numpy(), counts, initial_f_k=(start - start[0]).numpy(), solver_protocol=(adaptive,), verbose=False
        )
        overlap = torch.from_numpy(np.asarray(solved.compute_overlap()["matrix"], dtype=float))
    found = torch.from_numpy(np.asarray(solved.f_k, dtype=float))
    found = found - found[0]
    return Mbar(found, overlap, _violation(tilts, torch.from_numpy(counts).double(), found), _connected(overlap))


def _violation(tilts: Tensor, counts: Tensor, f: Tensor) -> float:
    mixture = torch.logsumexp(counts.log()[:, None] + f[:, None] + tilts, dim=0)
    again = -torch.logsumexp(tilts - mixture, dim=1)
    return float((again - again[0] - f).abs().max())


def _connected(overlap: Tensor) -> tuple[int, ...]:
    """The group of each density, where overlaps of at least ``LEAST_OVERLAP`` connect."""
    linked = torch.maximum(overlap, overlap.T) >= LEAST_OVERLAP
    group = list(range(len(overlap)))
    for i, j in linked.nonzero().tolist():
        if group[i] != group[j]:
            low, high = sorted((group[i], group[j]))
            group = [low if one == high else one for one in group]
    return tuple(group)
