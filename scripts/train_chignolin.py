"""Train the bundled model of chignolin's biased ensemble on its simulated frames, and measure it.

    loss = E |v̂(x_t, t) − v|²,    x_t = α x_0 + σ ε,    v = α ε − σ x_0

(denoising on the zero-centroid subspace; Salimans & Ho, ICLR 2022), uniform in the log-SNR, with a cosine decay of the
learning rate and an exponential moving average of the weights. After scripts/simulate_chignolin.py, run

    python scripts/train_chignolin.py
"""

import argparse
import time
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
RANGE = (-8.0, 9.2)  # of the log-SNR


def train(pool: Tensor, width: int, depth: int, iterations: int, batch: int, rate: float, seed: int):
    """The averaged network; pool: samples in network units, (n, N, 3)."""
    generator = torch.Generator().manual_seed(seed)
    began = time.perf_counter()
    done: list[float] = []

    def build() -> EquivariantPerceptron:
        net = EquivariantPerceptron(pool.shape[1], describe_schedule(SCHEDULE), width=width, depth=depth)
        net.invariants.standardise(pool.flatten(1))
        return net

    def loss(net: EquivariantPerceptron) -> Tensor:
        x0 = pool[torch.randint(len(pool), (batch,), generator=generator)]
        u = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
        t = SCHEDULE.time_of(RANGE[0] + (RANGE[1] - RANGE[0]) * u.double()).float()
        alpha, sigma = SCHEDULE.alpha(t)[:, None, None], SCHEDULE.sigma(t)[:, None, None]
        noise = lw.ZeroCentre().project(torch.randn(x0.shape, generator=generator))
        value = (net(alpha * x0 + sigma * noise, t) - (alpha * noise - sigma * x0)).square().mean()
        done.append(float(value.detach()))
        if len(done) % 1000 == 0:
            mean = sum(done[-1000:]) / 1000
            print(f"{len(done):>7} iterations, loss {mean:.5f}, {time.perf_counter() - began:.0f} s", flush=True)
        return value

    return averaged_network(build, loss, iterations, rate, 0.999, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=36_000)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = vars(parser.parse_args())
    folder = arguments.pop("folder")
    frames = torch.load(FRAMES, weights_only=True)
    scale = round(float(frames.square().sum(dim=2).mean().div(3).sqrt()), 4)
    net = train(frames / scale, **arguments)
    model = lw.DiffusionModel(net, SCHEDULE, predicts="v", event_shape=(10, 3), subspace=lw.ZeroCentre(), scale=scale)
    lw.save_model(model, folder)
    print(f"{sum(p.numel() for p in net.parameters())} parameters, scale {scale} nm")
    drawn = lw.sample(model, 10_000, steps=200, t_grid="log-snr", seed=1, batch_size=8192).x
    assert isinstance(drawn, Tensor)
    for name, x in (("model", drawn), ("simulation", frames)):
        print(f"{name}: folded {lw.Estimate.from_samples(chignolin.folded()(x)[:, 0].double())}")


if __name__ == "__main__":
    main()
