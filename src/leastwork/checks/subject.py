"""The subject of the checks: a model, perhaps data, and the states and times at which the model is evaluated."""

from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from leastwork.errors import ConfigError
from leastwork.geometry.state import State, batch_size, leaves, smap, take
from leastwork.geometry.torus import wrap
from leastwork.models.base import is_periodic
from leastwork.models.context import arguments
from leastwork.models.contract import asked
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.frames import FrameModel
from leastwork.models.mask import padded, unpadded
from leastwork.models.placement import placement
from leastwork.models.velocity import VelocityModel
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.process import Process
from leastwork.support.random import derive_seed

__all__ = ["Examined", "Subject", "flat", "relative"]

Examined: TypeAlias = DiffusionModel | FrameModel | VelocityModel


@dataclass(frozen=True)
class Subject:
    """A model and, if there are any, some samples of its data, in network units and on its subspace.

    Args:
        model: the model that is examined.
        data: samples (n, *event), network units, on the device and in the precision of the network; or None.
        seed: seed of the noise.
        size: number of states in a batch.
    """

    model: Examined
    data: State | None
    seed: int = 0
    size: int = 256

    @classmethod
    def of(cls, model: Examined, data: State | None, seed: int, size: int) -> "Subject":
        """Take ``size`` evenly spaced samples of the data, on the device and in the precision of the network.

        Raises:
            ConfigError: there are too few data, or they are not finite.
        """
        if data is None:
            return cls(model, None, seed, size)
        n = batch_size(data)
        if n < 16:
            raise ConfigError(f"data holds {n} samples: give at least 16, better some hundred")
        if not all(bool(torch.isfinite(leaf).all()) for leaf in leaves(data)):
            raise ConfigError("data holds values that are not finite: leave those samples out")
        device, dtype = placement(model)
        few = take(data, torch.arange(min(n, size)) * n // min(n, size))
        z = model.to_network_units(smap(lambda leaf: leaf.to(device, dtype), few))
        return cls(model, Process(model, 0.0).project(z), seed, size)

    def noise(self, purpose: str, n: int | None = None) -> State:
        """Standard normal noise on the model's subspace, (n, *event); for a model of frames, draws of its prior."""
        device, dtype = placement(self.model)
        seed, count = derive_seed(self.seed, purpose), self.size if n is None else n
        draw = BlockNoise(seed, 0, count, self.model.noise_shape, dtype, device).draw()
        if isinstance(self.model, FrameModel):
            return self.model.from_noise(draw)
        return Process(self.model, 0.0).project(draw)

    @property
    def interval(self) -> tuple[float, float]:
        """[t_min, t_max]."""
        return Process(self.model, 0.0).interval

    def at(self, share: float) -> float:
        """The time at a fraction ``share`` of the interval."""
        low, high = self.interval
        return low + share * (high - low)

    def ask(self, x: State, t: float) -> State:
        """The network's own output at the model's states, neither projected nor converted."""
        return unpadded(self.call(padded(x, self.model.mask), t), self.model.mask)

    def call(self, x: State, t: float) -> State:
        """The network's own output at states that have their padding."""
        first, x = leaves(x)[0], smap(wrap, x) if is_periodic(self.model) else x
        time = torch.tensor(t, dtype=first.dtype, device=first.device)
        return asked(self.model.net, x, time, arguments(self.model.context, first))

    def answer(self, x: State, t: float) -> State:
        """The denoiser D, or the velocity u."""
        model = self.model
        return model.velocity(x, t) if isinstance(model, VelocityModel) else model.denoise(x, t)

    @property
    def variance(self) -> float:
        """Variance of a coordinate of the data, averaged over coordinates and leaves, network units; 1 without data.

        For frames only positions count.
        """
        if self.data is None:
            return 1.0
        parts = [
            leaf.double().var(dim=0).flatten()
            for leaf in leaves(self.data)[: 1 if isinstance(self.model, FrameModel) else None]
        ]
        return max(float(torch.cat(parts).mean()), 1e-12)


def relative(difference: State, reference: State) -> float:
    """|a| / |b| over all samples and leaves."""
    a, b = (
        float(torch.cat([leaf.double().flatten() for leaf in leaves(state)]).norm())
        for state in (difference, reference)
    )
    return a / max(b, 1e-300)


def flat(state: State) -> Tensor:
    """All coordinates, float64, (B, d)."""
    return torch.cat([leaf.double().flatten(1) for leaf in leaves(state)], dim=1)
