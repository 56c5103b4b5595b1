"""The files of a finished run that its report links, with what each holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

__all__ = ["LinkedFile", "files_of"]

_HOLDS = {
    "config.yaml": "the settings, which make the same run again",
    "metrics.json": "all numbers of this page",
    "ensemble.zarr": "the samples with their weights, which xarray opens",
    "structures": "samples as PDB and XTC for a viewer, with their weights",
    "guidance": "the guidance, which leastwork.load_run reads",
    "fit": "how the guidance was fitted",
    "inputs": "copies of the files that the run was given",
    "physical.safetensors": "which samples pass the test of the run",
}


@dataclass(frozen=True)
class LinkedFile:
    """A file or folder beside the page: its name, its address relative to the page, and what it holds."""

    name: str
    address: str
    holds: str


def files_of(folder: Path, below: str = "") -> Sequence[LinkedFile]:
    """Those of the known files that are there.

    Args:
        folder: the folder of a finished run.
        below: the folder's name relative to the page; empty if the page is in it.
    """
    before = f"{below}/" if below else ""
    return [
        LinkedFile(f"{before}{name}", f"./{quote(before + name)}", holds)
        for name, holds in _HOLDS.items()
        if (folder / name).exists()
    ]
