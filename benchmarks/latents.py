"""What guidance adds to the memory of sampling a large latent model: `python -m benchmarks.latents`.

A transformer of 50 million random weights on latents of 4 × 64 × 64, and a convolutional decoder to images of
3 × 512 × 512. The observable is the brightness of the upper half of the decoded image. Peak memory (resource.getrusage)
over that of the process with the model in it, and as a multiple of that of unguided samples that are decoded by
nobody; each row in a fresh process, which this one, importing nothing large, does not enlarge. The columns `network`
and `decoder` say which of the two a method differentiates: where it is the network, the graph of a whole batch is held,
and where it is the decoder, the graph of one image. The row that ends in 1 has batches of one sample, which give the
same samples.

Takes about two minutes on one core.
"""

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from benchmarks.command import options
from benchmarks.fresh import growth, in_fresh_process, peak

ROWS = {  # name: (differentiates the network, the decoder)
    "unguided": (False, False),
    "unguided, decoded": (False, False),
    "reweight": (False, False),
    "least-work, V(x)": (False, False),
    "least-work, V(D)": (True, False),
    "least-work, V(D), 1": (True, False),
    "scheduled": (False, True),
    "loss": (True, True),
}


def latent_model(width: int, depth: int) -> Any:
    """The transformer, in patches of 4 × 4, and its decoder, both with random weights."""
    import torch
    from torch import Tensor, nn

    import leastwork as lw

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(
                width, 8, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            self.patches = nn.Conv2d(4, width, 4, stride=4)
            self.place = nn.Parameter(0.1 * torch.randn(256, width))
            self.time = nn.Linear(1, width)
            self.body = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
            self.back = nn.ConvTranspose2d(width, 4, 4, stride=4)

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            y = self.patches(x).flatten(2).transpose(1, 2) + self.place + self.time(t.reshape(1, 1))
            y = self.body(y).transpose(1, 2).unflatten(2, (16, 16))
            return self.back(y)

    torch.manual_seed(0)
    net = Transformer().eval().requires_grad_(False)
    channels = (4, 64, 32, 16)
    layers: list[nn.Module] = []
    for a, b in pairwise(channels):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.SiLU(), nn.Upsample(scale_factor=2)]
    decode = nn.Sequential(*layers, nn.Conv2d(channels[-1], 3, 3, padding=1)).eval().requires_grad_(False)
    weights = sum(p.numel() for p in net.parameters())
    return lw.DiffusionModel(net, lw.VPSchedule(), "data", (4, 64, 64), decode=decode), weights


def task(name: str, model: Any, samples: int, steps: int) -> Callable[[], object]:
    """What a row does: draws samples, as a rule with the averages of decoded images."""
    import torch

    import leastwork as lw
    from leastwork.guidance.learned import LearnedGuidance
    from leastwork.guidance.scheduled import ScheduledGuidance
    from leastwork.models.latents import of_data
    from leastwork.networks.value import ValueNetwork

    bright = lw.Observable(lambda x: x[:, :, : x.shape[2] // 2].mean(dim=(1, 2, 3)), names=("brightness",))
    choices: Any = {"steps": steps, "batch_size": 1 if name.endswith("1") else samples, "seed": 1}
    if name == "reweight":
        data = lw.Experiment(bright, lower=[-9.0], errors=[0.1])
        return lambda: lw.guide_observables(model, data, "reweight", samples=samples, steps=steps, batch_size=samples)
    guidance: Any = None
    if name.startswith("least-work"):
        network = ValueNetwork(4 * 64 * 64, denoised="V(D)" in name)
        torch.nn.init.constant_(network.head.weight, 1e-3)
        guidance = LearnedGuidance(network, model.schedule)
    elif name in ("scheduled", "loss"):
        guidance = ScheduledGuidance(of_data(bright, model), torch.tensor([-1.0]), 1.0, 0.0, name == "loss")
    if name == "unguided":
        return lambda: lw.sample(model, samples, **choices)
    return lambda: lw.sample(model, samples, guidance, **choices).mean(bright)


def measure(name: str, samples: int, steps: int, width: int, depth: int) -> tuple[float, float, float, float]:
    """Growth of the peak and the peak before, MiB, seconds, and millions of weights."""
    import torch

    torch.set_num_threads(1)
    model, weights = latent_model(width, depth)
    call = task(name, model, samples, steps)
    before, begin = peak(), time.perf_counter()
    return growth(call), before, time.perf_counter() - begin, weights / 1e6


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--samples", type=int, default=4, help="samples in one batch (default 4)")
    parser.add_argument("--steps", type=int, default=3, help="steps of the sampler (default 3)")
    parser.add_argument("--width", type=int, default=640, help="width of the transformer (default 640)")
    parser.add_argument("--depth", type=int, default=10, help="layers of the transformer (default 10)")
    chosen = parser.parse_args()
    sizes = (chosen.samples, chosen.steps, chosen.width, chosen.depth)
    print(f"{'row':<20} {'network':>8} {'decoder':>8} {'MiB':>7} {'ratio':>6} {'s':>6}   weights of the network")
    own = 0.0
    for name, differentiated in ROWS.items():
        grown, before, seconds, weights = in_fresh_process(measure, name, *sizes)
        own = own or grown
        network, decoder = (("no", "yes")[part] for part in differentiated)
        print(
            f"{name:<20} {network:>8} {decoder:>8} {grown:>7.0f} {grown / own:>6.2f} {seconds:>6.1f}   "
            f"{weights:.1f} million, {before:.0f} MiB before",
            flush=True,
        )


if __name__ == "__main__":
    main()
