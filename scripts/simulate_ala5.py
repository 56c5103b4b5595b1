"""Simulate the alanine pentapeptide with two force fields, and compare its scalar couplings with the measured ones.

    python scripts/simulate_ala5.py --ship

Four runs of each force field with lowered barriers, from four conformations, and as many without, as a check, go on in
turn, half a nanosecond at a time. What there is so far is in runs/ala5/ after each, <force field>-lowered.pt (only the
frames that are kept) and <force field>.pt, and the command given again goes on from there, to more if told so. The seed
of each half nanosecond follows from its place, so an interrupted simulation and an uninterrupted one are the same.
With ``--ship``, thinned frames and the record go to src/leastwork/cases/ala5/data/. Needs the extra ``protein``.

The couplings are those of Graf et al. (J. Am. Chem. Soc. 129, 1179, 2007) by the Karplus relations ``vogeli2007``, and

    χ² = mean of ((⟨J⟩ − J_measured)/σ)²

with the Karplus relations' σ. Standard errors are those of blocks of the independent runs.
"""

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from leastwork.cases import ala5
from leastwork.cases.ala5.simulation import (
    FORCE_FIELDS,
    FRICTION,
    HYDROGEN_MASS,
    LOWERED,
    RESIDUES,
    STARTS,
    TEMPERATURE,
    TIMESTEP,
    Phase,
    Simulation,
    kept,
)
from leastwork.observables import torsions
from leastwork.observables.couplings import KINDS, scalar_couplings
from leastwork.observables.karplus import KARPLUS

TRAJECTORIES = Path("runs/ala5")
UNIT = 1e-4  # nm, of a shipped coordinate
SHIPPED = {"ff99sb": ("biased", 20_000), "ff03": ("other", 5_000)}
"""Under which name, and how many frames; ff99sb has the larger χ², and so gets most of the time."""
BLOCKS = 10  # of a run
EVERY = 100  # steps between frames, 0.5 ps
CHUNK = 1000  # frames
NANOSECONDS = EVERY * CHUNK * TIMESTEP * 1e-3  # of a chunk
EQUILIBRATION = 10_000  # steps before a run's first frame, 50 ps


MEASURED = {(row.kind, row.residue): row.value for row in ala5.couplings().rows}
"""Hz; all but ³J(HN,C′) of residue 3."""

DATA_OF_COUPLINGS = [(kind, residue) for kind in KINDS for residue in range(2, RESIDUES + 1)]


@dataclass
class Runs:
    """All runs of a force field so far: the frames of each, where it stopped, and how many chunks it has."""

    force_field: str
    lowered: bool = True
    frames: list[Tensor] = field(default_factory=lambda: [torch.empty(0, 3 * RESIDUES + 1, 3) for _ in STARTS])
    phases: list[Phase | None] = field(default_factory=lambda: [None for _ in STARTS])
    chunks: list[int] = field(default_factory=lambda: [0 for _ in STARTS])

    @property
    def path(self) -> Path:
        return TRAJECTORIES / (f"{self.force_field}-lowered.pt" if self.lowered else f"{self.force_field}.pt")

    @property
    def nanoseconds(self) -> float:
        return sum(self.chunks) * NANOSECONDS

    def load(self) -> "Runs":
        if self.path.exists():
            saved = torch.load(self.path, weights_only=True)
            self.frames = saved["frames"]
            self.phases = [None if each is None else Phase(*each) for each in saved["phases"]]
            self.chunks = saved["chunks"]
        return self

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        phases = [None if each is None else (each.positions, each.velocities) for each in self.phases]
        partial = self.path.with_suffix(".tmp")
        torch.save({"frames": self.frames, "phases": phases, "chunks": self.chunks}, partial)
        partial.replace(self.path)

    def further(self) -> None:
        """One chunk of the shortest run."""
        run = min(range(len(STARTS)), key=lambda k: self.chunks[k])
        seed = seed_of(self.force_field, self.lowered, run, self.chunks[run])
        simulation = Simulation(self.force_field, seed, self.phases[run] or STARTS[run], lowered=self.lowered)
        if self.phases[run] is None:
            simulation.step(EQUILIBRATION)
        x = simulation.trajectory(CHUNK, EVERY)
        x = kept(x, seed) if self.lowered else x
        self.frames[run], self.phases[run] = torch.cat([self.frames[run], x]), simulation.phase
        self.chunks[run] += 1


def seed_of(force_field: str, lowered: bool, run: int, chunk: int) -> int:
    return 1 + chunk + 1_000_000 * run + 10_000_000 * (list(FORCE_FIELDS).index(force_field) + 2 * lowered)


def simulate(every: list[Runs], lengths: list[float]) -> None:
    """Until each has so many nanoseconds, all its runs together."""
    start = time.perf_counter()
    while True:
        k = min(range(len(every)), key=lambda k: every[k].nanoseconds / lengths[k])
        if every[k].nanoseconds >= lengths[k]:
            return
        every[k].further()
        every[k].save()
        sizes = ", ".join(f"{runs.path.stem} {runs.nanoseconds:g} ns" for runs in every)
        print(f"{time.perf_counter() - start:.0f} s: {sizes}", flush=True)


def angles(x: Tensor) -> tuple[Tensor, Tensor]:
    """φ and ψ of residues 2 to 5, degrees, (B, 4) each."""
    residues = range(2, RESIDUES + 1)
    of = ([ala5.BACKBONE.phi(i) for i in residues], [ala5.BACKBONE.psi(i) for i in residues])
    phi, psi = (torsions(atoms)(x).double().rad2deg() for atoms in of)
    return phi, psi


def couplings(x: Tensor) -> Tensor:
    """Of each frame, Hz, (B, 28)."""
    return scalar_couplings(ala5.BACKBONE, DATA_OF_COUPLINGS)(x.double())


def block_means(values: list[Tensor]) -> Tensor:
    """Of ten blocks of each run, (10 runs, ...); of equal weight, for the runs are equally long but for a chunk."""
    return torch.cat([v[: len(v) // BLOCKS * BLOCKS].unflatten(0, (BLOCKS, -1)).mean(dim=1) for v in values])


def mean_and_error(values: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean over all frames of all runs and its standard error by blocks."""
    means = block_means([v.double() for v in values])
    return torch.cat(values).double().mean(dim=0), means.std(dim=0) / math.sqrt(len(means))


def transitions(phi: Tensor, psi: Tensor) -> int:
    """Crossings between the middles of α_R and of PPII and β, in either direction."""
    negative = phi < 0
    helix, strand = negative & (psi > -70) & (psi < 0), negative & ((psi > 110) | (psi < -170))
    return crossings(helix.long() - strand.long())


def visits(phi: Tensor) -> int:
    """How often φ, degrees, comes to 40…90 from below −40, or the other way."""
    return crossings(((phi > 40) & (phi < 90)).long() - ((phi > -150) & (phi < -40)).long())


def crossings(side: Tensor) -> int:
    """How often the sign of ``side`` changes; where it is 0, no side is taken."""
    side = side[side != 0]
    return int((side[1:] != side[:-1]).sum())


def chi_squared(means: Tensor) -> dict[str, float]:
    """Of each kind of coupling, of all 27 and of all but the one whose ψ ends at the terminal oxygen."""
    squares: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for mean, (kind, residue) in zip(means.tolist(), DATA_OF_COUPLINGS, strict=True):
        measured = MEASURED.get((kind, residue))
        if measured is not None:
            squares[kind].append(((mean - measured) / KARPLUS["vogeli2007"][kind].sigma) ** 2)
    everything = [each for kind in squares.values() for each in kind]
    inner = sum(everything) - squares["1J(N,CA)"][-1]
    return {
        **{kind: sum(each) / len(each) for kind, each in squares.items()},
        "all": sum(everything) / len(everything),
        "all_but_1J(N,CA)_5": inner / (len(everything) - 1),
    }


def statistics(runs: Runs) -> dict[str, Any]:
    """What is worth knowing of a force field's runs."""
    each = [couplings(x) for x in runs.frames]
    degrees = [angles(x) for x in runs.frames]
    mean, error = mean_and_error(each)
    blocks = block_means(each)
    chi = chi_squared(mean)
    without = [chi_squared((blocks.sum(dim=0) - one) / (len(blocks) - 1)) for one in blocks]
    populations = {
        name: mean_and_error([inside(phi, psi).double() for phi, psi in degrees])
        for name, inside in ala5.BASINS.items()
    }
    return {
        "nanoseconds": runs.nanoseconds,
        "frames": [len(x) for x in runs.frames],
        "kept": sum(len(x) for x in runs.frames) / (CHUNK * sum(runs.chunks)),
        "first_seeds": [seed_of(runs.force_field, runs.lowered, k, 0) for k in range(len(STARTS))],
        "chi_squared": {
            kind: {"value": value, "stderr": jackknife([one[kind] for one in without])} for kind, value in chi.items()
        },
        "couplings": [
            {
                "kind": kind,
                "residue": residue,
                "mean": float(mean[k]),
                "stderr": float(error[k]),
                "runs": [float(one[:, k].mean()) for one in each],
                "measured": MEASURED.get((kind, residue)),
            }
            for k, (kind, residue) in enumerate(DATA_OF_COUPLINGS)
        ],
        "populations": [
            {"state": name, "residue": i + 2, "mean": float(fraction[i]), "stderr": float(uncertainty[i])}
            for name, (fraction, uncertainty) in populations.items()
            for i in range(RESIDUES - 1)
        ],
        "transitions": {
            str(i + 2): sum(transitions(phi[:, i], psi[:, i]) for phi, psi in degrees) for i in range(RESIDUES - 1)
        },
        "visits_to_alpha_L": {str(i + 2): sum(visits(phi[:, i]) for phi, _ in degrees) for i in range(RESIDUES - 1)},
    }


def jackknife(without: list[float]) -> float:
    """Standard error from the values that leave out one block each."""
    values = torch.tensor(without, dtype=torch.float64)
    return float(((values - values.mean()).square().sum() * (len(values) - 1) / len(values)).sqrt())


def table(record: dict[str, Any]) -> str:
    """Of the couplings beside the measured ones, χ², populations and transitions."""
    each = [record[name][kind] for name in FORCE_FIELDS for kind in ("lowered", "plain")]
    lines = ["couplings, Hz: measured; " + "; ".join(f"{name} lowered, plain" for name in FORCE_FIELDS)]
    for rows in zip(*(one["couplings"] for one in each), strict=True):
        measured = rows[0]["measured"]
        lines.append(f"{rows[0]['kind']:10}{rows[0]['residue']} {'' if measured is None else measured:6}{shown(rows)}")
    for kind in each[0]["chi_squared"]:
        rows = [{"mean": one["chi_squared"][kind]["value"], **one["chi_squared"][kind]} for one in each]
        lines.append(f"chi2 {kind:20}{shown(rows)}")
    for rows in zip(*(one["populations"] for one in each), strict=True):
        lines.append(f"{rows[0]['state']:10}{rows[0]['residue']}{shown(rows)}")
    for name in FORCE_FIELDS:
        for kind in ("lowered", "plain"):
            one = record[name][kind]
            lines.append(f"{name} {kind}: frames {one['frames']}, {one['nanoseconds']:g} ns, kept {one['kept']:.3f}")
            lines.append(f"  transitions {one['transitions']}, to and from alpha_L {one['visits_to_alpha_L']}")
            lines.append(f"  largest error {max(row['stderr'] for row in one['couplings']):.3f} Hz")
        lines.append(f"{name}: mean squared z of lowered against plain {record[name]['mean_squared_z']:.2f}")
    return "\n".join(lines)


def shown(rows: Sequence[dict[str, Any]]) -> str:
    return "".join(f"{row['mean']:9.3f} ± {row['stderr']:.3f}" for row in rows)


def recorded(every: list[Runs]) -> dict[str, Any]:
    record: dict[str, Any] = {
        "temperature_K": TEMPERATURE,
        "friction_per_ps": FRICTION,
        "timestep_ps": TIMESTEP,
        "hydrogen_mass_u": HYDROGEN_MASS,
        "picoseconds_between": EVERY * TIMESTEP,
        "equilibration_ps": EQUILIBRATION * TIMESTEP,
        "starts_degrees": STARTS,
        "blocks": BLOCKS * len(STARTS),
        "karplus": "vogeli2007",
        "lowered": [asdict(each) for each in LOWERED],
    }
    for name in FORCE_FIELDS:
        both = {
            ("lowered" if runs.lowered else "plain"): statistics(runs) for runs in every if runs.force_field == name
        }
        pairs = zip(*(one["couplings"] for one in both.values()), strict=True)
        z = [(a["mean"] - b["mean"]) / math.hypot(a["stderr"], b["stderr"]) for a, b in pairs]
        record[name] = {"files": FORCE_FIELDS[name], "mean_squared_z": sum(each**2 for each in z) / len(z), **both}
    return record


def ship(every: list[Runs], record: dict[str, Any]) -> None:
    """Thinned frames, of the runs with lowered barriers, and the record."""
    whole = {}
    for runs in every:
        if runs.lowered:
            x, (name, number) = torch.cat(runs.frames), SHIPPED[runs.force_field]
            chosen = x[torch.linspace(0, len(x) - 1, min(number, len(x))).round().long()]
            whole[name] = (chosen / UNIT).round().to(torch.int16).contiguous()
    ala5.DATA.mkdir(exist_ok=True)
    save_file(whole, ala5.DATA / "frames.safetensors")
    numbers = {name: len(x) for name, x in whole.items()}
    of = {name: force_field for force_field, (name, _) in SHIPPED.items()}
    shipped = {"unit_nm": UNIT, "number": numbers, "force_field": of, "atoms": "N1 CA1 C1 N2 ... C5 OXT5"}
    text = json.dumps({"frames": shipped, **record}, indent=1)
    (ala5.DATA / "simulation.json").write_text(text + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ff99sb", type=float, default=36, help="nanoseconds of ff99SB, all runs together")
    parser.add_argument("--ff03", type=float, default=6, help="nanoseconds of ff03, all runs together")
    parser.add_argument("--plain-ff99sb", type=float, default=30.5, help="nanoseconds without lowered barriers")
    parser.add_argument("--plain-ff03", type=float, default=8, help="nanoseconds without lowered barriers")
    parser.add_argument("--ship", action="store_true", help="write what ships with the package")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lengths = [getattr(arguments, f"{plain}{name}") for plain in ("", "plain_") for name in FORCE_FIELDS]
    every = [Runs(name, lowered).load() for lowered in (True, False) for name in FORCE_FIELDS]
    simulate(every, lengths)
    record = recorded(every)
    print(table(record))
    if arguments.ship:
        ship(every, record)


if __name__ == "__main__":
    main()
