"""Train the bundled model of the Müller–Brown density on exact samples, and measure it.

    loss = E |v̂(x_t, t) − v|²,    x_t = α x_0 + σ ε,    v = α ε − σ x_0

(denoising, Salimans & Ho, ICLR 2022), with times stratified over each batch, a cosine decay of the learning rate and an
exponential moving average of the weights. Run from the repository's root:

    python scripts/train_muller_brown.py
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor
from training import averaged_network

import leastwork as lw
from leastwork.kernels.region import Ball
from leastwork.networks.perceptron import Perceptron
from leastwork.systems.muller_brown import SADDLE, muller_brown

FOLDER = Path("src/leastwork/models/bundled_weights/muller-brown")
SCHEDULE = lw.VPSchedule(0.1, 20.0)
CENTRE = torch.tensor([-0.4, 1.1])
SCALE = 0.5


def train(pool: Tensor, width: int, depth: int, iterations: int, batch: int, rate: float, seed: int) -> Perceptron:
    """The averaged network after ``iterations`` batches; pool: samples in network units, (n, 2)."""
    generator = torch.Generator().manual_seed(seed)

    def loss(net: Perceptron) -> Tensor:
        x0 = pool[torch.randint(len(pool), (batch,), generator=generator)]
        u = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
        t = SCHEDULE.t_min + (SCHEDULE.t_max - SCHEDULE.t_min) * u**2  # more of them where the wells take shape
        alpha, sigma = SCHEDULE.alpha(t)[:, None], SCHEDULE.sigma(t)[:, None]
        noise = torch.randn(batch, 2, generator=generator)
        return (net(alpha * x0 + sigma * noise, t) - (alpha * noise - sigma * x0)).square().mean()

    return averaged_network(lambda: Perceptron(2, width=width, depth=depth), loss, iterations, rate, 0.999, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = vars(parser.parse_args())
    folder = arguments.pop("folder")
    density = muller_brown(2000)
    pool = ((density.sample(1 << 20, torch.Generator().manual_seed(1)).float() - CENTRE) / SCALE).contiguous()
    start = time.perf_counter()
    net = train(pool, **arguments)
    seconds = time.perf_counter() - start
    model = lw.DiffusionModel(net, SCHEDULE, predicts="v", event_shape=(2,), shift=CENTRE, scale=SCALE)
    lw.save_model(model, folder)
    print(f"{sum(p.numel() for p in net.parameters())} parameters, trained in {seconds:.0f} s")
    drawn = lw.sample(model, 200_000, solver="euler", steps=200, seed=1, batch_size=16_384).x
    for name, region in (("deep well", lambda x: x[:, 1] > 0.75), ("saddle", Ball(SADDLE, 0.1))):
        print(f"{name}: {lw.Estimate.from_samples(region(drawn).double())}, exact {density.probability(region):.5f}")


if __name__ == "__main__":
    main()
