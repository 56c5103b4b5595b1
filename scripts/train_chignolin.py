"""Train the bundled model of chignolin's biased ensemble on its simulated frames, and measure it.

First uniform in the log-SNR, then in larger batches two thirds of which lie where structures decide for a basin and
for a hand; last and longest between −2.5 and 2.5, where that goes wrong: the model brings frames back as they were
that are noised to a log-SNR of 2, but not those that are noised to 0. After scripts/simulate_chignolin.py, run

    python scripts/train_chignolin.py
"""

from pathlib import Path

import torch
from structures import Stage, arguments, trained
from torch import Tensor

import leastwork as lw
from leastwork.cases import chignolin

FOLDER = Path("src/leastwork/models/bundled_weights/chignolin")
FRAMES = Path("runs/chignolin/biased.pt")

STAGES = (
    Stage(50_000, 512, 2e-3, 0.999, ((1.0, -8.0, 9.2),)),
    Stage(14_000, 1024, 7e-4, 0.9995, ((0.65, -4.0, 3.0), (0.35, -7.0, 9.2))),
    Stage(44_000, 1024, 1e-3, 0.9998, ((0.7, -2.5, 2.5), (0.3, -7.0, 9.2))),
)


def main() -> None:
    given = arguments(__doc__ or "", FOLDER)
    frames = torch.load(FRAMES, weights_only=True)
    model = trained(frames, STAGES, given)
    drawn = lw.sample(model, 10_000, solver="euler", steps=200, t_grid="log-snr", seed=1).x
    assert isinstance(drawn, Tensor)
    for name, x in (("model", drawn), ("simulation", frames)):
        print(f"{name}: folded {lw.Estimate.from_samples(chignolin.folded()(x)[:, 0].double())}")


if __name__ == "__main__":
    main()
