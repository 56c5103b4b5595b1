"""Steps that add noise and then denoise by the ODE, as samplers of EDM and AlphaFold 3 do, with the kernels they have.

    x̂ = x + λ √(t̂² − t²) ξ,    t̂ = (1 + γ) t        x ← x̂ + η (t′ − t̂)(x̂ − D(x̂, t̂))/t̂

t is the noise level σ/α, and γ > 0 while the next level t′ is above γ_min (Karras et al., arXiv:2206.00364, algorithm
2; Abramson et al., Nature 630, 493, 2024, supplement, algorithm 18). The state of the chain is x̂, after the noise:

    x̂′ = r x̂ + (1 − r)(D + t̂² h) + λ √(t̂′² − t′²) ξ,    r = t′/t̂        (η = 1, in units where α = 1)

Given x̂ this is a Gaussian whose width does not depend on the guidance h, which moves the denoised state by t̂² h as an
extra score does. So KL and ln dP/dQ of a step are those of :mod:`leastwork.sampling.work` with the shift (1 − r) t̂² h,
at any λ and any number of steps; P is this very chain, with its λ and its step lengths. A step that leads to a level
without churn adds no noise: it is the same map with and without guidance, since h is off there, and its ratio is one.

A random rotation of x̂′ does not change the ratio: both chains take the same one, drawn independently of the state, the
noise has the same law in all directions, and the length of the shift stays. Translations vanish, as states are centred.

Doob's transform of noising, ∇ ln E[e^r | x_t], is not the least-work guidance of this chain, because the noise that is
added makes x_0 depend less on x̂ than noising does. So h is learned from the SDE at κ = 1, and only used here.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.errors import ConfigError, LeastworkError
from leastwork.geometry.euclidean import ZeroCentre
from leastwork.geometry.state import shapes
from leastwork.models.base import Scored, is_scored
from leastwork.models.units import Affine
from leastwork.sampling.process import Process
from leastwork.sampling.solvers.steps import Steps
from leastwork.support.arguments import number

__all__ = ["Churn"]

_MISSES = (
    "with step_scale={:g} the unguided steps miss the noise level to which they should lead, and draw from another "
    "distribution than the model (sharper above 1, wider below) at any number of steps, so that work and weights would "
    "not be those of the model: use step_scale=1"
)


@dataclass(frozen=True)
class Churn:
    """First-order steps with churn; one evaluation a step.

    Args:
        gamma: γ, by which a noise level is raised before each step; AlphaFold 3 has 0.8. No level is raised above the
            largest of the schedule.
        gamma_min: the noise level, in data units, down to which there is churn; AlphaFold 3 has 1 Å. Below, steps have
            no noise, and guidance is off. At 0 only the last step has none.
        noise_scale: λ; AlphaFold 3 has 1.003.
        step_scale: η; AlphaFold 3 has 1.5. There are weights only at 1. The last denoising step is never scaled.
        motions: whether every step ends with a random rotation; for centred points in space (N, 3).

    Raises:
        ConfigError: γ, λ or η is not positive, or gamma_min is negative.

    >>> Churn(gamma_min=1.0).gamma
    0.8
    """

    gamma: float = 0.8
    gamma_min: float = 0.0
    noise_scale: float = 1.003
    step_scale: float = 1.0
    motions: bool = False
    evaluations: int = 1

    def __post_init__(self) -> None:
        for name in ("gamma", "noise_scale", "step_scale"):
            if not number(name, getattr(self, name), "give Churn a positive finite number") > 0:
                raise ConfigError(f"Churn needs a positive finite {name}, not {getattr(self, name)}")
        number("gamma_min", self.gamma_min, "it is a noise level in data units, so give 0 or more", least=0.0)

    @property
    def unweighted(self) -> str:
        """The reason why its paths have no work and no weights; empty at step_scale=1."""
        return "" if self.step_scale == 1 else _MISSES.format(self.step_scale)

    @property
    def chain(self) -> str:
        """The chain in words, for the ledger and for reports."""
        words = [f"γ = {self.gamma:g}", f"noise scale {self.noise_scale:g}"]
        words += [f"no noise below a level of {self.gamma_min:g}"] if self.gamma_min else []
        words += [] if self.step_scale == 1 else [f"step scale {self.step_scale:g}"]
        words += ["random rotations"] if self.motions else []
        return f"churn, {', '.join(words)}"

    def steps(self, process: Process, times: Tensor) -> Steps:
        model = process.model
        if not is_scored(model) or model.has_rotations:
            raise LeastworkError("churn raises the noise level of flat states: it takes a DiffusionModel, not frames")
        if process.kappa != 1:
            raise LeastworkError("churn brings its own noise: leave out kappa, and take process='sde'")
        if self.motions:
            _check_points(model)
        schedule = model.schedule
        level, top = _level(model, times), float(_level(model, torch.tensor([model.interval[1]], dtype=torch.float64)))
        if not math.isfinite(top):
            raise LeastworkError(
                "churn raises σ/α, which is infinite at t_max: end the schedule before, by t_max=0.999"
            )
        following = torch.cat([level[1:], level.new_zeros(1)])
        raised = following > self.gamma_min / _data_unit(model, self.gamma_min)
        if not bool(raised[1:].any()):
            raise LeastworkError(
                f"no step adds noise, as all noise levels are below gamma_min={self.gamma_min} (data units): lower it, "
                "or take process='ode'"
            )
        hat = torch.where(raised, (level * (1 + self.gamma)).clamp(max=max(top, float(level[0]))), level)
        at = schedule.time_of(-2 * hat.log()).clamp(*model.interval)
        alpha, lever = schedule.alpha(at), schedule.sigma(at)[:-1] ** 2 / schedule.alpha(at)[:-1]
        way = self.step_scale * (1 - level[1:] / hat[:-1])
        noise = alpha[1:] * self.noise_scale * (hat[1:] ** 2 - level[1:] ** 2).clamp(min=0).sqrt()
        data, none = alpha[1:] * way, torch.zeros_like(way)
        return Steps(
            at, alpha[1:] / alpha[:-1] * (1 - way), data, none, torch.where(noise > 0, data * lever, 0.0), none, noise,
            chain=self.chain, motions=self.motions, unweighted=self.unweighted,
        )  # fmt: skip


def _level(model: Scored, times: Tensor) -> Tensor:
    """σ/α at times, network units."""
    return torch.exp(-0.5 * model.schedule.log_snr(times))


def _data_unit(model: Scored, wanted: float) -> float:
    """Length of one network unit in data units."""
    units = model.units
    if isinstance(units, Affine) and not isinstance(units.scale, Tensor):
        return units.scale
    if wanted == 0:
        return 1.0
    raise LeastworkError(
        f"gamma_min={wanted} is a length in data units, and this model has no single one: leave it out"
    )


def _check_points(model: Scored) -> None:
    (shape, *more) = shapes(model.event_shape)
    if more or len(shape) != 2 or shape[1] != 3 or not isinstance(model.subspace, ZeroCentre):
        raise LeastworkError(
            f"motions=True turns centred points in space, not states of shape {model.event_shape}: leave it out, or "
            "give the model subspace=ZeroCentre()"
        )
