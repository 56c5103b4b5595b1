"""Names of the models that come with the package, found without loading torch or a model."""

import json
import os
import warnings
from pathlib import Path

from leastwork.errors import LeastworkWarning

__all__ = ["FOLDER", "bundled_models", "describe_bundled", "warn_of_folder"]

FOLDER = Path(__file__).parent / "bundled_weights"
_KINDS = {"diffusion": "DiffusionModel", "velocity": "VelocityModel", "frames": "FrameModel"}


def bundled_models() -> list[str]:
    """Names of the models that come with the package.

    >>> "prinz" in bundled_models()
    True
    """
    return sorted(folder.name for folder in FOLDER.iterdir() if (folder / "model.json").exists())


def describe_bundled(name: str) -> str:
    """The kind of a bundled model and the shape of its states.

    >>> describe_bundled("prinz")
    'DiffusionModel, event shape (1,)'
    """
    told = json.loads((FOLDER / name / "model.json").read_text(encoding="utf-8"))
    return f"{_KINDS[told['kind']]}, event shape {tuple(told['event_shape'])}"


def warn_of_folder(name: str, folder: Path) -> None:
    """Say which is meant, if a bundled model and a folder have the same name: the bundled model.

    Args:
        name: the name of a model; a path with a separator is not that of a bundled model.
        folder: where a folder of that name may lie.

    Warns:
        LeastworkWarning: there is such a folder.
    """
    if name in bundled_models() and os.path.isdir(folder / name):
        warnings.warn(
            f"{name} is a bundled model, which is taken, and a folder in {folder.resolve()}: write ./{name} for the "
            "folder",
            LeastworkWarning,
            stacklevel=2,
        )
