"""ΔG of folding of the bundled chignolin model, F_unfolded − F_folded, against counting at equal network evaluations.

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
from leastwork.statistics.estimate import Estimate

__all__ = ["main"]


def folded(x: State) -> Tensor:
    """Q > 0.7."""
    assert isinstance(x, Tensor)
    return chignolin.is_folded(x)


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
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
