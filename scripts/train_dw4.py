"""Train the model of DW-4 at T = 2 that benchmarks.peers.dw4 anneals, and compare it with its Markov chains.

    loss = E |v̂(x_t, t) − (α ε − σ x_0)|²,    x_t = α x_0 + σ ε

Times are stratified, more of them at little noise, and every batch is turned, mirrored and its particles exchanged at
random. From the repository's root, about five minutes on one core:

    PYTHONPATH=. python scripts/train_dw4.py
"""

import argparse
import time
from pathlib import Path

import torch
from benchmarks.peers.double_well import DIM, chains, distances, energy, moved
from torch import Tensor
from training import averaged_network

import leastwork as lw
from leastwork.networks.perceptron import Perceptron
from leastwork.statistics.discrepancy import wasserstein

FOLDER = Path("benchmarks/peers/dw4_model")
SCHEDULE = lw.VPSchedule()
TEMPERATURE, SCALE = 2.0, 2.1  # SCALE is the standard deviation of a coordinate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--chains", type=int, default=16_384)
    parser.add_argument("--sweeps", type=int, default=400)
    parser.add_argument("--chains", type=int, default=8192)
    parser.add_argument("--sweeps", type=int, default=400)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    begin = time.process_time()
    seen = chains(given.chains, TEMPERATURE, given.sweeps, seed=given.seed)
    print("autocorrelation times", seen.autocorrelation_times(), "drift", seen.drift(), flush=True)
    pool, random = seen.kept.flatten(0, 1), torch.Generator().manual_seed(given.seed)

    def loss(net: Perceptron) -> Tensor:
        some = pool[torch.randint(len(pool), (given.batch,), generator=random)]
        x0 = (moved(some, random) / SCALE).float()
        u = (torch.arange(given.batch) + torch.rand(given.batch, generator=random)) / given.batch
        t = SCHEDULE.t_min + (SCHEDULE.t_max - SCHEDULE.t_min) * u**2
        alpha, sigma = SCHEDULE.alpha(t)[:, None], SCHEDULE.sigma(t)[:, None]
        noise = torch.randn(given.batch, DIM, generator=random)
        return (net(alpha * x0 + sigma * noise, t) - (alpha * noise - sigma * x0)).square().mean()

    net = averaged_network(lambda: Perceptron(DIM, width=given.width, depth=given.depth), loss, given.iterations,
                           given.rate, 0.999, given.seed)  # fmt: skip
    model = lw.DiffusionModel(net, SCHEDULE, predicts="v", event_shape=(DIM,), scale=SCALE)
    lw.save_model(model, given.folder)
    print(f"{sum(p.numel() for p in net.parameters())} parameters, {time.process_time() - begin:.0f} CPU s")
    drawn = lw.sample(model, 16_384, solver="exponential", t_grid="balanced", steps=200, seed=1).x
    assert isinstance(drawn, Tensor)
    drawn, half = drawn.double(), seen.kept[0]
    for name, of in (("E", lambda x: energy(x)[:, None]), ("distances", lambda x: distances(x).reshape(-1, 1))):
        found, floor = wasserstein(of(drawn), of(seen.x)), wasserstein(of(half), of(seen.x))
        print(f"W1 of {name}: {float(found[0]):.4f}, of the chains at another sweep {float(floor[0]):.4f}")
    print(f"mean E {lw.Estimate.from_samples(energy(drawn))}, chains {lw.Estimate.from_samples(energy(seen.x))}")


if __name__ == "__main__":
    main()
