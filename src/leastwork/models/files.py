"""Files of a model: ``model.safetensors`` (weights) and ``model.json`` (everything else). Nothing is unpickled."""

import difflib
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from leastwork.errors import ConfigError, LeastworkError
from leastwork.geometry.euclidean import ZeroCentre
from leastwork.models.base import Model, as_model
from leastwork.models.bundled import FOLDER, bundled_models
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.frames import FrameModel
from leastwork.models.mask import Places
from leastwork.models.placement import moved, placement
from leastwork.models.velocity import StandardNormal, UniformAngles, VelocityModel
from leastwork.models.weights import fill, refuse_pickle
from leastwork.networks.equivariant import EquivariantPerceptron
from leastwork.networks.frame_scores import FramePerceptron
from leastwork.networks.perceptron import Perceptron
from leastwork.schedules.angles import AngleSchedule
from leastwork.schedules.files import describe_schedule, schedule_from
from leastwork.support.arguments import path_of
from leastwork.support.json_files import read_json, write_json
from leastwork.support.tensor_files import write_tensors
from leastwork.support.text import brief, quoted

__all__ = [
    "check_fingerprint",
    "description_of",
    "fingerprint",
    "in_precision",
    "load_model",
    "name_of",
    "precision",
    "save_model",
]

_NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "Perceptron": Perceptron,
    "EquivariantPerceptron": EquivariantPerceptron,
    "FramePerceptron": FramePerceptron,
}
_PRECISIONS = {"float64": torch.float64, "float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def save_model(model: DiffusionModel | FrameModel | VelocityModel, folder: str | Path) -> None:
    """Write a model whose network is an ``nn.Module``.

    A network of this package (with ``.config``) is rebuilt by :func:`load_model`; pass any other network to it as
    ``net``.

    Raises:
        ConfigError: the network is a plain function, or a part has no file form.
    """
    folder = path_of("folder", folder)
    described = description_of(cast(Any, as_model(model)))
    folder.mkdir(parents=True, exist_ok=True)
    assert isinstance(model.net, nn.Module)
    weights = {key: value.detach().cpu().contiguous() for key, value in model.net.state_dict().items()}
    write_tensors(folder / "model.safetensors", weights)
    write_json(folder / "model.json", described)


def description_of(model: DiffusionModel | FrameModel | VelocityModel) -> dict[str, Any]:
    """The description of a model without its weights, as plain values.

    Raises:
        ConfigError: the network is a plain function, or a part has no file form.
    """
    if not isinstance(model.net, nn.Module):
        raise ConfigError("only a network that is a torch.nn.Module can be saved: wrap the function in one")
    if model.context:
        raise ConfigError("a model with context is not saved: save its network without, and add context on loading")
    if isinstance(model, DiffusionModel) and model.decode is not None:
        raise ConfigError("a model that decodes latents is not saved: save its networks, and make the model from them")
    name = type(model.net).__name__
    described: dict[str, Any] = {
        "format": 1,
        "network": {"name": name, "config": getattr(model.net, "config", None) if name in _NETWORKS else None},
        "event_shape": model.event_shape,
        "shift": 0.0 if isinstance(model, FrameModel) else _plain(model.shift),
        "scale": _plain(model.scale),
    }
    if isinstance(model, FrameModel):
        described |= {
            "kind": "frames",
            "schedule": describe_schedule(model.schedule),
            "angles": asdict(model.angles),
            "zero_centre": model.subspace is not None,
        }
    elif isinstance(model, DiffusionModel):
        if model.subspace is not None and not isinstance(model.subspace, ZeroCentre):
            raise ConfigError(f"subspace {model.subspace!r} has no file form: only ZeroCentre() has")
        described |= {
            "kind": "diffusion",
            "predicts": model.predicts,
            "schedule": describe_schedule(model.schedule),
            "zero_centre": model.subspace is not None,
        }
    else:
        if not isinstance(model.prior, StandardNormal | UniformAngles):
            raise ConfigError(f"prior {model.prior!r} has no file form: only StandardNormal and UniformAngles have")
        described |= {"kind": "velocity", "data_at_one": model.data_at_one, "prior_scale": model.prior_scale}
    described |= {"periodic": True} if not isinstance(model, FrameModel) and model.periodic else {}
    return described | ({"mask": model.mask.real.tolist()} if isinstance(model.mask, Places) else {})


def fingerprint(model: Model) -> str | None:
    """A hash of a model's weights, its decoder's included, and mask, the same in every precision; None without weights.

    >>> model = load_model("prinz")
    >>> fingerprint(model) == fingerprint(load_model("prinz"))
    True
    """
    if not isinstance(model.net, nn.Module):
        return None
    digest, decode = hashlib.blake2b(digest_size=16), getattr(model, "decode", None)
    weights = dict(model.net.state_dict())
    if isinstance(decode, nn.Module):
        weights |= {f"decode.{name}": value for name, value in decode.state_dict().items()}
    for name, value in sorted(weights.items()):
        plain = value.detach().cpu()
        plain = plain.float() if plain.is_floating_point() else plain
        digest.update(f"{name} {tuple(plain.shape)}".encode())
        digest.update(plain.contiguous().numpy().data)
    mask = getattr(model, "mask", None)
    if isinstance(mask, Places):
        digest.update(str(mask.real.tolist()).encode())
    return digest.hexdigest()


def check_fingerprint(model: Model, known: str | None, folder: Path) -> None:
    """Check that a model is the one for which a fit was made.

    Args:
        model: the model that is to be guided.
        known: the fingerprint stored with the fit, or None if there is none.
        folder: the folder of the fit, for the message.

    Raises:
        ConfigError: the model has other weights.
    """
    own = fingerprint(model)
    if known is not None and own is not None and own != known:
        raise ConfigError(
            f"the model's weights are not those that the guidance in {folder} was fitted to, or its mask is not: pass "
            "the model as it was, or fit anew in another folder"
        )


def precision(model: Model) -> str:
    """The floating-point type of a model's parameters by its name in torch, such as "float32"."""
    return str(placement(model)[1]).removeprefix("torch.")


def in_precision(model: Model, name: str | None) -> Model:
    """The model with its parameters in the precision of this name; None leaves the model as it is."""
    return model if name is None else moved(model, None, _PRECISIONS[name])


def load_model(name: str | Path, net: nn.Module | None = None) -> DiffusionModel | FrameModel | VelocityModel:
    """A bundled model by name, or one from a folder written by :func:`save_model`.

    Args:
        name: the name of a bundled model, such as "prinz", or a path; a bundled name wins over a folder of that name,
            which is written with a separator, "./prinz", or given as a ``Path``.
        net: the network that takes the weights, if it is not one of this package.

    Raises:
        ConfigError: the name is unknown (the message suggests the nearest), or the file is a pickle, truncated or
            foreign.
    """
    path_of("name", name)
    name = name_of(name)
    folder = FOLDER / name if name in bundled_models() else Path(name)
    if not os.path.exists(folder):
        known = bundled_models()
        near = difflib.get_close_matches(name[:80], known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"no model {quoted(name)}: {hint}bundled are {', '.join(known)}; or pass a folder")
    if folder.is_file():
        refuse_pickle(folder)
    if not folder.is_dir():
        raise ConfigError(f"{folder} is a file: pass a folder with model.safetensors and model.json (lw.save_model)")
    described = _read_json(folder / "model.json")
    try:
        net = _build_network(described, net, folder)
        if not (folder / "model.safetensors").exists():
            raise ConfigError(
                f"{folder / 'model.safetensors'} is missing: a model folder holds model.safetensors and model.json"
            )
        fill(net, folder / "model.safetensors")
        return _put_together(described, net)
    except LeastworkError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, MemoryError) as error:
        raise ConfigError(
            f"{folder / 'model.json'} is not a leastwork model ({brief(error)}): write it by save_model"
        ) from error


def name_of(name: str | Path) -> str:
    """A name or path as a run file writes it: an existing folder that is given as a ``Path`` has a separator."""
    is_bare = isinstance(name, Path) and not os.path.dirname(name) and os.path.exists(name)
    return os.path.join(os.curdir, name) if is_bare else str(name)


def _put_together(described: Mapping[str, Any], net: nn.Module) -> DiffusionModel | FrameModel | VelocityModel:
    """The model with a description and a network that has its weights."""
    shape = described["event_shape"]
    event_shape = tuple(tuple(part) if isinstance(part, list) else part for part in shape)
    shift, scale = _tensor(described["shift"]), _tensor(described["scale"])
    mask = Places(torch.tensor(described["mask"])) if "mask" in described else None
    periodic = described.get("periodic", False)
    if described["kind"] == "velocity":
        prior = UniformAngles() if periodic else StandardNormal(described["prior_scale"])
        at_one = described["data_at_one"]
        return VelocityModel(net, event_shape, prior, data_at_one=at_one, shift=shift, scale=scale, mask=mask)
    schedule = schedule_from(described["schedule"])
    subspace = ZeroCentre() if described["zero_centre"] else None
    if described["kind"] == "frames":
        angles, (residues, _) = AngleSchedule(**described["angles"]), shape[0]
        return FrameModel(net, schedule, angles, residues, scale=described["scale"], subspace=subspace, mask=mask)
    return DiffusionModel(
        net, schedule, described["predicts"], event_shape, subspace=subspace, shift=shift, scale=scale, mask=mask,
        periodic=periodic,
    )  # fmt: skip


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return read_json(path, "write the model again by save_model")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(f"{path} is missing: a model folder holds model.safetensors and model.json") from error


def _build_network(described: dict[str, Any], net: nn.Module | None, folder: Path) -> nn.Module:
    if net is not None:
        return net
    name = described["network"]["name"]
    if name not in _NETWORKS:
        raise ConfigError(
            f"{folder}: network {quoted(name)} is not of this package: pass it as load_model(..., net=...)"
        )
    return _NETWORKS[name](**described["network"]["config"])


def _plain(value: float | Tensor) -> Any:
    return value.tolist() if isinstance(value, Tensor) else value


def _tensor(value: Any) -> float | Tensor:
    return torch.tensor(value) if isinstance(value, list) else value
