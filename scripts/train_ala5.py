"""Train the bundled model of the alanine pentapeptide's biased ensemble on its simulated frames, and measure it.

First uniform in the log-SNR, then in larger batches two thirds of which lie where structures decide for a basin. A
sixth of the frames, the last of each run, is held out; the loss on it tells how far the frames are learned by heart.
After scripts/simulate_ala5.py, run

    python scripts/train_ala5.py --device cuda

four minutes on one H200, where it made the bundled model; the CPU takes half a day.
"""

from pathlib import Path

import torch
from structures import Stage, arguments, denoising_loss, trained
from torch import Tensor

import leastwork as lw
from leastwork.cases import ala5
from leastwork.observables import evaluate

FOLDER = Path("src/leastwork/models/bundled_weights/ala5")
FRAMES = Path("runs/ala5/ff99sb-lowered.pt")
HELD_OUT = 6
STAGES = (
    Stage(100_000, 2048, 2e-3, 0.9998, ((1.0, -8.0, 9.2),)),
    Stage(40_000, 4096, 7e-4, 0.9998, ((0.65, -4.0, 4.0), (0.35, -7.0, 9.2))),
)


def main() -> None:
    given = arguments(__doc__ or "", FOLDER, width=384)
    runs = torch.load(FRAMES, weights_only=True)["frames"]
    kept = [len(x) - len(x) // HELD_OUT for x in runs]
    frames = torch.cat([x[:n] for x, n in zip(runs, kept, strict=True)])
    held_out = torch.cat([x[n:] for x, n in zip(runs, kept, strict=True)])
    model = trained(frames, STAGES, given)
    for name, x in (("training", frames), ("held-out", held_out)):
        print(f"loss on {name} frames: {denoising_loss(model, x, STAGES[0], seed=1)}")
    drawn = lw.sample(model, 8_000, solver="euler", steps=120, t_grid="balanced", seed=1).x
    assert isinstance(drawn, Tensor)
    populations = ala5.populations()
    for name, x in (("model", drawn), ("simulation", torch.cat(runs))):
        share = evaluate(populations, x).double().mean(dim=0)
        print(f"{name}: " + ", ".join(f"{k} {v:.3f}" for k, v in zip(populations.names, share.tolist(), strict=True)))


if __name__ == "__main__":
    main()
