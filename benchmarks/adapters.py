"""What wrapping costs: sampling here over the package's own loop, at equal steps: `python -m benchmarks.adapters`.

Others on the machine make the same evaluations of the network a tenth longer or shorter. So the time in the network is
taken apart: "beside it" is one plus what all else takes here more than there, over the whole time there. The network
itself is given the same shapes as often.

The same network, the same number of samples in one batch, the same number of steps, deterministic: Euler steps of the
flow for flow_matching (ODESolver), torchcfm (torchdiffeq), diffusers' flow matching and a transformer of it with two
conditions, DDIM for diffusers (ε and v) and azula, Euler at Karras' levels for diffusers' EDM and k_diffusion. Both in
turn, 7 times each in each of 5 fresh processes, processor time of one thread; the least times, the median over
processes of the median of the 7 ratios, and its range, as where a process has its memory makes a tenth. Here the ledger
is kept and a last denoising step is taken, one evaluation more but for diffusers and k_diffusion, whose own times are
taken. Packages that are not installed are left out.

Takes about ten minutes on one core.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from time import process_time
from typing import TypeAlias

import torch
from torch import Tensor, nn

import leastwork as lw
from benchmarks.command import options
from benchmarks.fresh import in_fresh_process
from benchmarks.timing import cost, in_turn, ratio
from leastwork import adapters

SAMPLES, STEPS, REPEATS, PROCESSES = 1024, 50, 7, 5


Loop: TypeAlias = Callable[[], object]


class Network(nn.Module):
    """A perceptron of 64 coordinates and one time a sample, width 512."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (65, 512, 512, 512, 64)
        layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.SiLU())]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.layers(torch.cat([x, t.expand(len(x))[:, None]], dim=1))


def flow_matching() -> tuple[nn.Module, Loop, Loop]:
    from flow_matching.path import CondOTProbPath  # pyright: ignore[reportMissingImports]
    from flow_matching.solver import ODESolver  # pyright: ignore[reportMissingImports]

    net = Network().eval()
    model = adapters.from_flow_matching(net, CondOTProbPath(), (64,))
    grid = torch.linspace(0, 1, STEPS + 1)
    solver = ODESolver(net)
    noise = torch.randn(SAMPLES, 64)
    return net, lambda: solver.sample(noise, step_size=None, method="euler", time_grid=grid), ours(model, "euler")


def torchcfm() -> tuple[nn.Module, Loop, Loop]:
    from torchcfm.conditional_flow_matching import ConditionalFlowMatcher  # pyright: ignore[reportMissingImports]
    from torchdiffeq import odeint  # pyright: ignore[reportMissingImports]

    net = Network().eval()
    model = adapters.from_torchcfm(lambda t, x: net(x, t), ConditionalFlowMatcher(0.1), (64,), call="t, x")
    grid, noise = torch.linspace(0, 1, STEPS + 1), torch.randn(SAMPLES, 64)

    @torch.no_grad()
    def theirs() -> object:
        return odeint(lambda t, x: net(x, t), noise, grid, method="euler")

    return net, theirs, ours(model, "euler")


def diffusers(predicts: str = "epsilon") -> tuple[nn.Module, Loop, Loop]:
    from diffusers import DDIMScheduler  # pyright: ignore[reportMissingImports]

    net = Network().eval()
    scheduler = DDIMScheduler(clip_sample=False, timestep_spacing="trailing", prediction_type=predicts)
    model = adapters.from_diffusers(net, scheduler, (64,))
    scheduler.set_timesteps(STEPS)
    noise = torch.randn(SAMPLES, 64)

    @torch.no_grad()
    def theirs() -> object:
        x = noise
        for k in scheduler.timesteps:
            x = scheduler.step(net(x, k), int(k), x).prev_sample
        return x

    grid = (scheduler.timesteps.double() + 1) / scheduler.config.num_train_timesteps
    return net, theirs, lambda: lw.sample(model, SAMPLES, process="ode", solver="exponential", t_grid=grid, seed=1)


def diffusers_v() -> tuple[nn.Module, Loop, Loop]:
    return diffusers("v_prediction")


def diffusers_flow() -> tuple[nn.Module, Loop, Loop]:
    from diffusers import FlowMatchEulerDiscreteScheduler  # pyright: ignore[reportMissingImports]

    net, scheduler, noise = Network().eval(), FlowMatchEulerDiscreteScheduler(), torch.randn(SAMPLES, 64)
    model = adapters.from_diffusers(net, scheduler, (64,))
    scheduler.set_timesteps(STEPS)
    grid = scheduler.sigmas[:-1].double()

    @torch.no_grad()
    def theirs() -> object:
        scheduler.set_timesteps(STEPS)
        x = noise
        for k in scheduler.timesteps:
            x = scheduler.step(net(x, k), k, x, return_dict=False)[0]
        return x

    return net, theirs, lambda: lw.sample(model, SAMPLES, process="ode", solver="euler", t_grid=grid, seed=1)


def k_diffusion() -> tuple[nn.Module, Loop, Loop]:
    """Euler at Karras' levels, σ of each sample given to the denoiser, as in the package's ``sample_euler``."""
    net, levels = Network().eval(), lw.EDMSchedule(0.002, 80.0, 0.5)
    model = adapters.from_k_diffusion(net, (64,), sigma_min=0.002, sigma_max=80.0, sigma_data=0.5)
    times = torch.linspace(0, 1, STEPS, dtype=torch.float64)
    sigmas = [*((80.0 ** (1 / 7) + times * (0.002 ** (1 / 7) - 80.0 ** (1 / 7))) ** 7).tolist(), 0.0]
    noise, grid = 80 * torch.randn(SAMPLES, 64), levels.times(sigmas[:-1])

    @torch.no_grad()
    def theirs() -> object:
        x = noise
        for now, after in pairwise(sigmas):
            x = x + (x - net(x, x.new_full((len(x),), now))) / now * (after - now)
        return x

    return net, theirs, lambda: lw.sample(model, SAMPLES, process="ode", solver="exponential", t_grid=grid, seed=1)


def diffusers_sd3() -> tuple[nn.Module, Loop, Loop]:
    """A transformer with classifier-free guidance, both conditions in one call, as in the package's pipeline."""
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel  # pyright: ignore[reportMissingImports]

    net = SD3Transformer2DModel(
        sample_size=16, patch_size=2, in_channels=4, out_channels=4, num_layers=2, attention_head_dim=16,
        num_attention_heads=4, joint_attention_dim=32, caption_projection_dim=64, pooled_projection_dim=32,
        pos_embed_max_size=16,
    ).eval().requires_grad_(False)  # fmt: skip
    scheduler, shape, n = FlowMatchEulerDiscreteScheduler(), (4, 16, 16), 8
    given, null = (
        {"encoder_hidden_states": torch.randn(1, 8, 32), "pooled_projections": torch.randn(1, 32)} for _ in range(2)
    )
    model = adapters.from_diffusers(net, scheduler, shape, context=given, null=null, guidance_scale=5.0)
    scheduler.set_timesteps(STEPS)
    grid, noise = scheduler.sigmas[:-1].double(), torch.randn(n, *shape)
    text, pooled = (torch.cat([null[key].expand(n, *given[key].shape[1:]), given[key].expand(n, *given[key].shape[1:])])
                    for key in ("encoder_hidden_states", "pooled_projections"))  # fmt: skip

    @torch.no_grad()
    def theirs() -> object:
        scheduler.set_timesteps(STEPS)
        x = noise
        for k in scheduler.timesteps:
            both = torch.cat([x, x])
            y = net(
                hidden_states=both, timestep=k.expand(2 * n), encoder_hidden_states=text, pooled_projections=pooled,
                return_dict=False,
            )[0]  # fmt: skip
            without, condition = y.chunk(2)
            x = scheduler.step(without + 5.0 * (condition - without), k, x, return_dict=False)[0]
        return x

    return net, theirs, lambda: lw.sample(model, n, process="ode", solver="euler", t_grid=grid, seed=1)


def azula() -> tuple[nn.Module, Loop, Loop]:
    from azula.denoise import KarrasDenoiser  # pyright: ignore[reportMissingImports]
    from azula.noise import VPSchedule  # pyright: ignore[reportMissingImports]
    from azula.sample import DDIMSampler  # pyright: ignore[reportMissingImports]

    net = Network()
    denoiser = KarrasDenoiser(net, VPSchedule()).eval()
    model = adapters.from_azula(denoiser, (64,))
    sampler, noise = DDIMSampler(denoiser, steps=STEPS, silent=True), torch.randn(SAMPLES, 64)
    return net, lambda: sampler(noise), ours(model, "exponential")


def edm() -> tuple[nn.Module, Loop, Loop]:
    from diffusers import EDMEulerScheduler  # pyright: ignore[reportMissingImports]

    net = Network().eval()
    scheduler = EDMEulerScheduler()
    model = adapters.from_diffusers(net, scheduler, (64,))
    noise = 80 * torch.randn(SAMPLES, 64)

    @torch.no_grad()
    def theirs() -> object:
        scheduler.set_timesteps(STEPS)
        x = noise
        for k in scheduler.timesteps:
            x = scheduler.step(net(scheduler.scale_model_input(x, k), k), k, x).prev_sample
        return x

    last = {"process": "ode", "solver": "exponential", "t_grid": "karras", "steps": STEPS - 1}
    return net, theirs, lambda: lw.sample(model, SAMPLES, seed=1, **last)


def ours(model: lw.DiffusionModel | lw.VelocityModel, solver: str) -> Callable[[], object]:
    """The same work here."""
    return lambda: lw.sample(model, SAMPLES, process="ode", solver=solver, steps=STEPS, seed=1)


MAKERS = {
    make.__name__: make
    for make in (
        flow_matching, torchcfm, diffusers, diffusers_v, diffusers_flow, diffusers_sd3, azula, edm, k_diffusion
    )
}  # fmt: skip


@dataclass
class Clock:
    """Processor time in the network since the last start."""

    network: float = 0.0
    entered: float = 0.0

    def watch(self, net: nn.Module) -> None:
        net.register_forward_pre_hook(self.enter)
        net.register_forward_hook(self.leave)

    def enter(self, *_: object) -> None:
        self.entered = process_time()

    def leave(self, *_: object) -> None:
        self.network += process_time() - self.entered

    def apart(self, call: Loop) -> tuple[float, float]:
        """Seconds of a call, and those of them that are not in the network."""
        self.network = 0.0
        whole = cost(call).cpu
        return whole, whole - self.network


def measure(name: str) -> tuple[float, float, float, float] | str:
    """Least times of both, the median of their ratios, and of those without the network; or why there are none."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    try:
        net, *calls = MAKERS[name]()
    except (ImportError, lw.ConfigError) as error:
        return str(error)
    clock = Clock()
    clock.watch(net)
    for call in calls:
        call()
    own, mine = ([*zip(*one, strict=True)] for one in in_turn([lambda c=c: clock.apart(c) for c in calls], REPEATS))
    beside = median(1 + (more - less) / whole for whole, less, more in zip(*own, mine[1], strict=True))
    return min(own[0]), min(mine[0]), ratio(own[0], mine[0]).value, beside


def main() -> None:
    options(__doc__).parse_args()
    head = f"{'package':<14} {'own s':>7} {'here s':>7} {'ratio':>6} {'range':>13} {'beside it':>10} {'range':>13}"
    print(head)
    for name in MAKERS:
        found = [in_fresh_process(measure, name) for _ in range(PROCESSES)]
        if isinstance(found[0], str):
            print(f"{name:<14} left out: {found[0]}")
            continue
        own, mine, *ratios = zip(*found, strict=True)
        columns = [f"{median(one):>6.3f} {f'{min(one):.3f}–{max(one):.3f}':>13}" for one in ratios]
        print(f"{name:<14} {min(own):>7.3f} {min(mine):>7.3f} {'     '.join(columns)}", flush=True)


if __name__ == "__main__":
    main()
