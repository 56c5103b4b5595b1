"""Train the bundled model of handwritten digits on a share of them in which 3 and 8 are five times too rare.

    loss = E |v̂(x_t, t) − (α ε − σ x_0)|²,    x_t = α x_0 + σ ε

with times stratified in the log-SNR and pixels spread evenly over the sixteenth that they were rounded to. Needs the
extra `digits`. Run from the repository's root:

    python scripts/train_digits.py
"""

import argparse
import sys
import time
from pathlib import Path

import torch
from torch import Tensor
from training import averaged_network

import leastwork as lw
from leastwork.networks.perceptron import Perceptron

sys.path.append(str(Path(__file__).parents[1] / "examples"))

from digits_data import PIXELS, biased, split

FOLDER = Path("src/leastwork/models/bundled_weights/digits")
SCALE = 0.375  # standard deviation of a pixel
CENTRE, SPREAD = 0.0, 2.5  # of the log-SNR at which the network learns
SCHEDULE = lw.VPSchedule()


def noised(x0: Tensor, n: int, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """x_t (n, 64), times (n,), and α ε − σ x_0."""
    some = x0[torch.randint(len(x0), (n,), generator=random)]
    some = some + (torch.rand(n, PIXELS, generator=random) - 0.5) / (16 * SCALE)
    place = (torch.arange(n) + torch.rand(n, generator=random, dtype=torch.float64)) / n
    log_snr = CENTRE + SPREAD * torch.special.ndtri(place.clamp(1e-4, 1 - 1e-4))
    low, high = SCHEDULE.log_snr(torch.tensor([SCHEDULE.t_max, SCHEDULE.t_min], dtype=torch.float64)).tolist()
    times = SCHEDULE.time_of(log_snr.clamp(low, high))
    alpha, sigma = (a.float()[:, None] for a in (SCHEDULE.alpha(times), SCHEDULE.sigma(times)))
    noise = torch.randn(n, PIXELS, generator=random)
    return alpha * some + sigma * noise, times.float(), alpha * noise - sigma * some


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--averaging", type=float, default=0.999)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    images, held_out = split()
    seen = biased(images)
    shift = seen.x.mean(dim=0)
    random = torch.Generator().manual_seed(given.seed)
    x0, other = (seen.x - shift) / SCALE, (held_out.x - shift) / SCALE
    steps = 0

    @torch.no_grad()
    def error(net: Perceptron, x: Tensor) -> float:
        x_t, t, v = noised(x, 8192, torch.Generator().manual_seed(1))
        return float((net(x_t, t) - v).square().mean())

    def loss(net: Perceptron) -> Tensor:
        nonlocal steps
        if steps % 1000 == 0:
            print(f"{steps}: {error(net, x0):.4f} seen, {error(net, other):.4f} held out", flush=True)
        steps += 1
        x_t, t, v = noised(x0, given.batch, random)
        return (net(x_t, t) - v).square().mean()

    begin = time.perf_counter()
    net = averaged_network(
        lambda: Perceptron(PIXELS, width=given.width, depth=given.depth, time_features=4),
        loss,
        given.iterations,
        given.rate,
        given.averaging,
        given.seed,
    )
    model = lw.DiffusionModel(net, SCHEDULE, predicts="v", event_shape=(PIXELS,), shift=shift, scale=SCALE)
    lw.save_model(model, given.folder)
    print(f"{sum(p.numel() for p in net.parameters())} parameters, trained in {time.perf_counter() - begin:.0f} s")
    print(f"mean square of what it misses: {error(net, x0):.4f} of the images seen, {error(net, other):.4f} held out")


if __name__ == "__main__":
    main()
