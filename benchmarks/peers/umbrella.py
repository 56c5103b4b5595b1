"""The free-energy profile of two states in 24 k_BT, against umbrella sampling by steering (arXiv:2602.16634).

    p = 0.9 N(−1, 1) + 0.1 N(2, 0.5²) on [−5.5, 5.5], the exact score, 100 steps

The paper's one-dimensional example: ten umbrella windows of 2,000 samples each, steered by Feynman–Kac correctors and
joined by MBAR. Here its windows are drawn by `lw.steer`, whose weights are those of the correctors for the discretised
chain. The harmonic potential, softened by the spread of x_0 given x_t, is the look-ahead, and its slope drives the
particles. Both take data of unit variance, so that they cost no derivative of the network and are exact for a window on
a normal density; the potential at the denoised state itself gave errors three times as large. The width is the best of
several. Windows stand as given, or with slopes by which they also reach into the tails. Both are joined by MBAR.

RMSE is that of F in 44 bins, after p has been normalised over the range; every method has at most as many network
evaluations as ten windows of 2,000 samples, learning included.

    python -m benchmarks.peers.umbrella --repeats 4

Takes ten minutes on one core.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import leastwork as lw
from benchmarks.command import options
from benchmarks.table import DOCS, markdown, merge
from leastwork.free_energy.mbar import solve_mbar
from leastwork.free_energy.result import bin_of
from leastwork.free_energy.windows import Window, balanced
from leastwork.geometry.state import State
from leastwork.models.predictions import Moments
from leastwork.systems.mixtures import GaussianMixture

__all__ = ["MIXTURE", "exact_profile", "main", "ours", "steered"]

MIXTURE = GaussianMixture([0.9, 0.1], [[-1.0], [2.0]], [1.0, 0.5])
_LOWER, _UPPER, _BINS = -5.5, 5.5, 44
_WINDOWS, _SAMPLES, _STEPS = 10, 2000, 100
_BUDGET = _WINDOWS * _SAMPLES * (_STEPS + 1)
_EDGES = (torch.linspace(_LOWER, _UPPER, _BINS + 1, dtype=torch.float64),)


@dataclass(frozen=True)
class Found:
    """F of each bin, (B,), normalised over the range, its errors if there are any, evaluations and seconds."""

    values: Tensor
    errors: Tensor | None
    evaluations: int
    seconds: float


def exact_profile() -> Tensor:
    """−ln of the mean density in each bin, normalised over the range, (B,)."""
    means, stds = MIXTURE.means[:, 0], MIXTURE.stds
    z = (_EDGES[0][:, None] - means) / stds
    right = z[:-1] > 0  # the upper tail is mirrored, where both Φ would round to one
    low, high = torch.where(right, -z[1:], z[:-1]), torch.where(right, -z[:-1], z[1:])
    mass = (torch.special.ndtr(high) - torch.special.ndtr(low)) @ MIXTURE.weights
    return _normalised(-mass.log())


def _normalised(values: Tensor) -> Tensor:
    known = values[values.isfinite()]
    return values + torch.logsumexp(-known, dim=0)


def ours(seed: int, samples: int = 1200, own: int = 4000, width: float = 0.46) -> Found:
    """`lw.free_energy_profile`."""
    profile = lw.free_energy_profile(
        MIXTURE.model(lw.VPSchedule()), lw.observables.component(0, "x"), lower=_LOWER, upper=_UPPER, bins=_BINS,
        samples=samples, own=own, width=width, steps=_STEPS, seed=seed,
    )  # fmt: skip
    return Found(_normalised(profile.values), profile.errors, profile.network_evaluations, profile.seconds)


@dataclass(frozen=True)
class Softened:
    """The window's potential as seen at noise, ln E[e^r | x_t], for data of unit variance around D.

    V = [−½(D − m)² + w²λ(D − m) + ½s²w²λ²]/(w² + s²)      s² = σ²/(α² + σ²)      h = α/(α² + σ²) ∂V/∂D
    """

    window: Window
    schedule: lw.VPSchedule
    through_network: bool = False

    def __call__(self, x: State, t: float, denoised: State) -> State:
        """h, (B, 1)."""
        m, away, width, slope, spread = self._parts(t, denoised)
        return m.alpha / (m.alpha**2 + m.sigma**2) * (width**2 * slope - away) / (width**2 + spread)

    def value(self, x: State, t: float, denoised: State) -> Tensor:
        """V, the look-ahead, (B,)."""
        _, away, width, slope, spread = self._parts(t, denoised)
        top = -0.5 * away.square() + width**2 * slope * away + 0.5 * spread * (width * slope) ** 2
        return (top / (width**2 + spread))[:, 0]

    def _parts(self, t: float, denoised: State) -> tuple[Moments, Tensor, float, float, float]:
        assert isinstance(denoised, Tensor)
        m = Moments.at(self.schedule, t)
        (middle,), (width,), (slope,) = self.window.middle, self.window.width, self.window.slope
        return m, denoised - middle, width, slope, m.sigma**2 / (m.alpha**2 + m.sigma**2)


def steered(windows: list[Window], seed: int, samples: int = _SAMPLES) -> Found:
    """Umbrella sampling by steering, joined by MBAR."""
    begin, schedule = time.perf_counter(), lw.VPSchedule()
    model = MIXTURE.model(schedule)
    seen: list[Tensor] = []
    evaluations = 0
    for number, window in enumerate(windows):
        tilt: Callable[[State], Tensor] = window.log_tilt  # pyright: ignore[reportAssignmentType]  (a plain tensor)
        pull = Softened(window, schedule)
        drawn = lw.steer(
            model, samples, tilt, pull, look_ahead=pull.value, particles=samples, steps=_STEPS,
            seed=1000 * seed + number,
        )  # fmt: skip
        weight = torch.softmax(drawn.log_weight + tilt(drawn.x), dim=0)
        random = torch.Generator().manual_seed(seed)
        seen.append(drawn.x[torch.multinomial(weight, samples, True, generator=random)].double())
        evaluations += drawn.network_evaluations
    every = torch.cat(seen)
    tilts = [torch.stack([window.log_tilt(one) for window in windows]) for one in seen]
    f = solve_mbar(tilts, torch.zeros(len(windows), dtype=torch.float64)).free_energies
    mixture = torch.logsumexp(f[:, None] + math.log(samples) + torch.cat(tilts, dim=1), dim=0)
    place = bin_of(every, _EDGES)
    mass = torch.zeros(_BINS, dtype=torch.float64).index_add(0, place[place >= 0], (-mixture).exp()[place >= 0])
    return Found(_normalised(-mass.log()), None, evaluations, time.perf_counter() - begin)


def _as_given(width: float) -> list[Window]:
    return [Window((m,), (width,), (0.0,)) for m in torch.linspace(_LOWER, _UPPER, _WINDOWS).tolist()]


def _in_the_tails(width: float) -> list[Window]:
    """Windows whose samples have their means at equal distances, from the exact density."""
    grid = torch.linspace(-16, 16, 8001, dtype=torch.float64)[:, None]
    middles = torch.linspace(_LOWER, _UPPER, _WINDOWS + 1, dtype=torch.float64)
    middles = (0.5 * (middles[1:] + middles[:-1]))[:, None]
    slopes = balanced(grid, MIXTURE.log_prob(grid), middles, torch.tensor([width], dtype=torch.float64))
    return [Window((float(m),), (width,), (float(s),)) for m, s in zip(middles, slopes, strict=True)]


def _row(name: str, found: list[Found]) -> tuple[str, ...]:
    exact = exact_profile()
    known = torch.stack([one.values for one in found])
    error, there = known - exact, known.isfinite()
    rmse = torch.stack([e[t].square().mean().sqrt() for e, t in zip(error, there, strict=True)])
    stderr = float(rmse.std()) / math.sqrt(len(rmse)) if len(rmse) > 1 else math.nan
    covered = "–"
    if found[0].errors is not None:
        errors = torch.stack([one.errors for one in found if one.errors is not None])
        covered = f"{float((error.abs() < 1.96 * errors)[there].double().mean()):.1%}"
    seconds, evaluations = (sum(getattr(o, part) for o in found) / len(found) for part in ("seconds", "evaluations"))
    return (
        name, f"{float(rmse.mean()):.3f} ± {stderr:.2g}", f"{int((~there).sum())}", covered, f"{evaluations / 1e6:.2f}",
        f"{seconds:.0f}",
    )  # fmt: skip


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--seed", type=int, default=20)
    chosen = parser.parse_args()
    seeds = range(chosen.seed, chosen.seed + chosen.repeats)
    rows = []
    for name, place in (("windows as given", _as_given), ("windows placed by the exact density", _in_the_tails)):
        for width in (0.5, 0.7, 1.0):
            rows.append(_row(f"steering, {name}, w = {width:g}", [steered(place(width), seed) for seed in seeds]))
            print(rows[-1], flush=True)
    rows.append(_row("free_energy_profile", [ours(seed) for seed in seeds]))
    print(f"budget: {_BUDGET / 1e6:.2f} million evaluations; {chosen.repeats} repeats")
    head = ("", "RMSE, k_BT", "bins without samples", "covered", "evaluations, 10⁶", "s")
    table = markdown(head, rows)
    print(table)
    for page in ("peers.md", "free-energy.md"):
        merge(DOCS / page, "umbrella", table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
