"""Schedule from a table: smooth curves through the log-SNR ℓ and the norm n = √(α² + σ²) at given times.

    α = n √sigmoid(ℓ)    σ = n √sigmoid(−ℓ)    α̇/α = ṅ/n + ½ ℓ̇ sigmoid(−ℓ)    σ̇/σ = ṅ/n − ½ ℓ̇ sigmoid(ℓ)

ℓ and ln n are monotone cubic interpolants (Fritsch & Carlson, SIAM J. Numer. Anal. 17, 238, 1980): they pass through
the table, have continuous derivatives, and ℓ falls everywhere if it falls in the table. So a model that was trained at
a thousand discrete noise levels becomes a model in continuous time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from leastwork.errors import ConfigError
from leastwork.schedules.base import check_interval
from leastwork.schedules.remembered import FromMoments
from leastwork.support.text import brief

if TYPE_CHECKING:
    from scipy.interpolate import PPoly

__all__ = ["TabulatedSchedule"]


@dataclass(frozen=True)
class TabulatedSchedule(FromMoments):
    """α and σ at given times.

    Args:
        times: rising times in [0, 1], with t = 0 the data; the first is t_min, the last t_max.
        alphas, sigmas: positive α and σ at these times, with falling ratio alphas/sigmas.

    Raises:
        ConfigError: the table does not have these properties.

    >>> table = TabulatedSchedule([0.0, 0.5, 1.0], [0.99, 0.7, 0.1], [0.1, 0.7, 0.99])
    >>> t = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    >>> table.alpha(t)
    tensor([0.9900, 0.7000, 0.1000], dtype=torch.float64)
    >>> torch.allclose(table.time_of(table.log_snr(t)), t)
    True
    """

    times: Sequence[float]
    alphas: Sequence[float]
    sigmas: Sequence[float]

    def __post_init__(self) -> None:
        for name in ("times", "alphas", "sigmas"):
            try:
                values = tuple(float(value) for value in getattr(self, name))
            except (TypeError, ValueError) as error:
                raise ConfigError(f"{name} of a tabulated schedule: {brief(error)}, give a list of numbers") from error
            object.__setattr__(self, name, values)
        t, alpha, sigma = (np.array(part) for part in (self.times, self.alphas, self.sigmas))
        if len(t) < 2 or not len(t) == len(alpha) == len(sigma) or not bool((np.diff(t) > 0).all()):
            raise ConfigError(
                f"a tabulated schedule needs two or more rising times, with an alpha and a sigma each, not {len(t)} "
                f"times, {len(alpha)} alphas, {len(sigma)} sigmas"
            )
        check_interval(self.t_min, self.t_max)
        if not bool(((alpha > 0) & (sigma > 0) & np.isfinite(alpha * sigma)).all()):
            raise ConfigError("alphas and sigmas must be positive: leave out the ends of the table where one is zero")
        if not bool((np.diff(alpha / sigma) < 0).all()):
            raise ConfigError(
                "alphas/sigmas does not fall in the table, and t = 0 is the data: sort it by falling alphas/sigmas"
            )

    @property
    def t_min(self) -> float:
        return self.times[0]

    @property
    def t_max(self) -> float:
        return self.times[-1]

    def log_snr(self, t: Tensor) -> Tensor:
        return self._at(t)[4]

    def time_of(self, log_snr: Tensor) -> Tensor:
        rising = np.asarray(log_snr.detach().cpu(), dtype=float).ravel()
        knots = self._curves.log_snr.x
        values = self._curves.log_snr(knots)
        low = knots[np.clip(np.searchsorted(-values, -rising, side="right") - 1, 0, len(knots) - 2)]
        high = knots[np.clip(np.searchsorted(-values, -rising, side="right"), 1, len(knots) - 1)]
        for _ in range(60):
            middle = 0.5 * (low + high)
            above = self._curves.log_snr(middle) > rising
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return torch.from_numpy(0.5 * (low + high)).reshape(log_snr.shape).to(log_snr.device)

    @cached_property
    def _curves(self) -> "_Curves":
        t, alpha, sigma = (np.array(part) for part in (self.times, self.alphas, self.sigmas))
        return _Curves.through(t, 2 * np.log(alpha / sigma), 0.5 * np.log(alpha**2 + sigma**2))

    def _moments(self, t: Tensor) -> tuple[Tensor, ...]:
        time = np.asarray(t.detach().cpu(), dtype=float)
        c = self._curves
        log_snr, slope, log_norm, bend = (
            torch.from_numpy(np.asarray(curve(time))).to(t.device)
            for curve in (c.log_snr, c.log_snr_dot, c.log_norm, c.log_norm_dot)
        )
        norm, signal, noise = log_norm.exp(), torch.sigmoid(log_snr), torch.sigmoid(-log_snr)
        alpha, sigma = norm * signal.sqrt(), norm * noise.sqrt()
        return alpha, sigma, alpha * (bend + 0.5 * slope * noise), sigma * (bend - 0.5 * slope * signal), log_snr


@dataclass(frozen=True)
class _Curves:
    """ℓ(t), ln n(t) and their derivatives."""

    log_snr: "PPoly"
    log_snr_dot: "PPoly"
    log_norm: "PPoly"
    log_norm_dot: "PPoly"

    @classmethod
    def through(cls, t: np.ndarray, log_snr: np.ndarray, log_norm: np.ndarray) -> "_Curves":
        from scipy.interpolate import PchipInterpolator  # half a second, which other schedules do not wait for

        first, second = PchipInterpolator(t, log_snr), PchipInterpolator(t, log_norm)
        return cls(first, first.derivative(), second, second.derivative())
