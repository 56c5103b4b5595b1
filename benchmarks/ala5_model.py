"""The bundled model of the alanine pentapeptide against its simulation.

    python -m benchmarks.ala5_model

Jensen–Shannon divergence of each residue's histogram of φ and ψ, beside that of equally many simulated frames against
all the others, which is the noise of the count; a mirror image would show as φ of the other sign. Mean W₁ of the bond
lengths, and all couplings. Simulated frames are those of the whole trajectories where scripts/simulate_ala5.py has left
them, and the thinned ones that ship with the package elsewhere.

Takes about two minutes on one core.
"""

from pathlib import Path

import torch
from torch import Tensor

import leastwork as lw
from benchmarks.command import options
from benchmarks.problems import points
from leastwork.cases import ala5
from leastwork.observables import Backbone, distances, evaluate, scalar_couplings, torsions
from leastwork.observables.couplings import KINDS
from leastwork.statistics.discrepancy import histogram_divergence, wasserstein

WHOLE = Path("runs/ala5/ff99sb-lowered.pt")
BINS = 36
RESIDUES = range(2, 6)
BONDS = distances([(i, i + 1) for i in range(15)])
CHAIN: Backbone = ala5.BACKBONE


def frames() -> Tensor:
    if WHOLE.exists():
        return torch.cat(torch.load(WHOLE, weights_only=True)["frames"])
    return ala5.ensembles().biased


def bins(x: Tensor, residue: int) -> Tensor:
    """Share of each bin of (φ, ψ), (BINS²,)."""
    angles = torsions([CHAIN.phi(residue), CHAIN.psi(residue)])(x).double()
    place = ((angles / (2 * torch.pi) + 0.5) * BINS).long().clamp(0, BINS - 1)
    return torch.bincount(place[:, 0] * BINS + place[:, 1], minlength=BINS**2).double() / len(x)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--samples", type=int, default=18_000)
    parser.add_argument("--model", default="ala5", help="a bundled name or a folder")
    arguments = parser.parse_args()
    n, model, truth = arguments.samples, lw.load_model(arguments.model), frames()
    some = torch.randperm(len(truth), generator=torch.Generator().manual_seed(0))
    noise = [histogram_divergence(bins(truth[some[:n]], i), bins(truth[some[n:]], i)) for i in RESIDUES]
    print("JS of φ, ψ, residues 2 to 5, nats: frames against frames " + " ".join(f"{js:.4f}" for js in noise))
    kinds = [(kind, residue) for kind in KINDS for residue in RESIDUES]
    couplings = scalar_couplings(CHAIN, kinds)
    simulated = lw.Estimate.from_samples(evaluate(couplings, truth).double()).value
    for cost in (60, 120):
        x = points(lw.sample(model, n, solver="euler", steps=cost - 1, t_grid="balanced", seed=cost))
        found = [histogram_divergence(bins(x, i), bins(truth, i)) for i in RESIDUES]
        bonds = float(wasserstein(BONDS(x).double(), BONDS(truth).double()).mean())
        print(f"{cost} evaluations: JS " + " ".join(f"{js:.4f}" for js in found) + f"  W1 of bonds {bonds:.5f} nm",
              flush=True)  # fmt: skip
        modelled = lw.Estimate.from_samples(evaluate(couplings, x).double())
        for k, (kind, residue) in enumerate(kinds):
            off = float(modelled.value[k] - simulated[k])
            print(f"    {kind:10}{residue}  {float(modelled.value[k]):7.3f} ± {float(modelled.stderr[k]):.3f}  "
                  f"off {off:+.3f} Hz{'' if abs(off) <= 0.1 else '  more than 0.1'}")  # fmt: skip


if __name__ == "__main__":
    main()
