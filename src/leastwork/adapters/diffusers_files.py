"""A network of ``diffusers`` with its scheduler, from a folder as ``save_pretrained`` writes it; nothing is downloaded.

folder/unet (or transformer): config.json, diffusion_pytorch_model.safetensors      folder/scheduler: its config
folder/vae: the autoencoder of a latent model, through which observables see images

Conditions are numbers in the run file, or tensors of a file of safetensors: ``encoder_hidden_states``, or with a dot
those of an inner dictionary, ``added_cond_kwargs.text_embeds``; those without condition begin with ``null.``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leastwork.adapters.diffusers import from_diffusers
from leastwork.adapters.network import as_tensor, as_tensors
from leastwork.adapters.settings import ModelSettings, key
from leastwork.adapters.wrapping import package
from leastwork.errors import ConfigError
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.weights import read_weights, refuse_pickle
from leastwork.support.json_files import read_json
from leastwork.support.text import brief

__all__ = ["ADAPTERS", "DiffusersSettings"]

_NETWORKS = ("unet", "transformer")  # folders in which a pipeline has its network
_WEIGHTS = "diffusion_pytorch_model"


@dataclass(frozen=True, kw_only=True)
class DiffusersSettings(ModelSettings):
    """The network and the scheduler of a pipeline that was saved into a folder."""

    path: Path = key("a folder of a saved pipeline, with unet or transformer, and scheduler")
    decode: bool = key("false for observables of latents, where the folder has a vae", default=True)
    network: str | None = key("the folder of the network in it, unet or transformer unless given", default=None)
    event_shape: tuple[int, ...] | None = key(
        "the shape of one sample, channels first, or leave it out for that of the network's config", default=None
    )
    shift: float | list[Any] = key("a number, or numbers of the shape of a sample", default=0.0)
    scale: float | list[Any] = key("a number, or numbers of the shape of a sample", default=1.0)
    context: dict[str, Any] | None = key("further arguments of every call, as keys and values", default=None)
    null: dict[str, Any] | None = key("the arguments without condition that differ, as keys and values", default=None)
    embeddings: Path | None = key("a file of safetensors with further tensors of context and null", default=None)
    guidance_scale: float = key("the scale of classifier-free guidance, a number", default=1.0)

    @property
    def label(self) -> str:
        return self.path.name

    def needed(self, name: str, path: Path) -> Iterable[Path]:
        """Configurations, and the weights of the network and of its autoencoder."""
        if name != "path":
            return [path]
        folders = [self._network(path), *([path / "vae"] if self._decodes(path) else [])]
        weights = [file for folder in folders for file in folder.glob(f"{_WEIGHTS}*.safetensors")]
        return sorted(
            [*weights, *(file for folder in (path / "scheduler", *folders) for file in folder.glob("*.json"))]
        )

    def _decodes(self, path: Path) -> bool:
        return self.decode and (path / "vae" / "config.json").is_file()

    def _network(self, path: Path) -> Path:
        names = _NETWORKS if self.network is None else (self.network,)
        found = next((path / name for name in names if (path / name / "config.json").is_file()), None)
        if found is None or not (path / "scheduler" / "scheduler_config.json").is_file():
            lacking = f"{' or '.join(names)} with config.json" if found is None else "scheduler/scheduler_config.json"
            raise ConfigError(f"{path} has no {lacking}: give a folder that save_pretrained of a pipeline wrote")
        return found

    def build(self) -> DiffusionModel:
        theirs, folder = package("diffusers", "diffusers"), self._network(self.path)
        net = _network(theirs, folder)
        vae = _network(theirs, self.path / "vae") if self._decodes(self.path) else None
        given, null = _conditions(self.embeddings)
        scheduler = _made(theirs, self.path / "scheduler", "scheduler_config.json", theirs.SchedulerMixin)
        return from_diffusers(
            net,
            scheduler,
            _event_shape(net.config, folder) if self.event_shape is None else self.event_shape,
            shift=as_tensor(self.shift),
            scale=as_tensor(self.scale),
            context=as_tensors(self.context) | given,
            null=as_tensors(self.null) | null or None,
            guidance_scale=self.guidance_scale,
            vae=vae,
        )


def _network(theirs: Any, folder: Path) -> Any:
    """A network from its folder, in evaluation mode."""
    for pickle in folder.glob(f"{_WEIGHTS}*.bin"):
        if not any(folder.glob(f"{_WEIGHTS}*.safetensors")):
            refuse_pickle(pickle)
    net = _made(theirs, folder, "config.json", theirs.ModelMixin, use_safetensors=True, low_cpu_mem_usage=False)
    return net.eval().requires_grad_(False)


def _conditions(file: Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors of a file for the context and for the context without condition."""
    found: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for name, value in ({} if file is None else read_weights(file)).items():
        *inner, last = name.removeprefix("null.").split(".")
        part = found[name.startswith("null.")]
        for key_ in inner:
            part = part.setdefault(key_, {})
        part[last] = value
    return found


def _made(theirs: Any, folder: Path, config: str, kind: type, **more: Any) -> Any:
    """An object of a class of the package, from local files."""
    name = read_json(folder / config, "save the pipeline again").get("_class_name")
    found = getattr(theirs, str(name), None)
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise ConfigError(
            f"{folder / config} names {name!r}, which this version of diffusers has not: update diffusers"
        )
    try:
        return found.from_pretrained(folder, local_files_only=True, **more)  # pyright: ignore[reportAttributeAccessIssue]  (a mixin's)
    except Exception as error:  # a damaged folder fails in many ways
        raise ConfigError(
            f"{folder} cannot be loaded by diffusers ({brief(error)}): save the pipeline again"
        ) from error


def _event_shape(config: Any, folder: Path) -> tuple[int, ...]:
    channels, size = getattr(config, "in_channels", None), getattr(config, "sample_size", None)
    if not isinstance(channels, int) or not isinstance(size, int | list | tuple):
        raise ConfigError(f"{folder / 'config.json'} has no in_channels and sample_size: give event_shape")
    return (channels, size, size) if isinstance(size, int) else (channels, *size)


ADAPTERS: Mapping[str, type[ModelSettings]] = {"diffusers": DiffusersSettings}
