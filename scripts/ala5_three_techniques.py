"""Synthetic data of the alanine pentapeptide by three techniques, from the frames of the second force field, ff03.

    python scripts/ala5_three_techniques.py                  # writes the files of the run ala5-techniques
    python scripts/ala5_three_techniques.py --seed 1 --out mine

couplings    the 27 that were measured (Graf et al., J. Am. Chem. Soc. 129, 1179, 2007), from the frames by the
             relations ``vogeli2007``; noise from Σ of the relations, half of it shared by residues, and 0.1 Hz of the
             measurement
SAXS         24 intensities from 0.03 to 0.3 1/Å of residues as beads, in an arbitrary unit; noise of 1 % of I(0) and
             that of the beads, 0.1 (q/0.3)² of I
NOE          H, Hα and Cβ up to three residues apart; distances ⟨r⁻⁶⟩^(−1/6) with 15 % of noise are upper bounds up to
             0.5 nm, beyond which the contact is not seen

Only frames that ship with the package are read, so that the same seed writes the same files.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from leastwork.cases import ala5
from leastwork.data.coupling import Coupling
from leastwork.data.couplings import Couplings
from leastwork.data.noe import noe_experiment, read_noe
from leastwork.data.saxs_curve import SaxsCurve, read_saxs
from leastwork.data.trust import chi_squared
from leastwork.observables import effective_distance, evaluate, group_inverse_powers, saxs, saxs_error
from leastwork.observables.protons import WithProtons

RUNS = Path(ala5.DATA).parent / "runs"
MEASUREMENT = 0.1  # Hz
MOMENTA = torch.linspace(0.03, 0.3, 24, dtype=torch.float64)  # 1/Å
COUNTING = 0.01  # of I(0)
UNIT_OF_INTENSITY = 1e-6  # of the file, relative to electrons²
OF_DISTANCE = 0.15
SEEN = 0.5  # nm
PAIRS = (("HA", "H", 1), ("H", "H", 1), ("CB", "H", 1), ("HA", "H", 2), ("H", "H", 2), ("HA", "H", 3))
"""Two atoms, and by how many residues the second comes later."""


FILES = ("ala5-ff03-couplings.csv", "ala5-ff03-saxs.dat", "ala5-ff03-noe.csv")


def couplings(x: Tensor, random: torch.Generator) -> str:
    rows = [Coupling(row.kind, row.residue, 0.0, MEASUREMENT) for row in ala5.couplings().rows]
    data = Couplings(tuple(rows)).experiment(ala5.BACKBONE, shared=0.5)
    noise = torch.linalg.cholesky(data.covariance) @ torch.randn(len(rows), generator=random, dtype=torch.float64)
    values = evaluate(data.observable, x).double().mean(dim=0) + noise
    lines = [
        f'"{row.kind}",{row.residue},{value:.2f},{MEASUREMENT}\n'
        for row, value in zip(rows, values.tolist(), strict=True)
    ]
    return "# unit: Hz\nkind,residue,value,error\n" + "".join(lines)


def curve(x: Tensor, random: torch.Generator) -> str:
    intensity = evaluate(saxs([0.0, *MOMENTA.tolist()], "A" * len(ala5.SEQUENCE), ca=ala5.BACKBONE.ca), x)
    forward, *mean = (UNIT_OF_INTENSITY * intensity.double().mean(dim=0)).tolist()
    counted = COUNTING * forward
    exact = torch.tensor(mean, dtype=torch.float64)
    sigma = (counted**2 + (saxs_error(MOMENTA) * exact).square()).sqrt()
    measured = exact + sigma * torch.randn(len(sigma), generator=random, dtype=torch.float64)
    lines = [f"{q:.5f} {i:.6g} {counted:.6g}\n" for q, i in zip(MOMENTA.tolist(), measured.tolist(), strict=True)]
    return "Synthetic: q in 1/A, I in an arbitrary unit, error of I\n" + "".join(lines)


def contacts(x: Tensor, random: torch.Generator) -> str:
    residues = range(1, len(ala5.SEQUENCE) + 1)
    pairs = [
        (f"{i}:{first}", f"{i + apart}:{second}")
        for first, second, apart in PAIRS
        for i in residues
        if i + apart in residues and (first != "H" or i > 1)
    ]
    structures = WithProtons(ala5.BACKBONE, tuple(dict.fromkeys(atom for pair in pairs for atom in pair)))
    powers = group_inverse_powers([((structures.index(a),), (structures.index(b),)) for a, b in pairs])
    distance = effective_distance(evaluate(powers, structures(x)).double().mean(dim=0))
    noisy = distance * (1 + OF_DISTANCE * torch.randn(len(pairs), generator=random, dtype=torch.float64))
    lines = []
    for (a, b), measured in zip(pairs, noisy.tolist(), strict=True):
        bound = f"{measured:.3f}," if measured < SEEN else f",{SEEN}"
        lines.append(f"{a},{b},{bound},{OF_DISTANCE * min(measured, SEEN):.3f}\n")
    return "# unit: nm\ni,j,upper,unseen,error\n" + "".join(lines)


def of_the_truth(x: Tensor, folder: Path) -> dict[str, float]:
    """χ² per datum of each technique by the averages that the data were made from: how unlucky the noise is."""
    first, second, third = (folder / name for name in FILES)
    measured = read_saxs(second)
    scaled = SaxsCurve(measured.q, measured.intensity / UNIT_OF_INTENSITY, measured.error / UNIT_OF_INTENSITY)
    data = {
        "couplings": Couplings.from_csv(first).experiment(ala5.BACKBONE, shared=0.5),
        "saxs": scaled.experiment("A" * len(ala5.SEQUENCE), ca=ala5.BACKBONE.ca),
        "noe": noe_experiment(read_noe(third), backbone=ala5.BACKBONE),
    }
    return {
        name: chi_squared(evaluate(one.observable, x).double().mean(dim=0), one, torch.arange(len(one.names)))
        for name, one in data.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="seed of the noise")
    parser.add_argument("--out", type=Path, default=RUNS, help="folder of the files")
    arguments = parser.parse_args()
    x, random = ala5.ensembles().other, torch.Generator().manual_seed(arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, write in zip(FILES, (couplings, curve, contacts), strict=True):
        (arguments.out / name).write_text(write(x, random), encoding="utf-8")
        print(arguments.out / name)
    for name, value in of_the_truth(x, arguments.out).items():
        print(f"χ² per datum of the frames themselves, {name}: {value:.2f}")


if __name__ == "__main__":
    main()
