"""Weights of an AlphaFold-3-like sampler, exact and by continuous time: `python benchmarks/churn.py` (--help).

Churn γ = 0.8 above σ_d/16, noise scale λ = 1.003, step scale 1, Karras' levels from σ = 160 σ_d to 4·10⁻⁴ σ_d. Two
models in 30 dimensions have a known guidance: a Gaussian whose mean is moved, and two states whose populations are
changed. For each, guided paths get two weights,

    exact         ln dP/dQ = −Σ (δ·z/c + |δ|²/2c²),  δ = (1 − r) t̂² h, c = λ √(t̂′² − t′²): the chain's own kernels
    continuous    −Σ (λ u·z + |u|²/2),  u = ½(t̂² − t′²) h/√(t̂′² − t′²): Girsanov's formula for the noise that was drawn

and E_Q[dP/dQ], which should be 1, and an average under P, which should be that of unguided paths, are printed for both.
z is the difference in standard errors. The formula of continuous time knows neither λ nor the length of a step, and its
bias does not fall with the number of samples.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import leastwork as lw
from leastwork.guidance.base import Guidance, Scaled
from leastwork.sampling.choices import Choices
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.solvers import Churn
from leastwork.sampling.stepping import Carry, Sampler, evaluate, move
from leastwork.statistics.estimate import Estimate
from leastwork.systems.gaussian import Gaussian
from leastwork.systems.mixtures import two_states

DIM = 30
LEVELS = lw.EDMSchedule(4e-4, 160.0, 1.0)


@dataclass(frozen=True)
class Target:
    """A model, a guidance, and an observable of its samples, (B, d) -> (B,)."""

    name: str
    model: lw.DiffusionModel
    guidance: Guidance
    observable: Callable[[Tensor], Tensor]


def targets(strength: float) -> list[Target]:
    """Both models, guided by Doob's transform of noising times a strength."""
    gaussian = Gaussian(0.5, 0.5, DIM)
    along = [1.0] + [0.0] * (DIM - 1)
    moved = gaussian.doob(gaussian.for_mean(0.0, along), LEVELS)
    mixture = two_states(DIM, (0.15, 0.85), separation=2.0, std=0.3)
    states = mixture.doob(mixture.reweighted([0.53, 0.47]), LEVELS)
    return [
        Target("Gaussian", gaussian.model(LEVELS), Scaled(moved, strength), lambda x: x[:, 0]),
        Target("two states", mixture.model(LEVELS), Scaled(states, strength), lambda x: (x[:, 0] < 0).double()),
    ]


@torch.no_grad()
def both_weights(sampler: Sampler, churn: Churn, n: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Samples, work, and ln dP/dQ by the chain's kernels and by continuous time, float64."""
    schedule = LEVELS
    found = []
    table = sampler.steps.table()
    levels = schedule.level(torch.linspace(1, 0, len(table) + 1, dtype=torch.float64)).tolist()  # t, before churn
    for start in range(0, n, 1024):
        noise = BlockNoise(seed, start, min(start + 1024, n), (DIM,))
        carry = Carry(sampler.process.prior(noise.draw()))
        work, exact, continuous = (torch.zeros(noise.stop - start, dtype=torch.float64) for _ in range(3))
        for i, step in enumerate(table):
            y, h = evaluate(sampler, carry.x, step.t)
            z = noise.draw()
            carry, cost = move(sampler, step, carry, y, h, z)
            if cost.work is None or cost.log_weight is None or h is None:
                continue
            work, exact = work + cost.work, exact + cost.log_weight
            alpha = float(schedule.alpha(torch.tensor(step.t, dtype=torch.float64)))
            hat, hat_next = (float(schedule.level(torch.tensor(t, dtype=torch.float64))) for t in (step.t, step.t_next))
            wide = math.sqrt(hat_next**2 - levels[i + 1] ** 2)
            u = 0.5 * (hat**2 - levels[i + 1] ** 2) / wide * alpha * h  # h is ∇ by z = α x; x is EDM's state
            inner = (u * z).sum(dim=1).double()
            continuous = continuous - churn.noise_scale * inner - 0.5 * u.square().sum(dim=1).double()
        x = sampler.process.model.finish(carry.x, float(sampler.steps.times[-1]))
        found.append((x, work, exact, continuous))
    x, work, exact, continuous = (torch.cat(part) for part in zip(*found, strict=True))
    return x, work, exact, continuous


def line(name: str, found: Estimate, wanted: Estimate | float) -> str:
    value, stderr = (wanted, 0.0) if isinstance(wanted, float) else (float(wanted.value), float(wanted.stderr))
    z = (float(found.value) - value) / math.hypot(float(found.stderr), stderr)
    seen = f"{float(found.value):>9.4f} ± {float(found.stderr):.4f}"
    return f"  {name:<30}{seen}   wanted {value:>7.4f} ± {stderr:.4f}   z = {z:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100_000, help="paths of each chain (100,000)")
    parser.add_argument("--steps", type=int, default=50, help="number of steps (50)")
    parser.add_argument("--gamma", type=float, default=0.8, help="churn γ (0.8)")
    parser.add_argument("--gamma-min", type=float, default=1 / 16, help="least level with churn, in σ_d (1/16)")
    parser.add_argument("--strength", type=float, default=1.2, help="strength of the guidance (1.2)")
    parser.add_argument("--noise-scale", type=float, default=1.003, help="λ (1.003)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    churn = Churn(given.gamma, given.gamma_min, given.noise_scale)
    for target in targets(given.strength):
        choices = Choices(solver=churn, steps=given.steps)
        sampler = choices.sampler(target.model, target.guidance)
        x, work, exact, continuous = both_weights(sampler, churn, given.samples, seed=1)
        own = lw.sample(target.model, given.samples, solver=churn, steps=given.steps, seed=2)
        wanted = own.mean(target.observable)
        print(f"{target.name}: W = {float(work.mean()):.3f} nats, {given.samples} paths of {given.steps} steps")
        for name, log_weight in (("exact", exact), ("continuous", continuous)):
            print(line(f"E_Q[dP/dQ], {name}", Estimate.from_samples(log_weight.exp()), 1.0))
        values = target.observable(x)
        for name, log_weight in (("exact", exact), ("continuous", continuous)):
            print(line(f"average under P, {name}", Estimate.from_log_weights(values, log_weight), wanted))
        print(f"  {'average of the guided paths':<30}{float(values.mean()):>9.4f}", flush=True)


if __name__ == "__main__":
    main()
