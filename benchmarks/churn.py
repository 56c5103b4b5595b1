"""Weights of a sampler like AlphaFold 3's, exact and by continuous time: `python -m benchmarks.churn`.

Churn γ = 0.8 above σ_d/16, noise scale λ = 1.003, step scale 1, Karras' levels from σ = 160 σ_d to 4·10⁻⁴ σ_d. Two
models in 30 dimensions have a known guidance: a Gaussian whose mean is moved, and two states whose populations are
changed. For each, guided paths get two weights,

    exact         ln dP/dQ = −Σ (δ·z/c + |δ|²/2c²),  δ = (1 − r) t̂² h, c = λ √(t̂′² − t′²): the chain's own kernels
    continuous    −Σ (λ u·z + |u|²/2),  u = ½(t̂² − t′²) h/√(t̂′² − t′²): Girsanov's formula for the noise that was drawn

and E_Q[dP/dQ], which should be 1, and an average under P, which should be that of unguided paths, are printed for both.
z is the difference in standard errors. The formula of continuous time knows neither λ nor the length of a step, and its
bias does not fall with the number of samples.

Takes about two minutes on one core.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import leastwork as lw
from benchmarks.command import options
from benchmarks.table import markdown
from leastwork.geometry.state import flatten
from leastwork.guidance.base import Scaled
from leastwork.sampling.choices import Choices
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.solvers import Churn
from leastwork.sampling.solvers.steps import Step
from leastwork.sampling.stepping import Carry, Sampler, evaluate, move
from leastwork.statistics.estimate import Estimate
from leastwork.systems.gaussian import Gaussian
from leastwork.systems.mixtures import two_states

DIM = 30
LEVELS = lw.EDMSchedule(4e-4, 160.0, 1.0)
BATCH = 1024


@dataclass(frozen=True)
class Target:
    """A model, a guidance, and an observable of its samples, (B, d) -> (B,)."""

    name: str
    model: lw.DiffusionModel
    guidance: Any
    observable: Callable[[Any], Tensor]


def targets(strength: float) -> list[Target]:
    """Both models, guided by Doob's transform of noising times a strength."""
    gaussian = Gaussian(0.5, 0.5, DIM)
    moved: Any = gaussian.doob(gaussian.for_mean(0.0, [1.0] + [0.0] * (DIM - 1)), LEVELS)
    mixture = two_states(DIM, (0.15, 0.85), separation=2.0, std=0.3)
    states: Any = mixture.doob(mixture.reweighted([0.53, 0.47]), LEVELS)
    return [
        Target("Gaussian", gaussian.model(LEVELS), Scaled(moved, strength), lambda x: x[:, 0]),
        Target("two states", mixture.model(LEVELS), Scaled(states, strength), lambda x: (x[:, 0] < 0).double()),
    ]


@dataclass(frozen=True)
class Paths:
    """Guided samples (n, d), with work and ln dP/dQ by the chain's kernels and by continuous time, float64 (n,)."""

    x: Tensor
    work: Tensor
    exact: Tensor
    continuous: Tensor


@torch.no_grad()
def draw(sampler: Sampler, noise_scale: float, n: int, seed: int) -> Paths:
    """n guided paths with both weights."""
    table = sampler.steps.table()
    levels = LEVELS.level(torch.linspace(1, 0, len(table) + 1, dtype=torch.float64)).tolist()  # t, before churn
    found = []
    for start in range(0, n, BATCH):
        noise = BlockNoise(seed, start, min(start + BATCH, n), (DIM,))
        carry = Carry(sampler.process.prior(noise.draw()))
        work, exact, continuous = (torch.zeros(noise.stop - start, dtype=torch.float64) for _ in range(3))
        for step, after in zip(table, levels[1:], strict=True):
            y, h = evaluate(sampler, carry.x, step.t)
            z = noise.draw()
            carry, cost = move(sampler, step, carry, y, h, z)
            if cost.work is None or cost.log_weight is None or h is None:
                continue
            work, exact = work + cost.work, exact + cost.log_weight
            u = force(step, after) * flatten(h)
            continuous = continuous - (noise_scale * (u * flatten(z)).sum(dim=1) + 0.5 * u.square().sum(dim=1)).double()
        x = sampler.process.model.finish(carry.x, float(sampler.steps.times[-1]))
        found.append((flatten(x), work, exact, continuous))
    return Paths(*(torch.cat(part) for part in zip(*found, strict=True)))


def force(step: Step, after: float) -> float:
    """u/h of a step in continuous time; h is the gradient by z = α x, and x is EDM's state."""
    times = torch.tensor([step.t, step.t_next], dtype=torch.float64)
    hat, hat_next = LEVELS.level(times).tolist()
    return 0.5 * (hat**2 - after**2) / math.sqrt(hat_next**2 - after**2) * float(LEVELS.alpha(times)[0])


def row(what: str, how: str, found: Estimate, wanted: Estimate) -> tuple[str, ...]:
    z = (float(found.value) - float(wanted.value)) / math.hypot(float(found.stderr), float(wanted.stderr))
    return what, how, str(found), str(wanted), f"{z:.1f}"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--samples", type=int, default=60_000, help="paths of each chain (60,000)")
    parser.add_argument("--steps", type=int, default=50, help="number of steps (50)")
    parser.add_argument("--gamma", type=float, default=0.8, help="churn γ (0.8)")
    parser.add_argument("--gamma-min", type=float, default=1 / 16, help="least level with churn, in σ_d (1/16)")
    parser.add_argument("--noise-scale", type=float, default=1.003, help="λ (1.003)")
    parser.add_argument("--strength", type=float, default=1.2, help="strength of the guidance (1.2)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    churn = Churn(given.gamma, given.gamma_min, given.noise_scale)
    for target in targets(given.strength):
        sampler = Choices(solver=churn, steps=given.steps).sampler(target.model, target.guidance)
        paths = draw(sampler, given.noise_scale, given.samples, seed=1)
        own = lw.sample(target.model, given.samples, solver=churn, steps=given.steps, seed=2)
        values = target.observable(paths.x)
        weights = {"exact": paths.exact, "continuous": paths.continuous}
        ratios = {how: Estimate.from_samples(log_weight.exp()) for how, log_weight in weights.items()}
        averages = {how: Estimate.from_log_weights(values, log_weight) for how, log_weight in weights.items()}
        rows = [row("E_Q[dP/dQ]", how, one, Estimate(1.0, 0.0)) for how, one in ratios.items()]
        rows += [row("average under P", how, one, own.mean(target.observable)) for how, one in averages.items()]
        print(
            f"{target.name}: W = {float(paths.work.mean()):.3f} nats; average of the guided {float(values.mean()):.4f}"
        )
        print(f"\n{markdown(('', 'weights', 'found', 'wanted', 'z'), rows)}\n", flush=True)


if __name__ == "__main__":
    main()
