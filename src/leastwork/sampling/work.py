"""Definitions of work, path weights and the second law of guidance.

A guided step and the model's own step, given the same past, are Gaussians of one standard deviation c whose means
differ by the shift δ. With z the noise that the guided step drew,

    KL(guided step ‖ model step) = |δ|²/2c²        ln dP/dQ = −δ·z/c − |δ|²/2c²

and along a path W = E_Q Σ |δ|²/2c² (Girsanov's theorem, exact for the discretised chain). For a target p·e^r/Z and
w = dP/dQ · e^r, averages over guided samples give

    dissipation = ln⟨w⟩ − ⟨ln w⟩ ≥ 0      bound = W − dissipation      efficiency = 1 − dissipation/W

with dissipation = KL(guided paths ‖ target paths) and bound = −ln Z + ⟨r⟩ ≤ KL(q ‖ p), which is the least work of any
guidance with the same ⟨r⟩ (Jarzynski, Phys. Rev. Lett. 78, 2690, 1997; Boué & Dupuis, Ann. Probab. 26, 1641, 1998).
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from leastwork.geometry.state import State, inner, tensor_of
from leastwork.statistics.estimate import Estimate
from leastwork.support.above import above
from leastwork.support.arguments import refused
from leastwork.support.html import html_table
from leastwork.support.numerals import count, fraction, plus_minus

__all__ = ["ON_TARGET", "Certificate", "certify", "kinetic_action", "kish_ess", "least_work", "log_odds", "step_cost"]

ON_TARGET = 0.05
"""A run is on target if the mean of every observable is within this many σ_O of its target."""


def step_cost(shift: State, noise: State, c: float) -> tuple[Tensor, Tensor]:
    """KL and ln dP/dQ of one step, nats, float64 (B,).

    Args:
        shift: δ, the difference between the means of the guided step and the model's step, (B, *event).
        noise: the noise z of the guided step, (B, *event).
        c: standard deviation of the step.

    >>> kl, log_ratio = step_cost(torch.tensor([[1.0]]), torch.tensor([[0.5]]), 0.5)
    >>> kl.item(), log_ratio.item()
    (2.0, -3.0)
    """
    kl = inner(shift, shift).to(torch.float64) / (2 * c * c)
    return kl, -inner(shift, noise).to(torch.float64) / c - kl


def kinetic_action(shift: State, dt: float) -> Tensor:
    """½|δ|²/Δt of one step of the ODE, float64 (B,); its sum is ∫ ½|½g²h|² dt, which is an action and not a work."""
    return inner(shift, shift).to(torch.float64) / (2 * dt)


def kish_ess(log_weight: Tensor, group: int = 1) -> Estimate:
    """Kish's effective fraction ⟨w⟩²/⟨w²⟩ in (0, 1], with its standard error.

    Args:
        log_weight: ln w up to a constant, (n,).
        group: size of the groups of dependent samples; the standard error counts each group as one sample.

    >>> kish_ess(torch.zeros(10)).value
    1.0
    """
    w = torch.exp(log_weight.to(torch.float64) - log_weight.max())
    first, second = w.mean(), w.square().mean()
    ess = first**2 / second
    return Estimate.from_influence(ess, ess * (2 * w / first - w.square() / second), group)


@dataclass(frozen=True)
class Certificate:
    """Work, dissipation and efficiency of a guidance, from fresh guided samples; all energies in nats (k_B T).

    ``dissipation`` is the wasted work and ``bound`` the unavoidable work. ``efficiency`` = 1 − dissipation/work; it is
    NaN if the target is the model itself. ``ess`` is the Kish fraction of w. ``miss`` is (E_Q[O] − target)/σ_O for each
    observable, (K,), and ``on_target`` says whether all fitted ones are within 0.05. ``biased_high`` is True if
    n·ESS < 1000: then ln⟨w⟩ is underestimated and the efficiency overestimated. ``worst_path`` is the largest share of
    Σ (ln w − ⟨ln w⟩)² that comes from one path: about 10/n if ln w is nearly normal, near one if a single path failed.
    ``chain`` is the chain in words whose work this is, if it is not that of the SDE.
    """

    work: Estimate
    bound: Estimate
    dissipation: Estimate
    efficiency: Estimate
    ess: Estimate
    log_z: Estimate
    miss: Estimate | None
    on_target: bool | None
    biased_high: bool
    worst_path: float
    samples: int
    chain: str = ""

    def _repr_html_(self) -> str:
        high = " (biased high: too few effective samples)" if self.biased_high else ""
        verdict = {None: "not asked", True: "yes", False: "no"}[self.on_target]
        rows = [
            ("work", f"{_pm(self.work)} k_BT"),
            ("bound, the unavoidable work", f"{_pm(self.bound)} k_BT"),
            ("dissipation, the wasted work", f"{_pm(self.dissipation)} k_BT"),
            ("efficiency", fraction(self.efficiency.value, self.efficiency.stderr) + high),
            ("effective samples", fraction(self.ess.value, self.ess.stderr)),
            ("ln Z", _pm(self.log_z)),
            ("on target", verdict),
            ("samples", count(self.samples)),
        ]
        return html_table(f"Certificate {self.chain}".strip(), rows)

    def plot(self, axes: Any = None) -> Any:
        """Draw the work as the sum of what is unavoidable and what is wasted.

        Args:
            axes: axes of matplotlib; by default those of a new figure.

        Returns:
            the axes.
        """
        bar = above("leastwork.report.plots", "work_bar")
        return bar(axes, (self.bound.value, self.bound.stderr), self.dissipation.value)


def _pm(estimate: Estimate) -> str:
    return plus_minus(estimate.value, estimate.stderr)


def certify(
    work: Tensor,
    log_weight: Tensor,
    log_tilt: Tensor,
    observed: Tensor | None = None,
    target: Tensor | None = None,
    spread: Tensor | None = None,
    fitted: Tensor | None = None,
    chain: str = "",
) -> Certificate:
    """Compute the certificate of guided samples that were not used to fit the guidance.

    Args:
        work: Σ KL of the steps, nats, (n,).
        log_weight: ln dP/dQ, (n,).
        log_tilt: r(x_0) of the samples, up to a constant, nats, (n,); r must be fixed before the samples are drawn.
        observed: observables of the samples, (n, K).
        target: averages of the observables under the target distribution, (K,).
        spread: σ_O, standard deviations of the observables under the model, (K,).
        fitted: indices of the observables that determine ``on_target``; by default all.
        chain: the chain in words, as ``ensemble.ledger.chain`` has it.

    >>> zero = torch.zeros(2000)
    >>> certify(zero, zero, zero).efficiency.value  # the target is the model itself
    nan
    """
    given = {"work": work, "log_weight": log_weight, "log_tilt": log_tilt}
    work, log_weight, log_tilt = (tensor_of(name, v).detach().to(torch.float64) for name, v in given.items())
    n = len(work)
    for name, value in (("work", work), ("log_weight", log_weight), ("log_tilt", log_tilt)):
        if value.shape != (n,) or n < 2:
            raise refused(name, value, "give work, log_weight and log_tilt, one number for each of two samples or more")
    log_w = log_weight + log_tilt
    top = log_w.max()
    w = torch.exp(log_w - top)
    relative = w / w.mean()
    log_z = float(top + w.mean().log())
    dissipation = log_z - float(log_w.mean())
    dissipation_influence = relative - log_w
    spent = float(work.mean())
    bound_influence = work - dissipation_influence
    if spent > 0:
        efficiency = 1 - dissipation / spent
        efficiency_influence = dissipation * work / spent**2 - dissipation_influence / spent
    else:
        efficiency, efficiency_influence = math.nan, torch.full_like(work, math.nan)
    if not _something_to_do(relative, log_tilt, log_weight):
        efficiency, efficiency_influence = math.nan, torch.full_like(work, math.nan)
    ess = kish_ess(log_w)
    miss = None if observed is None or target is None or spread is None else _miss(observed, target, spread)
    return Certificate(
        work=Estimate.from_influence(spent, work),
        bound=Estimate.from_influence(spent - dissipation, bound_influence),
        dissipation=Estimate.from_influence(dissipation, dissipation_influence),
        efficiency=Estimate.from_influence(efficiency, efficiency_influence),
        ess=ess,
        log_z=Estimate.from_influence(log_z, relative),
        miss=miss,
        on_target=None if miss is None else _on_target(miss, fitted),
        biased_high=n * ess.value < 1000,
        worst_path=_largest_share((log_w - log_w.mean()).square()),
        samples=n,
        chain=chain,
    )


def _largest_share(parts: Tensor) -> float:
    total = float(parts.sum())
    return float(parts.max()) / total if total > 0 else 1 / len(parts)


def _something_to_do(relative: Tensor, log_tilt: Tensor, log_weight: Tensor) -> bool:
    """Whether KL(target ‖ model) = ⟨r⟩_target − ln Z differs from zero by more than two standard errors.

    Both averages are self-normalised, so that a constant r gives exactly zero.
    """
    plain = torch.exp(log_weight - log_weight.max())
    plain = plain / plain.mean()
    centred = log_tilt - log_tilt.max()
    mean = float((relative * centred).mean())
    tilt = torch.exp(centred)
    z = float((plain * tilt).mean())
    kl = mean - math.log(z)
    influence = relative * (centred - mean) - plain * (tilt - z) / z
    stderr = float(influence.std(correction=0)) / math.sqrt(len(influence))
    return kl > max(1e-9, 2 * stderr)


def _on_target(miss: Estimate, fitted: Tensor | None) -> bool:
    judged = miss.value if fitted is None else miss.value[fitted]
    return bool((judged.abs() <= ON_TARGET).all())


def _miss(observed: Tensor, target: Tensor, spread: Tensor) -> Estimate:
    observed = observed.detach().to(torch.float64)
    return Estimate.from_samples((observed - target) / spread)


def least_work(probability: float, success: float) -> float:
    """Least work, nats, that puts a share s into a region of probability p: s ln(s/p) + (1 − s) ln((1 − s)/(1 − p)).

    >>> round(least_work(1e-3, 1.0), 4), least_work(0.3, 0.3)
    (6.9078, 0.0)
    """
    parts = ((success, probability), (1 - success, 1 - probability))
    return sum(q * math.log(q / p) for q, p in parts if q > 0)


def log_odds(probability: float, success: float) -> float:
    """L = ln [s (1 − p) / (p (1 − s))]: a tilt by L 1_A changes the share of A from p to s.

    >>> round(log_odds(1e-3, 0.5), 4)
    6.9068
    """
    return math.log(success) - math.log1p(-success) + math.log1p(-probability) - math.log(probability)
