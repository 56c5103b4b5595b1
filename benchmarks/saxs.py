"""SAXS of residue beads: against all atoms by pyausaxs, and its time: `python -m benchmarks.saxs [FILE.pdb …]`.

For each protein the largest difference of I(q)/I(0) for q ≤ 0.3 1/Å, and the largest relative one, from pyausaxs
(pip install pyausaxs; without it from atoms summed here) with the displaced volumes of Fraser and no layer of water;
then the root mean square of the relative differences of all proteins at a few q. Residues with missing atoms are left
out on both sides. Without files: only OpenMM's villin.

Then the time of 10,000 chains of 76 residues at 50 q, with and without the layer of water, and how far memory rises
from a tenth to all of the chains; --threads 2 takes two cores. Takes half a minute.
"""

import resource
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import torch

from benchmarks.command import options
from benchmarks.table import markdown
from benchmarks.timing import cost
from benchmarks.united_atoms import Residue, amplitude, chains, read
from leastwork.observables import evaluate, saxs
from leastwork.observables.debye import debye
from leastwork.observables.residue_beads import BEADS, amplitudes, bead_of, bead_positions

Q = np.linspace(0.0, 0.3, 31)


def of_beads(residues: list[Residue]) -> np.ndarray:
    """I(q) by beads; several chains scatter together."""
    beads = [[bead_of(residue.letter) for residue in chain] for chain in chains(residues)]
    ca = [torch.tensor(np.array([residue.ca for residue in chain]))[None] for chain in chains(residues)]
    x = torch.cat([bead_positions(each, kinds) for each, kinds in zip(ca, beads, strict=True)], dim=1)
    amplitude_of, itself = amplitudes([bead for kinds in beads for bead in kinds], torch.tensor(Q))
    return (debye(x, amplitude_of, torch.eye(len(Q), dtype=torch.float64), torch.tensor(Q))[0] + itself.sum(0)).numpy()


def of_atoms(residues: list[Residue]) -> np.ndarray:
    """I(q) of the atomic groups themselves."""
    x = torch.tensor(np.concatenate([residue.x for residue in residues]))
    forms = {group: np.subtract(*amplitude(group, Q)) for residue in residues for group in residue.groups}
    weights = torch.tensor(np.array([forms[group] for residue in residues for group in residue.groups]))
    return debye(x[None], weights, torch.eye(len(Q), dtype=torch.float64), torch.tensor(Q))[0].numpy()


def of_ausaxs(residues: list[Residue]) -> np.ndarray:
    """I(q) by pyausaxs on its own q, interpolated: q of the caller leave out the form factors in version 1.3.0."""
    ausaxs = import_module("pyausaxs")
    ausaxs.settings.general(offline=True, verbose=False, warnings=False, threads=1)
    ausaxs.settings.molecule(exv_table="traube", implicit_hydrogens=True)
    ausaxs.settings.exv("fraser")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "protein.pdb"
        file.write_text(_pdb(residues))
        q, intensity = ausaxs.create_molecule(str(file)).debye()
    return np.exp(np.interp(Q, q, np.log(intensity)))


def _pdb(residues: list[Residue]) -> str:
    names = {bead: name for name, bead in import_module("benchmarks.united_atoms").ONE_LETTER.items()}
    lines, number = [], 0
    for place, residue in enumerate(residues, 1):
        for name, group, x in zip(residue.names, residue.groups, residue.x, strict=True):
            number += 1
            which = f"{number:5d}  {name:<3s} {names[residue.letter.upper()]} A{place:4d}"
            lines.append(f"ATOM  {which}    {''.join(f'{value:8.3f}' for value in x)}  1.00  0.00{group[0]:>12s}")
    return "\n".join([*lines, "END\n"])


def compare(files: Sequence[Path]) -> None:
    try:
        import_module("pyausaxs")
        reference = of_ausaxs
    except ImportError:
        reference = of_atoms
    rows, ratios = [], []
    for file in files:
        residues = read(file)
        own, other, atoms = (curve / curve[0] for curve in (f(residues) for f in (of_beads, reference, of_atoms)))
        ratios.append(own / other - 1)
        rows.append(
            (file.name.split(".")[0], str(len(residues)), f"{abs(own - other).max():.4f}",
             f"{abs(ratios[-1]).max():.3f}", f"{abs(atoms - other).max():.4f}")
        )  # fmt: skip
    print(f"reference: {reference.__name__}\n")
    head = ("protein", "residues", "largest difference of I/I(0)", "relative", "atoms summed here"), rows
    print(markdown(*head))
    worst = sorted(float(row[2]) for row in rows)
    print(f"\nlargest {worst[-1]}, median {worst[len(worst) // 2]}")
    size = np.sqrt(np.mean(np.square(ratios), axis=0))
    print("root mean square relative:", ", ".join(f"{size[k]:.3f} at {Q[k]:.2f}" for k in (5, 10, 20, 30)))


def measure(number: int, threads: int) -> None:
    generator = torch.Generator().manual_seed(0)
    step = torch.randn(number, 76, 3, generator=generator)
    x = (0.38 * step / step.norm(dim=2, keepdim=True)).cumsum(dim=1)
    sequence = "".join(list(BEADS)[k % 20] for k in range(76))
    q = [0.006 * k for k in range(1, 51)]
    for hydration in (0.0, 0.03):
        curve = saxs(q, sequence, hydration=hydration)
        evaluate(curve, x[: number // 10])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with ThreadPoolExecutor(threads) as pool:
            took = cost(lambda curve=curve, pool=pool: list(pool.map(partial(evaluate, curve), x.chunk(threads))))
        more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(f"layer {hydration}: {took.wall:.1f} s, {took.cpu:.1f} s of CPU time, memory + {more:.0f} MiB")


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="PDB files of proteins, or with .gz")
    parser.add_argument("--threads", type=int, default=1, help="threads that evaluate a share of the chains each")
    parser.add_argument("--chains", type=int, default=10_000, help="number of chains of which the time is taken")
    parser.add_argument("--only-time", action="store_true", help="leave out the comparison with all atoms")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # operations are small, so that the shares are divided and not the operations
    if not arguments.only_time:
        compare(arguments.files or [_villin()])
    print(f"\n{arguments.chains} chains of 76 residues, 50 q, threads: {arguments.threads}")
    measure(arguments.chains, arguments.threads)


def _villin() -> Path:
    return Path(str(import_module("openmm.app").__file__)).parent / "data" / "test.pdb"


if __name__ == "__main__":
    main()
