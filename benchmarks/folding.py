"""ΔG of folding of the bundled chignolin model, F_unfolded − F_folded, against counting at equal network evaluations.

Guided paths know p of the rarer state with the relative variance χ²/n, where χ² = 1/ESS − 1 is that of one path's
weight, and ΔG = ln((1 − p)/p) with χ²/n (1 − p)²; N samples that are counted know it with 1/N p (1 − p). Estimates from
independent samples add up in information, 1/e², so no division of a budget between the model's own samples and guided
paths, which cost c of them each, does better than the better of the two alone:

    error / error of counting ≥ min(1, (c χ² p/(1 − p))^{1/2})

    python -m benchmarks.folding --samples 6000 --reference 20000

Takes three minutes on one core.
"""

import math

from torch import Tensor

import leastwork as lw
from benchmarks.command import options
from benchmarks.table import markdown
from leastwork.cases import chignolin
from leastwork.geometry.state import State
from leastwork.models.denoised import PULL
from leastwork.statistics.estimate import Estimate

__all__ = ["least_ratio", "main", "rarity_for"]

_COST = 1 + PULL  # evaluations a step where V sees the denoised state; paths that also polish take more
_WANTED = 0.2


def folded(x: State) -> Tensor:
    """Q > 0.7."""
    assert isinstance(x, Tensor)
    return chignolin.is_folded(x)


def least_ratio(p: float, variance: float, cost: float = _COST) -> float:
    """Smallest error over that of counting at equal evaluations, for a state of probability p.

    >>> round(least_ratio(0.12, 1.2), 2), round(least_ratio(1 / 1500, 1.2), 3)
    (0.57, 0.04)
    """
    return min(1.0, math.sqrt(cost * variance * p / (1 - p)))


def rarity_for(ratio: float, variance: float, cost: float = _COST) -> float:
    """The largest p at which that ratio can be met.

    >>> round(rarity_for(0.2, 1.2), 4)
    0.0164
    """
    return ratio**2 / (ratio**2 + cost * variance)


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--samples", type=int, default=6000, help="guided samples")
    parser.add_argument("--own", type=int, default=4000, help="samples of the model")
    parser.add_argument("--reference", type=int, default=20_000, help="samples of the model that are counted")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    model = lw.load_model("chignolin")
    found = lw.free_energy_difference(
        model, folded, lambda x: ~folded(x), samples=chosen.samples, own=chosen.own, steps=chosen.steps,
        seed=chosen.seed,
    )  # fmt: skip
    share = lw.sample(model, chosen.reference, steps=chosen.steps, seed=chosen.seed + 1).mean(
        lambda x: folded(x).float()
    )
    p = float(share.value)
    counted = Estimate(math.log(p / (1 - p)), float(share.stderr) / (p * (1 - p)))
    rows = [
        ("free_energy_difference", str(found.value), f"{found.network_evaluations / 1e6:.2f}", f"{found.seconds:.0f}"),
        (
            "counting, the same evaluations",
            f"± {found.counting_error:.2g}",
            f"{found.network_evaluations / 1e6:.2f}",
            "",
        ),
        ("counting, reference", str(counted), f"{chosen.reference * (chosen.steps + 1) / 1e6:.2f}", ""),
    ]
    print(markdown(("", "F_unfolded − F_folded, k_BT", "evaluations, 10⁶", "s"), rows))
    print("effective samples:", [round(float(n)) for n in found.effective])
    variance = (found.value.stderr * (1 - p)) ** 2 * chosen.samples  # what the error says about one path
    least = least_ratio(p, variance)
    print(f"χ² = {variance:.2f}: at p = {p:.3f} the ratio is at least {least:.2f}, and {_WANTED} takes "
          f"p ≤ {rarity_for(_WANTED, variance):.4f}, or χ² ≤ {_WANTED**2 * (1 - p) / (_COST * p):.3f}")  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
