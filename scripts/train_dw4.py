"""Train the model of DW-4 at T = 2 that benchmarks.peers.dw4 anneals, and compare it with its Markov chains.

    loss = E |v̂(x_t, t) − (ε* − σ x_t)/α|²        x_t = α x_0 + σ ε        ε* = (1 − w) ε − w (σ/α) ∇ ln p(x_0)

Both ε and −(σ/α) ∇ ln p(x_0) have the mean −σ ∇ ln p_t given x_t; the second, whose ∇ ln p = −∇E/T the double wells
give, has far less noise where there is little in x_t (De Bortoli et al., Target Score Matching, arXiv:2402.08667). w
weights the two by their variances. The log-SNR is uniform and stratified. From the repository's root, about ten minutes
on one core:

    PYTHONPATH=. python scripts/train_dw4.py
"""

import argparse
import time
from pathlib import Path

import torch
from benchmarks.peers.double_well import DIM, chains, distances, energy
from benchmarks.peers.dw4_network import PairNetwork
from torch import Tensor
from training import averaged_network

import leastwork as lw
from leastwork.statistics.discrepancy import wasserstein

FOLDER = Path("benchmarks/peers/dw4_model")
SCHEDULE = lw.VPSchedule()
TEMPERATURE, SCALE = 2.0, 2.1  # SCALE is the standard deviation of a coordinate
FEW = 0.1  # share of the batch at more noise than a log-SNR of −5, where there is little to learn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--chains", type=int, default=16_384)
    parser.add_argument("--sweeps", type=int, default=400)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    begin = time.process_time()
    seen = chains(given.chains, TEMPERATURE, given.sweeps, seed=given.seed)
    print("autocorrelation times", seen.autocorrelation_times(), "drift", seen.drift(), flush=True)
    pool, random = seen.kept.flatten(0, 1), torch.Generator().manual_seed(given.seed)
    scores = torch.cat([score(part) for part in pool.split(50_000)])
    pool = (pool / SCALE).float()
    fisher = float(scores.square().mean())  # ∫ p (∂ ln p)², one coordinate, network units

    def loss(net: PairNetwork) -> Tensor:
        some = torch.randint(len(pool), (given.batch,), generator=random)
        x0, score0 = pool[some], scores[some]
        u = (torch.arange(given.batch) + torch.rand(given.batch, generator=random)) / given.batch
        low, high = (float(SCHEDULE.log_snr(torch.tensor(t).double())) for t in (SCHEDULE.t_max, SCHEDULE.t_min))
        log_snr = torch.where(u < FEW, low + (-5 - low) * u / FEW, -5 + (high + 5) * (u - FEW) / (1 - FEW))
        t = SCHEDULE.time_of(log_snr.double())
        alpha, sigma = SCHEDULE.alpha(t)[:, None].float(), SCHEDULE.sigma(t)[:, None].float()
        noise = torch.randn(given.batch, DIM, generator=random)
        x = alpha * x0 + sigma * noise
        away = (sigma / alpha).square() * fisher
        w = alpha.square() / (alpha.square() + away.square() / (1 + away))
        both = (1 - w) * noise - w * (sigma / alpha) * score0
        return (net(x, t) - (both - sigma * x) / alpha).square().mean()

    net = averaged_network(
        lambda: PairNetwork(given.width, given.depth).standardise(pool), loss, given.iterations, given.rate, 0.999,
        given.seed, told=lambda i, value: print(i, f"{float(value):.4f}", flush=True) if i % 1000 == 0 else None,
    )  # fmt: skip
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
    edges = torch.linspace(0, 12, 13, dtype=torch.float64)
    for name, x in (("model", drawn), ("chains", seen.x)):
        share = torch.histogram(distances(x).flatten(), edges, density=True).hist
        print(f"density of distances, {name}:", " ".join(f"{v:.4f}" for v in share))


def score(x: Tensor) -> Tensor:
    """∇ ln p of states (n, 6) in network units, float32."""
    at = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(energy(at).sum(), at)
    return (-SCALE / TEMPERATURE * slope).float()


if __name__ == "__main__":
    main()
