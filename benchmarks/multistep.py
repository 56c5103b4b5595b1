"""Do 20 to 30 multistep evaluations match 200 Euler steps? W₁ on the bundled Prinz model, mean of four seeds.

Each process is compared with 100,000 of its own samples at many multistep steps. The sampling error is the distance of
fifths of the reference from the rest of it.

python -m benchmarks.multistep

Takes about half a minute on one core.
"""

from typing import Any

import torch
from torch import Tensor

import leastwork as lw
from benchmarks.command import options
from benchmarks.problems import points, sampling_errors
from leastwork.statistics.discrepancy import wasserstein

SAMPLES, REFERENCE, SEEDS = 20_000, 100_000, 4
MULTISTEP: dict[str, Any] = {"solver": "multistep", "t_grid": "log-snr"}


def main() -> None:
    options(__doc__).parse_args()
    torch.set_num_threads(1)
    model = lw.load_model("prinz")

    def draw(n: int, seed: int, **choices: Any) -> Tensor:
        return points(lw.sample(model, n, seed=seed, batch_size=16_384, **choices))

    laws = {
        "sde": draw(REFERENCE, 900, steps=100, **MULTISTEP),
        "ode": draw(REFERENCE, 950, process="ode", steps=60, **MULTISTEP),
    }
    for process, law in laws.items():
        levels = torch.tensor(sampling_errors(law, SAMPLES))
        print(f"{process}: sampling error {levels.mean():.4f}, worst of {len(levels)} {levels.max():.4f}")
        rows: list[tuple[str, dict[str, Any]]] = (
            [("200 Euler steps", {"solver": "euler", "steps": 200})] if process == "sde" else []
        )
        rows += [(f"{n} multistep", {"steps": n, **MULTISTEP}) for n in (20, 25, 30)]
        for name, choices in rows:
            found = torch.tensor([wasserstein(draw(SAMPLES, s, process=process, **choices), law) for s in range(SEEDS)])
            print(f"  {name:<16} W1 {found.mean():.4f} ± {found.std() / SEEDS**0.5:.4f}", flush=True)


if __name__ == "__main__":
    main()
