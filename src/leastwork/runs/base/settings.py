"""What all run files have in common: strict keys, a name, a model, how samples are drawn, and files to be moved."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self

import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat

from leastwork.sampling.sample import ProcessName

__all__ = [
    "AnyConfig",
    "AnySettings",
    "CertificateSamples",
    "JointSettings",
    "Named",
    "SamplingConfig",
    "Seed",
    "Strict",
    "sampling_choices",
]


class Strict(BaseModel):
    """Refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class SamplingConfig(Strict):
    """How samples are drawn."""

    n: int = Field(default=10_000, ge=2, description="the number of guided samples, at least 2")
    process: ProcessName = Field(default="sde", description="a process")
    solver: Literal["multistep", "exponential", "euler", "heun"] = Field(default="multistep", description="a solver")
    steps: int = Field(default=100, ge=1, description="the number of steps, at least 1")
    t_grid: Literal["signal", "uniform", "log-snr", "balanced"] | tuple[FiniteFloat, ...] | None = Field(
        default=None,
        description="'signal', 'uniform', 'log-snr', 'balanced', or a list of decreasing times; "
        "left out it is what fits the solver",
    )
    kappa: FiniteFloat | None = Field(
        default=None, gt=0, description="the noise level of the SDE, above 0, or left out for 1"
    )
    batch_size: int = Field(default=1024, ge=1, description="the number of samples in memory at a time, at least 1")


Seed = Annotated[int, Field(ge=0, lt=2**63, description="a whole number, 0 or more")]
CertificateSamples = Annotated[
    int | None,
    Field(ge=2, description="a number of samples for the certificate alone, or left out to use the run's own"),
]


def _text(value: Any) -> Any:
    """A model or run may be called 7."""
    return str(value) if isinstance(value, int | float) else value


_Text = Annotated[str, BeforeValidator(_text)]


class Named(Strict):
    """What every run file begins with."""

    name: _Text = Field(min_length=1, pattern=r"^[^/\\]+$", description="a name for the run, without slashes")
    description: str = Field(default="", description="one sentence about the run")


class AnyConfig(Named):
    """A run of either kind."""

    model: _Text = Field(description="a bundled model's name, or a folder written by save_model")
    sequence: str | None = Field(
        default=None,
        pattern="^[ACDEFGHIKLMNPQRSTVWY]+$",
        description="a protein's one-letter codes, such as YYDPETGTWY, where states are its Cα atoms in nm",
    )

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        """The same run with ``place(file)`` for each file that it names."""
        raise NotImplementedError


class AnySettings(Protocol):
    """What the run files of all single runs have, as reports read it."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def sequence(self) -> str | None: ...
    @property
    def system(self) -> str | None: ...
    @property
    def method(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def sampling(self) -> SamplingConfig: ...
    @property
    def certificate_samples(self) -> int | None: ...


class JointSettings(Protocol):
    """What the run file of a joint run says, as reports read it."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def runs(self) -> Mapping[str, Any]: ...


def sampling_choices(chosen: SamplingConfig) -> dict[str, Any]:
    """Choices as :func:`leastwork.sample` takes them."""
    choices = chosen.model_dump(exclude={"n"})
    if isinstance(chosen.t_grid, tuple):
        choices["t_grid"] = torch.tensor(chosen.t_grid, dtype=torch.float64)
    return choices
