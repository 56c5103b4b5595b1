"""Train the bundled model of the biased Prinz density on exact samples, and measure it.

    loss = E |v̂(x_t, t) − v|²,    x_t = α x_0 + σ ε,    v = α ε − σ x_0

(denoising, Salimans & Ho, ICLR 2022), with times and data stratified over each batch, a cosine decay of the learning
rate and an exponential moving average of the weights. Run from the repository's root:

    python scripts/train_prinz.py
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from training import averaged_network

from leastwork.models.diffusion import DiffusionModel
from leastwork.models.files import save_model
from leastwork.networks.perceptron import Perceptron
from leastwork.sampling.grids import time_grid
from leastwork.sampling.process import Process
from leastwork.sampling.solvers import as_solver
from leastwork.schedules.gaussian import VPSchedule
from leastwork.systems.line import LineDensity, kl_histogram
from leastwork.systems.prinz import position, prinz_biased

FOLDER = Path("src/leastwork/models/bundled_weights/prinz")
SCHEDULE = VPSchedule(0.1, 20.0)


def train(
    density: LineDensity,  # of network units
    width: int,
    depth: int,
    iterations: int,
    batch: int,
    rate: float,
    averaging: float,
    seed: int,
) -> Perceptron:
    """The averaged network after ``iterations`` batches."""
    generator = torch.Generator().manual_seed(seed)
    pool = density.sample(1 << 20, generator).float()

    def loss(net: Perceptron) -> Tensor:
        x, t, v = _noised(pool[torch.randint(len(pool), (batch,), generator=generator)], generator)
        return (net(x, t) - v).square().mean()

    return averaged_network(lambda: Perceptron(1, width=width, depth=depth), loss, iterations, rate, averaging, seed)


def _noised(x0: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """x_t at stratified times, (B, 1); the times, (B,); and v, (B, 1)."""
    n = len(x0)
    u = (torch.arange(n) + torch.rand(n, generator=generator)) / n
    # half of the times in the last eighth, where the wells take shape
    t = SCHEDULE.t_min + (SCHEDULE.t_max - SCHEDULE.t_min) * u**3
    alpha, sigma = SCHEDULE.alpha(t)[:, None], SCHEDULE.sigma(t)[:, None]
    noise = torch.randn(n, 1, generator=generator)
    return alpha * x0 + sigma * noise, t, alpha * noise - sigma * x0


def sample(model: DiffusionModel, n: int, steps: int, seed: int) -> Tensor:
    """Draws of the model by Euler–Maruyama's rule on uniform times, κ = 1: (n, 1), data units."""
    process = Process(model)
    table = as_solver("euler").steps(process, time_grid(process, steps))
    generator = torch.Generator().manual_seed(seed)
    x = process.prior(torch.randn(n, 1, generator=generator))
    with torch.no_grad():
        for t, a, b, c in zip(*(k.tolist() for k in (table.times, table.a, table.b, table.c)), strict=False):
            x = a * x + b * model.denoise(x, t) + c * torch.randn(n, 1, generator=generator)
        return model.to_data_units(model.denoise(x, float(table.times[-1])))  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--scale", type=float, default=0.5, help="one network unit in data units")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--averaging", type=float, default=0.999)
    parser.add_argument("--seed", type=int, default=0)
    arguments = vars(parser.parse_args())
    folder, scale = arguments.pop("folder"), arguments.pop("scale")
    density = prinz_biased()
    scaled = density.rescaled(scale)
    start = time.perf_counter()
    net = train(scaled, **arguments)
    seconds = time.perf_counter() - start
    model = DiffusionModel(net, SCHEDULE, predicts="v", event_shape=(1,), scale=scale)
    exact = replace(scaled.model(SCHEDULE), scale=scale)
    x = sample(model, 200_000, steps=200, seed=1)
    print(f"{sum(p.numel() for p in net.parameters())} parameters, trained in {seconds:.0f} s")
    print(f"KL(density ‖ model) = {kl_histogram(x, density):.5f}")
    ceiling = kl_histogram(sample(exact, 200_000, steps=200, seed=1), density)
    print(f"KL(density ‖ exact score, same steps) = {ceiling:.5f}")
    print(f"E[x] = {position(x).mean():.4f}, exact {density.mean(position):.4f}")
    save_model(model, folder)


if __name__ == "__main__":
    main()
