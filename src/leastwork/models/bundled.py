"""Names of the models that come with the package, found without loading torch or a model."""

import json
from pathlib import Path

__all__ = ["FOLDER", "bundled_models", "describe_bundled"]

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
