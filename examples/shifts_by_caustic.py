"""Chemical shifts by caustic-nmr (`pip install caustic-nmr`) for `kind: command` of a run file, of an all-atom model:

observables:
  - kind: command
    command: [python3, shifts_by_caustic.py]
    files: [shifts_by_caustic.py]
    atoms: protein.pdb               # names the atoms of the model's states
    names: [CA 2, CB 2, CA 3]        # nucleus and number of the residue
    unit: ppm
    workers: 2

It reads structures.pdb, predicts each model for itself, and writes values.csv with a column for each nucleus of each
residue. The network of caustic-nmr (0.4.1, MIT) is in the package, nothing is downloaded. Its errors, 0.76 ppm of Cα
and 0.86 ppm of Cβ in the mean by its own benchmark, belong in the errors of the data.
"""

import csv
import tempfile
from importlib.resources import files
from pathlib import Path


def models(text: str) -> list[str]:
    """The PDB text of each model."""
    parts = [part.split("ENDMDL")[0].partition("\n")[2] for part in text.split("MODEL ")[1:]]
    return [f"{atoms}END\n" for atoms in parts]


def shifts(pdb: str, folder: Path) -> dict[str, float]:
    """Shifts of all nuclei of a structure, ppm, by names such as "CA 2"."""
    from caustic import predict_shifts_onnx

    file = folder / "one.pdb"
    file.write_text(pdb)
    found = predict_shifts_onnx(str(file), str(files("caustic.data") / "best_v2_carbons.onnx"))
    return {
        f"{nucleus} {residue}": float(value)
        for nucleus, values in found.mean.items()
        if values is not None
        for residue, value in zip(found.seq_ids, values, strict=True)
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = [shifts(pdb, Path(folder)) for pdb in models(Path("structures.pdb").read_text())]
    with Path("values.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()
