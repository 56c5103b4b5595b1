"""A model that a Python file defines as ``model``; the file is executed.

model: {python: my_model.py}        model: {python: my_model.py, files: [weights.safetensors]}

Modules of its folder that it imports are found without being named.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import ClassVar

from leastwork.adapters.settings import ModelSettings, key
from leastwork.errors import ConfigError
from leastwork.models.base import Model, is_model
from leastwork.support.user_code import execute

__all__ = ["ADAPTERS", "PythonSettings"]


@dataclass(frozen=True, kw_only=True)
class PythonSettings(ModelSettings):
    """A Python file, which finds the other files it reads by ``Path(__file__).parent``."""

    runs_code: ClassVar[tuple[str, ...]] = ("python",)

    python: Path = key("a Python file that defines model, such as one of leastwork check-model --template")
    files: tuple[str, ...] = key("names of other files that it reads but does not import, in its folder", default=())

    def __post_init__(self) -> None:
        for name in self.files:
            if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
                raise ConfigError(f"files: {name} is not in the folder of {self.python.name}: put it there")

    @property
    def label(self) -> str:
        return self.python.stem

    def needed(self, name: str, path: Path) -> Iterable[Path]:
        return dict.fromkeys([*super().needed(name, path), *(path.parent / one for one in self.files)])

    def build(self) -> Model:
        for path in self.needed("python", self.python):
            if not path.is_file():
                raise ConfigError(f"{path}: there is no such file, give its path relative to the run file")
        model = execute(self.python, beside=True).get("model")
        if not is_model(model):
            found = "it defines no model" if model is None else f"its model is a {type(model).__name__}"
            raise ConfigError(f"{self.python}: {found}, set model = lw.DiffusionModel(...) or one of another kind")
        return model


ADAPTERS: Mapping[str, type[ModelSettings]] = {"python": PythonSettings}
