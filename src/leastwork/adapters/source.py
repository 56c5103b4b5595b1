"""Models as people name them: a bundled name, a folder, a Python file, or the settings of an adapter."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias, cast

from torch import nn

from leastwork.adapters.registry import settings_from
from leastwork.adapters.settings import ModelSettings
from leastwork.errors import ConfigError
from leastwork.models import files
from leastwork.models.base import Model
from leastwork.models.bundled import bundled_models, warn_of_folder
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.frames import FrameModel
from leastwork.models.velocity import VelocityModel

__all__ = ["ModelName", "StoredModel", "load_model", "source_of"]


@dataclass(frozen=True, kw_only=True)
class StoredModel(ModelSettings):
    """A bundled model, or a folder written by :func:`leastwork.save_model`.

    A bundled name wins over a folder of the same name, which is written with a separator, as ./prinz.
    """

    name: str

    def build(self) -> Model:
        return files.load_model(self.name)

    @property
    def label(self) -> str:
        return Path(self.name).name

    @property
    def paths(self) -> Mapping[str, Path]:
        is_folder = self.name not in bundled_models() and os.path.isdir(self.name)
        return {"name": Path(self.name)} if is_folder else {}

    def with_paths(self, place: Callable[[str, Path], Path]) -> Self:
        if not self.paths:
            return self
        name = str(place("name", self.paths["name"]))
        return type(self)(name=os.path.join(os.curdir, name) if name in bundled_models() else name)

    def anchored(self, folder: Path) -> Self:
        warn_of_folder(self.name, folder)
        is_here = self.name not in bundled_models() and os.path.isdir(folder / self.name)
        return type(self)(name=str(folder / self.name)) if is_here else self

    def needed(self, name: str, path: Path) -> Iterable[Path]:
        return [path / one for one in ("model.json", "model.safetensors") if (path / one).is_file()]

    def plain(self) -> str:
        return self.name


ModelName: TypeAlias = str | Path | Mapping[Any, Any] | ModelSettings
"""A bundled name, a folder, keys and values as they stand at ``model:`` in a run file, or settings."""


def source_of(model: ModelName) -> ModelSettings:
    """The settings of a model in any of its forms.

    Args:
        model: a bundled name, a folder, keys and values as they stand at ``model:`` in a run file, or settings.

    Raises:
        ConfigError: keys or values that cannot be used.

    >>> source_of("prinz").label, source_of({"adapter": "bioemu", "sequence": "YYDPETGTWY"}).label
    ('prinz', 'bioemu YYDPETGTWY')
    """
    if isinstance(model, ModelSettings):
        return model
    return settings_from(model) if isinstance(model, Mapping) else StoredModel(name=files.name_of(model))


def load_model(model: ModelName, net: nn.Module | None = None) -> DiffusionModel | FrameModel | VelocityModel:
    """A model in any of the forms of ``model:`` in a run file.

    Args:
        model: the name of a bundled model, such as "prinz"; a folder written by :func:`leastwork.save_model`; or keys
            and values, such as ``{"adapter": "bioemu", "sequence": …}`` or ``{"python": "my_model.py"}``, whose file is
            executed. A bundled name wins over a folder of that name, which is written "./prinz" or ``Path("prinz")``.
        net: the network that takes the weights of a folder, if it is not one of this package.

    Raises:
        ConfigError: an unknown name, adapter or key (the message suggests the nearest), a missing package or file, or
            a file that is a pickle, truncated or foreign.
    """
    if isinstance(model, str | Path):
        warn_of_folder(files.name_of(model), Path())
        return files.load_model(model, net)
    if net is not None:
        raise ConfigError("net= is for a folder of weights: with an adapter, name the network in its settings")
    return cast(Any, source_of(model).build())
