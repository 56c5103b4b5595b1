"""The bundled model of chignolin against its simulation, and each solver's error against its cost.

    python -m benchmarks.chignolin_model

Mean W₁ of the nine bond lengths, the folded fraction, the Jensen–Shannon divergence of the histogram of Q, and the
share of mirror images among the compact structures, for every solver and number of network evaluations; then how many
samples a second 30 evaluations give on all threads. Simulated frames are those of the whole trajectory where
scripts/simulate_chignolin.py has left it, and the thinned ones that ship with the package elsewhere. The figure is
docs/images/chignolin-solvers.png.

Takes about a quarter of an hour on one core.
"""

import time
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

import leastwork as lw
from benchmarks.command import options
from benchmarks.picture import open_frame, save
from benchmarks.problems import points
from leastwork.cases import chignolin
from leastwork.cases.chignolin.errors import jensen_shannon
from leastwork.observables import distances, rmsd
from leastwork.statistics.discrepancy import wasserstein

WHOLE = Path("runs/chignolin/biased.pt")
BONDS = distances([(i, i + 1) for i in range(9)])
SOLVERS: dict[str, dict[str, Any]] = {
    "SDE, Euler, uniform": {"process": "sde", "solver": "euler", "t_grid": "uniform"},
    "SDE, Euler": {"process": "sde", "solver": "euler", "t_grid": "log-snr"},
    "SDE, Euler, balanced": {"process": "sde", "solver": "euler", "t_grid": "balanced"},
    "SDE, exponential": {"process": "sde", "solver": "exponential", "t_grid": "log-snr"},
    "ODE, Heun": {"process": "ode", "solver": "heun", "t_grid": "log-snr"},
    "ODE, multistep": {"process": "ode", "solver": "multistep", "t_grid": "log-snr"},
}
COSTS = (15, 30, 60, 120, 240)


def frames() -> Tensor:
    return torch.load(WHOLE, weights_only=True) if WHOLE.exists() else chignolin.ensembles().biased


def bond_error(x: Tensor, y: Tensor) -> float:
    """Mean W₁ of the nine bond lengths, nm."""
    return float(wasserstein(BONDS(x).double(), BONDS(y[:: max(len(y) // 50_000, 1)]).double()).mean())


def mirror_share(x: Tensor) -> lw.Estimate:
    """Of structures with Q > 0.75, the share nearer to the mirror image of the crystal structure than to itself."""
    compact = x[chignolin.native()(x)[:, 0] > 0.75]
    mirror = chignolin.NATIVE * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    nearer = rmsd(mirror)(compact)[:, 0] < rmsd(chignolin.NATIVE)(compact)[:, 0]
    return lw.Estimate.from_samples(nearer.double())


def describe(name: str, x: Tensor, truth: Tensor) -> dict[str, float]:
    folded = lw.Estimate.from_samples(chignolin.is_folded(x).double())
    found = {
        "bonds": bond_error(x, truth),
        "folded": folded.value,
        "js": jensen_shannon(chignolin.native()(x)[:, 0], chignolin.native()(truth)[:, 0]),
    }
    print(f"{name:<34} W1 of bonds {found['bonds']:.5f} nm  folded {folded}  JS of Q {found['js']:.5f}  "
          f"mirror images {mirror_share(x)}", flush=True)  # fmt: skip
    return found


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--samples", type=int, default=20_000)
    n = parser.parse_args().samples
    model, truth = lw.load_model("chignolin"), frames()
    half = len(truth) // 2
    describe("simulation, one half by the other", truth[half : half + n * (half // n) : half // n], truth[:half])
    describe(f"{n} frames of it", truth[:: len(truth) // n][:n], truth)
    found: dict[str, list[tuple[int, dict[str, float]]]] = {name: [] for name in SOLVERS}
    for name, law in SOLVERS.items():
        for cost in COSTS:
            steps = (cost - 1) // 2 if law["solver"] == "heun" else cost - 1
            begin = time.perf_counter()
            try:
                drawn = lw.sample(model, n, seed=cost, steps=steps, **law)
            except lw.LeastworkError as error:
                print(f"{name}, {cost} evaluations: {error}", flush=True)
                continue
            seconds = time.perf_counter() - begin
            used = drawn.network_evaluations // n
            found[name].append((used, describe(f"{name}, {used} evaluations", points(drawn), truth)))
            if cost == 30:
                print(f"    {n / seconds:.0f} samples/s on {torch.get_num_threads()} threads", flush=True)
    true_share = float(chignolin.is_folded(truth).double().mean())
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    panels = figure.subplots(1, 3)
    for name, rows in found.items():
        x = [used for used, _ in rows]
        panels[0].plot(x, [r["bonds"] for _, r in rows], "o-", markersize=3, label=name)
        panels[1].plot(x, [abs(r["folded"] - true_share) for _, r in rows], "o-", markersize=3)
        panels[2].plot(x, [r["js"] for _, r in rows], "o-", markersize=3)
    titles = ("$W_1$ of bond lengths,  nm", "error of the folded fraction", "JS of $Q$,  nats")
    for axes, title, wanted in zip(panels, titles, (1e-3, 0.02, 0.01), strict=True):
        axes.axhline(wanted, color="0.7", linewidth=0.8, linestyle="--")
        axes.set(xscale="log", yscale="log", xlabel="network evaluations", title=title)
        axes.set_xticks(COSTS, [str(c) for c in COSTS])
        axes.minorticks_off()
        open_frame(axes)
    figure.legend(frameon=False, fontsize=8, loc="outside right upper")
    save(figure, "chignolin-solvers")


if __name__ == "__main__":
    main()
