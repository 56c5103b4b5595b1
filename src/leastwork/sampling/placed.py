"""Times of the steps, placed by what each step wastes: their density ρ follows the root of the loss.

    Σ_k ℓ(u_k)/ρ(u_k) → min  for  ρ ∝ √ℓ        ρ(u) = (1 − w) + w √ℓ(u)/⟨√ℓ⟩,  w = 0.6

A step that is shorter by a factor ρ wastes ρ times less per unit of the old grid, since its loss ¼ c⁴ tr H² falls as
the square of its length (:mod:`leastwork.sampling.step_loss`). By the inequality of Cauchy and Schwarz the sum is least
for ρ ∝ √ℓ. A part 1 − w of the steps stays where it was, so that the distribution of the samples keeps its accuracy
where the guidance has little to do. The root of the loss is smoothed over neighbouring steps, since steps of very
unequal length would harm a multistep solver, and since a few hundred paths know the loss of one step only roughly.
"""

import numpy as np
import torch
from torch import Tensor

from leastwork.models.base import Model, is_scored

__all__ = ["at_positions", "placed_by_loss", "with_steps"]

_SHARE = 0.6  # w
_SMOOTHED = 2.0  # standard deviation of the smoothing, steps


def placed_by_loss(model: Model, times: Tensor, loss: Tensor) -> Tensor:
    """As many times, placed by the loss of each step, float64 (S + 1,).

    Args:
        model: the model whose schedule gives the log-SNR in which times between two others are found.
        times: decreasing times, (S + 1,).
        loss: mean loss of each step on these times, nats, (S,); times stay as they are if it is zero or not finite.

    >>> import leastwork as lw
    >>> model = lw.VelocityModel(lambda x, t: -x, event_shape=(1,))
    >>> times = torch.linspace(1.0, 0.0, 11).double()
    >>> placed_by_loss(model, times, torch.ones(10)).allclose(times)
    True
    """
    root = loss.double().clamp(min=0).sqrt()
    mean = float(root.mean())
    if not 0 < mean < float("inf"):
        return times
    smooth = _smoothed(root / mean)
    density = (1 - _SHARE) + _SHARE * smooth / smooth.mean()
    gone = np.concatenate([[0.0], density.cumsum(0).numpy()])
    return at_positions(model, times, torch.from_numpy(_inverse(gone, len(loss))))


def with_steps(model: Model, times: Tensor, steps: int) -> Tensor:
    """Times with the same density and another number of steps, float64 (steps + 1,)."""
    return at_positions(model, times, torch.linspace(0, len(times) - 1, steps + 1, dtype=torch.float64))


def at_positions(model: Model, times: Tensor, positions: Tensor) -> Tensor:
    """Times between others, in log-SNR where that is finite and the model has no rotations, else in t.

    Args:
        model: the model.
        times: decreasing times, float64 (S + 1,).
        positions: rising positions on them, from 0 to S, float64 (M,).
    """
    index = np.arange(len(times))
    found = torch.from_numpy(np.interp(positions.numpy(), index, times.numpy()))
    if not is_scored(model) or model.has_rotations:
        return found
    log_snr = model.schedule.log_snr(times)
    known = torch.isfinite(log_snr)
    whole = positions == positions.round()
    here, there = positions.floor().long(), positions.ceil().long()
    between = known[here] & known[there] & ~whole
    level = torch.from_numpy(np.interp(positions.numpy(), index, log_snr.nan_to_num().numpy()))
    found[between] = model.schedule.time_of(level[between])
    return found


def _inverse(gone: np.ndarray, steps: int) -> np.ndarray:
    """Positions at which the rising share of the steps, (S + 1,), is k/S."""
    found = np.interp(np.linspace(0.0, gone[-1], steps + 1), gone, np.arange(len(gone)))
    found[0], found[-1] = 0.0, len(gone) - 1
    return found


def _smoothed(values: Tensor) -> Tensor:
    """Means over neighbours with normal weights, those beyond an end like the end itself, (S,)."""
    reach = round(3 * _SMOOTHED)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / _SMOOTHED) ** 2)
    padded = torch.cat([values[:1].expand(reach), values, values[-1:].expand(reach)])
    return padded.unfold(0, len(weights), 1) @ (weights / weights.sum())
