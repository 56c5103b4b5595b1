"""What wrapping costs: sampling here over the package's own loop, at equal steps: `python -m benchmarks.adapters`.

The same network, the same number of samples in one batch, the same number of steps, deterministic: Euler steps of the
flow for flow_matching (ODESolver) and torchcfm (torchdiffeq), DDIM for diffusers and azula, Euler for diffusers' EDM,
with as many evaluations there as here. Both in turn, 15 times each, processor time of one thread; the ratio of the two
least times, which others on the machine disturb least, and the median of the 15 ratios with its standard error. Here
the ledger is kept and a last denoising step is taken, but for EDM one evaluation more. Packages that are not installed
are left out.

Takes about five minutes on one core.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

import leastwork as lw
from benchmarks.command import options
from benchmarks.timing import cost, in_turn, ratio
from leastwork import adapters

SAMPLES, STEPS, REPEATS = 1024, 50, 15


class Network(nn.Module):
    """A perceptron of 64 coordinates and one time a sample, width 512."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (65, 512, 512, 512, 64)
        layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.SiLU())]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.layers(torch.cat([x, t.expand(len(x))[:, None]], dim=1))


def flow_matching() -> tuple[Callable[[], object], Callable[[], object]]:
    from flow_matching.path import CondOTProbPath  # pyright: ignore[reportMissingImports]
    from flow_matching.solver import ODESolver  # pyright: ignore[reportMissingImports]

    net = Network().eval()
    model = adapters.from_flow_matching(net, CondOTProbPath(), (64,))
    grid = torch.linspace(0, 1, STEPS + 1)
    solver = ODESolver(net)
    noise = torch.randn(SAMPLES, 64)
    return lambda: solver.sample(noise, step_size=None, method="euler", time_grid=grid), ours(model, "euler")


def torchcfm() -> tuple[Callable[[], object], Callable[[], object]]:
    from torchcfm.conditional_flow_matching import ConditionalFlowMatcher  # pyright: ignore[reportMissingImports]
    from torchdiffeq import odeint  # pyright: ignore[reportMissingImports]

    net = Network().eval()
    model = adapters.from_torchcfm(lambda t, x: net(x, t), ConditionalFlowMatcher(0.1), (64,), call="t, x")
    grid, noise = torch.linspace(0, 1, STEPS + 1), torch.randn(SAMPLES, 64)

    @torch.no_grad()
    def theirs() -> object:
        return odeint(lambda t, x: net(x, t), noise, grid, method="euler")

    return theirs, ours(model, "euler")


def diffusers() -> tuple[Callable[[], object], Callable[[], object]]:
    from diffusers import DDIMScheduler  # pyright: ignore[reportMissingImports]

    net = Network().eval()
    scheduler = DDIMScheduler(clip_sample=False, timestep_spacing="trailing")
    model = adapters.from_diffusers(net, scheduler, (64,))
    scheduler.set_timesteps(STEPS)
    noise = torch.randn(SAMPLES, 64)

    @torch.no_grad()
    def theirs() -> object:
        x = noise
        for k in scheduler.timesteps:
            x = scheduler.step(net(x, k), int(k), x).prev_sample
        return x

    return theirs, ours(model, "exponential")


def azula() -> tuple[Callable[[], object], Callable[[], object]]:
    from azula.denoise import KarrasDenoiser  # pyright: ignore[reportMissingImports]
    from azula.noise import VPSchedule  # pyright: ignore[reportMissingImports]
    from azula.sample import DDIMSampler  # pyright: ignore[reportMissingImports]

    denoiser = KarrasDenoiser(Network(), VPSchedule()).eval()
    model = adapters.from_azula(denoiser, (64,))
    sampler, noise = DDIMSampler(denoiser, steps=STEPS, silent=True), torch.randn(SAMPLES, 64)
    return lambda: sampler(noise), ours(model, "exponential")


def edm() -> tuple[Callable[[], object], Callable[[], object]]:
    from diffusers import EDMEulerScheduler  # pyright: ignore[reportMissingImports]

    net = Network().eval()
    scheduler = EDMEulerScheduler()
    model = adapters.from_diffusers(net, scheduler, (64,))
    noise = 80 * torch.randn(SAMPLES, 64)

    @torch.no_grad()
    def theirs() -> object:
        x = noise
        scheduler.set_timesteps(STEPS + 1)  # the last level is that of the denoising step here
        for k in scheduler.timesteps:
            x = scheduler.step(net(scheduler.scale_model_input(x, k), k), k, x).prev_sample
        return x

    return theirs, ours(model, "exponential", "karras")


def ours(model: lw.DiffusionModel | lw.VelocityModel, solver: str, t_grid: str | None = None) -> Callable[[], object]:
    """The same work here."""
    return lambda: lw.sample(model, SAMPLES, process="ode", solver=solver, steps=STEPS, t_grid=t_grid, seed=1)


def main() -> None:
    options(__doc__).parse_args()
    torch.set_num_threads(1)
    print(f"{'package':<14} {'own s':>7} {'here s':>7} {'ratio':>6} {'median':>13}")
    for make in (flow_matching, torchcfm, diffusers, azula, edm):
        try:
            theirs, here = make()
        except (ImportError, lw.ConfigError) as error:
            print(f"{make.__name__:<14} left out: {error}")
            continue
        calls = (theirs, here)
        for call in calls:
            call()
        own, mine = ([one.cpu for one in costs] for costs in in_turn([lambda c=c: cost(c) for c in calls], REPEATS))
        found = ratio(own, mine)
        print(f"{make.__name__:<14} {min(own):>7.3f} {min(mine):>7.3f} {found.of_least:>6.3f} {found}", flush=True)


if __name__ == "__main__":
    main()
