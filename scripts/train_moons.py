"""Train the bundled models of the two moons by flow matching on exact samples, and measure them.

    loss = E |û(x_t, t) − (ε − x_0)|²,    x_t = (1 − t) x_0 + t ε

(Lipman et al., ICLR 2023), with times stratified over each batch, a cosine decay of the learning rate and an
exponential moving average of the weights. The same weights are saved twice: as a diffusion model on the straight path
(`moons`), and as a flow of which nothing but the velocity is known (`moons-cnf`). Run from the repository's root:

    python scripts/train_moons.py
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor
from training import averaged_network

import leastwork as lw
from leastwork.networks.perceptron import Perceptron
from leastwork.sampling.flow_density import log_prob
from leastwork.systems.moons import Moons

FOLDER = Path("src/leastwork/models/bundled_weights")


def train(
    moons: Moons, width: int, depth: int, iterations: int, batch: int, rate: float, averaging: float, seed: int
) -> Perceptron:
    """The averaged network after ``iterations`` batches."""
    generator = torch.Generator().manual_seed(seed)
    pool = moons.sample(1 << 20, generator).float()

    def loss(net: Perceptron) -> Tensor:
        x, t, u = _path(pool[torch.randint(len(pool), (batch,), generator=generator)], generator)
        return (net(x, t) - u).square().mean()

    def build() -> Perceptron:
        return Perceptron(2, width=width, depth=depth, time_features=1)  # slow features only: a smooth velocity

    return averaged_network(build, loss, iterations, rate, averaging, seed)


def _path(x0: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """x_t at stratified times, (B, 2); the times, (B,); and ε − x_0, (B, 2)."""
    n = len(x0)
    t = (torch.arange(n) + torch.rand(n, generator=generator)) / n
    noise = torch.randn(n, 2, generator=generator)
    return (1 - t)[:, None] * x0 + t[:, None] * noise, t, noise - x0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=12_000)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--averaging", type=float, default=0.999)
    parser.add_argument("--seed", type=int, default=0)
    arguments = vars(parser.parse_args())
    folder = arguments.pop("folder")
    moons = Moons()
    start = time.perf_counter()
    net = train(moons, **arguments)
    seconds = time.perf_counter() - start
    flow = lw.VelocityModel(net, event_shape=(2,))
    lw.save_model(lw.DiffusionModel(net, lw.LinearSchedule(), predicts="velocity", event_shape=(2,)), folder / "moons")
    lw.save_model(flow, folder / "moons-cnf")
    print(f"{sum(p.numel() for p in net.parameters())} parameters, trained in {seconds:.0f} s")
    x = moons.sample(5_000, torch.Generator().manual_seed(1))
    ratio = moons.log_prob(x) - log_prob(flow, x.float(), steps=50)
    print(f"KL(density ‖ flow) = {lw.Estimate.from_samples(ratio)}")
    drawn = lw.sample(flow, 50_000, process="ode", solver="heun", steps=50, seed=1).x
    print(f"upper moon: {lw.Estimate.from_samples(moons.is_upper(drawn))}, exact {moons.upper}")


if __name__ == "__main__":
    main()
