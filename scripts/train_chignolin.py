"""Train the bundled model of chignolin's biased ensemble on its simulated frames, and measure it.

    loss = E |v̂(x_t, t) − v|²,    x_t = α x_0 + σ ε,    v = α ε − σ x_0

(denoising on the zero-centroid subspace; Salimans & Ho, ICLR 2022), first uniform in the log-SNR, then in larger
batches two thirds of which lie where structures decide for a basin and for a hand; each with a cosine decay of the
learning rate and an exponential moving average of the weights. After scripts/simulate_chignolin.py, run

    python scripts/train_chignolin.py
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
from leastwork.models.equivariant import EquivariantPerceptron
from leastwork.schedules import describe_schedule
from leastwork.systems import chignolin

FOLDER = Path("src/leastwork/models/bundled_weights/chignolin")
FRAMES = Path("runs/chignolin/biased.pt")
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
        parts = [
            low + (high - low) * (torch.arange(n) + torch.rand(n, generator=generator)) / n
            for n, (_, low, high) in zip(counts, self.ranges, strict=True)
        ]
        return torch.cat(parts)


STAGES = (
    Stage(50_000, 512, 2e-3, 0.999, ((1.0, -8.0, 9.2),)),
    Stage(14_000, 1024, 7e-4, 0.9995, ((0.65, -4.0, 3.0), (0.35, -7.0, 9.2))),
)


def train(pool: Tensor, width: int, depth: int, stages: tuple[Stage, ...], seed: int) -> EquivariantPerceptron:
    """The averaged network of the last stage; pool: samples in network units, (n, N, 3)."""

    def first() -> EquivariantPerceptron:
        net = EquivariantPerceptron(pool.shape[1], describe_schedule(SCHEDULE), width=width, depth=depth)
        net.invariants.standardise(pool.flatten(1))
        return net

    net = improved(first, pool, stages[0], seed)
    for number, stage in enumerate(stages[1:], 1):
        net = improved(net.requires_grad_, pool, stage, seed + number)
    return net


def improved(
    build: Callable[[], EquivariantPerceptron], pool: Tensor, stage: Stage, seed: int
) -> EquivariantPerceptron:
    generator = torch.Generator().manual_seed(seed)
    began = time.perf_counter()
    done: list[float] = []

    def loss(net: EquivariantPerceptron) -> Tensor:
        x0 = pool[torch.randint(len(pool), (stage.batch,), generator=generator)]
        t = SCHEDULE.time_of(stage.log_snr(generator).double()).float()
        alpha, sigma = SCHEDULE.alpha(t)[:, None, None], SCHEDULE.sigma(t)[:, None, None]
        noise = lw.ZeroCentre().project(torch.randn(x0.shape, generator=generator))
        value = (net(alpha * x0 + sigma * noise, t) - (alpha * noise - sigma * x0)).square().mean()
        done.append(float(value.detach()))
        if len(done) % 1000 == 0:
            mean = sum(done[-1000:]) / 1000
            print(f"{len(done):>7} iterations, loss {mean:.5f}, {time.perf_counter() - began:.0f} s", flush=True)
        return value

    return averaged_network(build, loss, stage.iterations, stage.rate, stage.averaging, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--share", type=float, default=1.0, help="of the iterations, for a trial")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    frames = torch.load(FRAMES, weights_only=True)
    scale = round(float(frames.square().sum(dim=2).mean().div(3).sqrt()), 4)
    stages = tuple(replace(stage, iterations=round(arguments.share * stage.iterations)) for stage in STAGES)
    net = train(frames / scale, arguments.width, arguments.depth, stages, arguments.seed)
    model = lw.DiffusionModel(net, SCHEDULE, predicts="v", event_shape=(10, 3), subspace=lw.ZeroCentre(), scale=scale)
    lw.save_model(model, arguments.folder)
    print(f"{sum(p.numel() for p in net.parameters())} parameters, scale {scale} nm")
    drawn = lw.sample(model, 10_000, steps=200, t_grid="log-snr", seed=1).x
    assert isinstance(drawn, Tensor)
    for name, x in (("model", drawn), ("simulation", frames)):
        print(f"{name}: folded {lw.Estimate.from_samples(chignolin.folded()(x)[:, 0].double())}")


if __name__ == "__main__":
    main()
