"""A run file of a joint run: YAML that names other runs, its parts, which are reported on one page."""

from collections.abc import Collection, Sequence
from typing import Annotated, Any

from pydantic import (
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from leastwork.errors import ConfigError
from leastwork.runs.base.file import first_key, shown
from leastwork.runs.base.settings import Named
from leastwork.support.text import nearest, quoted

__all__ = ["JointFile"]

_Part = Annotated[str, Field(pattern=r"^[^/\\.]+$")]


class JointFile(Named):
    """A joint run, as its file says it."""

    runs: dict[_Part, str] = Field(
        min_length=2,
        description="two parts or more, each a name without slashes and dots, and a bundled run's name or a run file, "
        "its path relative to this file",
    )

    @field_validator("runs", mode="wrap")
    @classmethod
    def _whole(cls, runs: Any, check: ValidatorFunctionWrapHandler) -> Any:
        """Check the parts as a whole, so that an error shows all of them; a part may be called 1."""
        try:
            return check({str(part): source for part, source in runs.items()} if isinstance(runs, dict) else runs)
        except ValidationError:
            raise ValueError from None

    def settings_of_parts(self, settings: Sequence[str], known: Collection[str]) -> dict[str, list[str]]:
        """The settings of each part: those under its name, and those that are under no name.

        Args:
            settings: ``key=value``, in their order; those of this file itself are left out.
            known: keys of the parts.

        Raises:
            ConfigError: a key that is none of a part, nor one.

        >>> file = JointFile(name="both", runs={"a": "prinz", "b": "moons"})
        >>> file.settings_of_parts(["seed=3", "b.sampling.n=500"], ["seed", "sampling"])
        {'a': ['seed=3'], 'b': ['seed=3', 'sampling.n=500']}
        """
        found: dict[str, list[str]] = {part: [] for part in self.runs}
        for setting in settings:
            first = first_key(setting)
            rest = setting.strip().removeprefix(f"{first}.")
            if first in type(self).model_fields:
                continue
            if first in found and rest == setting.strip():
                raise ConfigError(
                    f"--set {shown(setting)}: {quoted(first)} is a part, name one of its settings, as in "
                    f"{first[:40]}.sampling.n=500"
                )
            if first in found:
                found[first].append(rest)
            elif first in known or "=" not in setting:
                for each in found.values():
                    each.append(setting)
            else:
                raise ConfigError(
                    f"--set {shown(setting)}: no part or setting {quoted(first)}{nearest(first, [*found, *known])}"
                )
        return found
