"""Calibrate and simulate both force fields of chignolin, and make the Markov model: frames, committor, statistics.

    python scripts/simulate_chignolin.py

writes what ships with the package to src/leastwork/cases/chignolin/data/ and the whole trajectories, which
scripts/train_chignolin.py learns from, to runs/chignolin/. Needs the extra ``protein``.
"""

import argparse
import json
import math
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from chignolin_committor import markov_model
from safetensors.torch import save_file
from torch import Tensor

from leastwork.cases import chignolin
from leastwork.cases.chignolin.simulation import TIMESTEP, Simulation
from leastwork.observables import end_to_end, radius_of_gyration

TRAJECTORIES = Path("runs/chignolin")
EVERY = 100  # steps between frames, 1 ps
BIAS = 0.15  # folded fraction that the biased force field is to have
SEEDS = {"biased": 1, "reference": 5}
BLOCKS = 50
SHIPPED = 20_000  # frames of each
GUIDES = 20
RUNS = Path("src/leastwork/cases/chignolin/runs")
UNIT = 1e-4  # nm, of a shipped coordinate


def simulate(contacts: float, frames: int, seed: int) -> Tensor:
    torch.set_num_threads(1)
    return Simulation(replace(chignolin.REFERENCE, contacts=contacts), seed).trajectory(frames, EVERY)


def calibrated(x: Tensor, contacts: float, target: float) -> float:
    """E with which the smooth folded fraction is the target, by reweighting frames of another E."""
    beta = 1 / (chignolin.BOLTZMANN * chignolin.TEMPERATURE)
    folded, nativeness = chignolin.folded()(x)[:, 0].double(), chignolin.nativeness(x).double()
    low, high = contacts - 10, contacts + 10
    for _ in range(40):
        middle = 0.5 * (low + high)
        weight = torch.softmax(beta * (middle - contacts) * nativeness, dim=0)
        low, high = (middle, high) if float(weight @ folded) < target else (low, middle)
    return round(low, 2)


def blocks(values: Tensor) -> dict[str, float]:
    """Mean and standard error of a trajectory's observable, from the means of 50 blocks."""
    means = values.double()[: len(values) // BLOCKS * BLOCKS].reshape(BLOCKS, -1).mean(dim=1)
    return {"mean": float(values.double().mean()), "stderr": float(means.std() / math.sqrt(BLOCKS))}


def crossings(q: Tensor) -> int:
    """Transitions between Q < 0.25 and Q > 0.9, in either direction."""
    side = torch.where(q > 0.9, 1, torch.where(q < 0.25, -1, 0))
    side = side[side != 0]
    return int((side[1:] != side[:-1]).sum())


def barriers(q: Tensor) -> dict[str, float]:
    """Heights of the barrier along Q, k_BT, seen from the unfolded and from the folded side; 25 bins."""
    energy = -torch.histc(q.float(), 25, 0, 1).log()
    top = int(energy[8:22].argmax()) + 8
    low, high = energy[:top].min(), energy[top:].min()
    return {"Q": (top + 0.5) / 25, "from_unfolded": float(energy[top] - low), "from_folded": float(energy[top] - high)}


def statistics(x: Tensor) -> dict[str, Any]:
    """What is worth knowing of a whole trajectory."""
    pairs, _ = chignolin.native_contacts()
    q, contacts = chignolin.native()(x)[:, 0], chignolin.contact_map()(x)
    return {
        "frames": len(x),
        "picoseconds_between": EVERY * TIMESTEP,
        "folded": blocks(chignolin.folded()(x)[:, 0]),
        "folded_sharp": blocks(chignolin.is_folded(x)),
        "transitions": crossings(q),
        "barriers": barriers(q),
        "transition_region": blocks(chignolin.transition_region()(x)),
        "radius_of_gyration_nm": blocks(radius_of_gyration()(x)[:, 0]),
        "end_to_end_nm": blocks(end_to_end()(x)[:, 0]),
        "contacts": [{"pair": pair, **blocks(c)} for pair, c in zip(pairs.tolist(), contacts.T, strict=True)],
    }


def ship(biased: Tensor, reference: Tensor, energies: dict[str, float]) -> None:
    """Thinned frames, the committor and the record."""
    chignolin.DATA.mkdir(exist_ok=True)
    tensors, markov = markov_model(biased)
    save_file(tensors, chignolin.DATA / "committor.safetensors")
    both = {"biased": biased, "reference": reference}
    thinned = {name: x[:: len(x) // SHIPPED][:SHIPPED] for name, x in both.items()}
    thinned["transition"] = biased[guides_and_rest(biased)[1]]
    whole = {name: (x / UNIT).round().to(torch.int16).contiguous() for name, x in thinned.items()}
    save_file(whole, chignolin.DATA / "frames.safetensors")
    record = {
        "frames": {"unit_nm": UNIT, "number": SHIPPED},
        "temperature_K": chignolin.TEMPERATURE,
        "seeds": SEEDS,
        "contacts_kJ_mol": energies,
        "markov": markov,
        **{name: statistics(x) for name, x in both.items()},
    }
    (chignolin.DATA / "simulation.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    write_run_files(biased, record)
    print(json.dumps({name: {k: v for k, v in record[name].items() if k != "contacts"} for name in both}, indent=1))


def guides_and_rest(biased: Tensor) -> tuple[Tensor, Tensor]:
    """Frames in the transition region: twenty far apart in time, and all others."""
    hits = chignolin.transition_region()(biased).nonzero()[:, 0]
    first = torch.arange(GUIDES) * (len(hits) // GUIDES)
    return hits[first], hits[~torch.isin(torch.arange(len(hits)), first)]


def write_run_files(biased: Tensor, record: dict[str, Any]) -> None:
    """Guides and held-out data of the bundled runs."""
    chosen = biased[guides_and_rest(biased)[0]].flatten(1)
    names = ",".join(f"{axis}{i + 1}" for i in range(len(chignolin.NATIVE)) for axis in "xyz")
    rows = [",".join(f"{value:.4f}" for value in row) for row in chosen.tolist()]
    (RUNS / "chignolin-guides.csv").write_text("\n".join([names, *rows]) + "\n", encoding="utf-8")
    truth = record["reference"]
    lines = ["name,value,error,held_out", f"folded,{chignolin.folded_fraction(chignolin.TEMPERATURE):.4f},0.03,false"]
    held = {"R_g": truth["radius_of_gyration_nm"], "end-to-end": truth["end_to_end_nm"]}
    held |= {"c({},{})".format(*each["pair"]): each for each in truth["contacts"]}
    lines += [f'"{name}",{each["mean"]:.5f},{each["stderr"]:.5f},true' for name, each in held.items()]
    (RUNS / "chignolin-data.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--biased", type=int, default=700_000, help="frames of the biased force field")
    parser.add_argument("--reference", type=int, default=500_000, help="frames of the reference force field")
    arguments = parser.parse_args()
    start = time.perf_counter()
    energies = {"biased": chignolin.BIASED.contacts, "reference": chignolin.REFERENCE.contacts}
    lengths = arguments.biased, arguments.reference
    with ProcessPoolExecutor(2) as pool:
        biased, reference = pool.map(simulate, energies.values(), lengths, SEEDS.values())
    TRAJECTORIES.mkdir(parents=True, exist_ok=True)
    torch.save(biased, TRAJECTORIES / "biased.pt")
    torch.save(reference, TRAJECTORIES / "reference.pt")
    measured = chignolin.folded_fraction(chignolin.TEMPERATURE)
    weak = calibrated(biased, energies["biased"], BIAS)
    strong = calibrated(reference, energies["reference"], measured)
    print(f"simulated in {time.perf_counter() - start:.0f} s; by reweighting, E = {weak} kJ/mol would fold {BIAS:.0%}, "
          f"and {strong} the measured {measured:.1%}", flush=True)  # fmt: skip
    ship(biased, reference, energies)


if __name__ == "__main__":
    main()
