"""Denoising training of a model of structures, equivariant and centred, in stages.

    loss = E |v̂(x_t, t) − v|²,    x_t = α x_0 + σ ε,    v = α ε − σ x_0

(denoising on the zero-centroid subspace; Salimans & Ho, ICLR 2022), with a cosine decay of the learning rate and an
exponential moving average of the weights in each stage.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from training import averaged_network

import leastwork as lw
from leastwork.networks.equivariant import EquivariantPerceptron
from leastwork.schedules.files import describe_schedule

SCHEDULE = lw.VPSchedule(0.1, 20.0)


@dataclass(frozen=True)
class Stage:
    """Iterations of so many noised frames; shares of them uniform in ranges of the log-SNR."""

    iterations: int
    batch: int
    rate: float
    averaging: float
    ranges: tuple[tuple[float, float, float], ...]
    """share, from, to"""

    def log_snr(self, generator: torch.Generator) -> Tensor:
        counts = [round(share * self.batch) for share, _, _ in self.ranges[:-1]]
        counts.append(self.batch - sum(counts))
        device = generator.device
        parts = [
            low
            + (high - low) * (torch.arange(n, device=device) + torch.rand(n, generator=generator, device=device)) / n
            for n, (_, low, high) in zip(counts, self.ranges, strict=True)
        ]
        return torch.cat(parts)


def train(
    pool: Tensor, width: int, depth: int, stages: tuple[Stage, ...], seed: int, device: str = "cpu"
) -> EquivariantPerceptron:
    """The averaged network of the last stage; pool: samples in network units, (n, N, 3)."""

    def first() -> EquivariantPerceptron:
        net = EquivariantPerceptron(pool.shape[1], describe_schedule(SCHEDULE), width=width, depth=depth)
        net.invariants.standardise(pool.flatten(1))
        return net.limited(pool)

    net = improved(first, pool, stages[0], seed, device)
    for number, stage in enumerate(stages[1:], 1):
        net = improved(net.requires_grad_, pool, stage, seed + number, device)
    return net


def improved(
    build: Callable[[], EquivariantPerceptron], pool: Tensor, stage: Stage, seed: int, device: str
) -> EquivariantPerceptron:
    generator = torch.Generator(device).manual_seed(seed)
    pool = pool.to(device)
    began = time.perf_counter()
    total = torch.zeros((), dtype=torch.float64, device=device)

    def told(iterations: int, value: Tensor) -> None:
        total.add_(value)
        if iterations % 1000 == 0:
            took = time.perf_counter() - began
            print(f"{iterations:>7} iterations, loss {float(total) / 1000:.5f}, {took:.0f} s", flush=True)
            total.zero_()

    def loss(net: EquivariantPerceptron) -> Tensor:
        return batch_loss(net, pool, stage, generator).mean()

    return averaged_network(
        build, loss, stage.iterations, stage.rate, stage.averaging, seed, device, random=generator, told=told
    )


def batch_loss(net: EquivariantPerceptron, pool: Tensor, stage: Stage, generator: torch.Generator) -> Tensor:
    """|v̂ − v|² a coordinate, of one batch, (B,)."""
    device = generator.device
    x0 = pool[torch.randint(len(pool), (stage.batch,), generator=generator, device=device)]
    t = SCHEDULE.time_of(stage.log_snr(generator).double()).float()
    alpha, sigma = SCHEDULE.alpha(t)[:, None, None], SCHEDULE.sigma(t)[:, None, None]
    noise = lw.ZeroCentre().project(torch.randn(x0.shape, generator=generator, device=device))
    assert isinstance(noise, Tensor)
    return (net(alpha * x0 + sigma * noise, t) - (alpha * noise - sigma * x0)).square().mean(dim=(1, 2))


@torch.no_grad()
def denoising_loss(
    model: lw.DiffusionModel, frames: Tensor, stage: Stage, seed: int, batches: int = 100
) -> lw.Estimate:
    """The loss of a stage on other frames, nm, with its standard error."""
    assert isinstance(model.net, EquivariantPerceptron)
    generator = torch.Generator().manual_seed(seed)
    pool = frames / model.scale
    each = [batch_loss(model.net, pool, stage, generator) for _ in range(batches)]
    return lw.Estimate.from_samples(torch.cat(each).double())


def arguments(about: str, folder: Path, width: int = 256) -> argparse.Namespace:
    """The command line of a training script; folder: where its model is bundled; width: of its network."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=folder)
    parser.add_argument("--width", type=int, default=width)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--share", type=float, default=1.0, help="of the iterations, for a trial")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help='"cuda" where there is one')
    return parser.parse_args()


def trained(frames: Tensor, stages: tuple[Stage, ...], given: argparse.Namespace) -> lw.DiffusionModel:
    """The model of centred frames (n, N, 3), nm, trained and saved; its unit is their root mean square coordinate."""
    scale = round(float(frames.square().sum(dim=2).mean().div(3).sqrt()), 4)
    stages = tuple(replace(stage, iterations=round(given.share * stage.iterations)) for stage in stages)
    net = train(frames / scale, given.width, given.depth, stages, given.seed, given.device)
    shape = tuple(frames.shape[1:])
    model = lw.DiffusionModel(net, SCHEDULE, predicts="v", event_shape=shape, subspace=lw.ZeroCentre(), scale=scale)
    lw.save_model(model, given.folder)
    print(f"{sum(p.numel() for p in net.parameters())} parameters, scale {scale} nm")
    return model
