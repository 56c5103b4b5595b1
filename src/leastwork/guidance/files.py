"""Guidances on disk: ``guidance.json`` says what they are, ``guidance.safetensors`` holds the tensors; no pickles.

Functions have no file form, so an observable is stored by its names and given back on loading. A new kind of guidance
joins with :func:`register`.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from leastwork.errors import ConfigError
from leastwork.geometry.euclidean import ZeroCentre
from leastwork.geometry.state import State
from leastwork.guidance.base import Guidance, Scaled, Sum
from leastwork.guidance.control import ControlGuidance, control_from, control_parts
from leastwork.guidance.denoised_kernel import LossGuidance
from leastwork.guidance.handover import Handover
from leastwork.guidance.interval import IntervalGuidance
from leastwork.guidance.learned import LearnedGuidance
from leastwork.guidance.scheduled import ScheduledGuidance
from leastwork.guidance.transported import Sigmoid, TransportedGuidance
from leastwork.kernels.aligned import AlignedKernel
from leastwork.kernels.base import Kernel
from leastwork.kernels.density import KernelDensity
from leastwork.kernels.flat import EuclideanKernel
from leastwork.networks.perceptron import filled
from leastwork.networks.value import ValueNetwork
from leastwork.observables import Observable
from leastwork.schedules.files import describe_schedule, schedule_from

__all__ = ["load_guidance", "register", "save_guidance"]

Parts = Mapping[str, Any]
Find = Callable[[Sequence[str]], Observable]


@dataclass(frozen=True)
class _Form:
    """How one kind of guidance comes apart into plain values, tensors and guidances, and together again."""

    type: type
    take_apart: Callable[[Any], Parts]
    put_together: Callable[[Parts, Find], Guidance]


_FORMS: dict[str, _Form] = {}


def register(
    kind: str, of: type, take_apart: Callable[[Any], Parts], put_together: Callable[[Parts, Find], Guidance]
) -> None:
    """Give a guidance a file form.

    Args:
        kind: its name in the file.
        of: its class.
        take_apart: guidance -> parts by name: JSON values, tensors, guidances, and lists and mappings of these.
        put_together: (parts, find) -> guidance, where ``find(names)`` is the observable that the user gives back.
    """
    _FORMS[kind] = _Form(of, take_apart, put_together)


def save_guidance(guidance: Guidance, path: str | Path) -> None:
    """Write a guidance into a folder.

    Args:
        guidance: one of the registered kinds, or a sum or multiple of them.
        path: the folder, made if need be.

    Raises:
        ConfigError: a kind that has no file form.
    """
    folder = Path(path)
    tensors: dict[str, Tensor] = {}
    described = {"format": 1, **_pack(guidance, "guidance", tensors)}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "guidance.safetensors.tmp")
    os.replace(folder / "guidance.safetensors.tmp", folder / "guidance.safetensors")
    (folder / "guidance.json.tmp").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    os.replace(folder / "guidance.json.tmp", folder / "guidance.json")


def load_guidance(path: str | Path, observable: Observable | Sequence[Observable] | None = None) -> Guidance:
    """Read a guidance back.

    Args:
        path: a folder written by :func:`save_guidance`.
        observable: what the guidance steers, known by its names; several where terms of a sum have their own.

    Raises:
        ConfigError: the folder or its files are not those of a guidance, or an observable is missing.
    """
    folder = Path(path)
    described, tensors = _read(folder)
    given = () if observable is None else (observable,) if isinstance(observable, Observable) else tuple(observable)

    def find(names: Sequence[str]) -> Observable:
        for known in given:
            if known.names == tuple(names):
                return known
        if not given:
            raise ConfigError(f"{folder} steers {tuple(names)}: pass the observable of these names, observable=...")
        had = " and ".join(str(known.names) for known in given)
        raise ConfigError(f"{folder} steers {tuple(names)}, not {had}: pass the observable that it was fitted for")

    try:
        return _unpack(described, tensors, find)
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{folder / 'guidance.json'} is not complete ({error}): save the guidance again") from error


def _pack(value: Any, at: str, tensors: dict[str, Tensor]) -> Any:
    """A JSON value in which tensors are named, with the tensors themselves put aside."""
    if isinstance(value, Tensor):
        tensors[at] = value.detach().cpu().contiguous().clone()
        return {"tensor": at}
    if isinstance(value, Mapping):
        return {"map": {name: _pack(item, f"{at}.{name}", tensors) for name, item in value.items()}}
    if isinstance(value, list | tuple):
        return [_pack(item, f"{at}.{i}", tensors) for i, item in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    for kind, form in _FORMS.items():
        if type(value) is form.type:
            parts = form.take_apart(value)
            return {"kind": kind, "parts": {name: _pack(part, f"{at}.{name}", tensors) for name, part in parts.items()}}
    known = ", ".join(form.type.__name__ for form in _FORMS.values())
    raise ConfigError(f"{type(value).__name__} has no file form, only {known} have: give it one by register(...)")


def _unpack(value: Any, tensors: Mapping[str, Tensor], find: Find) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors, find) for item in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "map" in value:
        return {name: _unpack(item, tensors, find) for name, item in value["map"].items()}
    kind = value["kind"]
    if kind not in _FORMS:
        raise ConfigError(f"guidance of kind {kind!r} is not known here, only {', '.join(_FORMS)}: update leastwork")
    parts = {name: _unpack(part, tensors, find) for name, part in value["parts"].items()}
    return _FORMS[kind].put_together(parts, find)


def _read(folder: Path) -> tuple[Any, dict[str, Tensor]]:
    for name in ("guidance.json", "guidance.safetensors"):
        if not (folder / name).is_file():
            raise ConfigError(f"{folder / name} is missing: pass a folder written by save_guidance")
    try:
        described = json.loads((folder / "guidance.json").read_text(encoding="utf-8"))
        return described, load_file(folder / "guidance.safetensors")
    except ValueError as error:
        raise ConfigError(f"{folder / 'guidance.json'} is not JSON ({error}): save the guidance again") from error
    except SafetensorError as error:
        raise ConfigError(f"{folder / 'guidance.safetensors'} is damaged ({error}): save the guidance again") from error


def _scheduled_parts(guidance: ScheduledGuidance) -> Parts:
    own = ("lambdas", "strength", "decay", "jacobian", "shift", "scale")
    return {"names": guidance.observable.names, **{name: getattr(guidance, name) for name in own}}


def _scheduled(parts: Parts, find: Find) -> Guidance:
    rest = dict(parts)
    return ScheduledGuidance(find(rest.pop("names")), **rest)


def _interval_parts(guidance: IntervalGuidance) -> Parts:
    own = ("lower", "upper", "log_odds", "shift", "scale")
    schedule = describe_schedule(guidance.schedule)
    return {
        "names": guidance.coordinate.names,
        "schedule": schedule,
        **{name: getattr(guidance, name) for name in own},
    }


def _interval(parts: Parts, find: Find) -> Guidance:
    rest = dict(parts)
    names, schedule = rest.pop("names"), schedule_from(rest.pop("schedule"))
    return IntervalGuidance(find(names), schedule=schedule, **rest)


def _learned_parts(guidance: LearnedGuidance) -> Parts:
    network = guidance.network
    if type(network) is not ValueNetwork:
        raise ConfigError(
            f"a guidance learned with your own network, {type(network).__name__}, has no file form: "
            "save its state_dict, and load it into LearnedGuidance(network, model.schedule)"
        )
    return {
        "network": network.config,
        "weights": network.state_dict(),
        "schedule": describe_schedule(guidance.schedule),
    }


def _learned(parts: Parts, find: Find) -> Guidance:
    network = filled(ValueNetwork(**parts["network"]), parts["weights"])
    return LearnedGuidance(network, schedule_from(parts["schedule"]))


def _kernel_parts(kernel: Kernel) -> Parts:
    if isinstance(kernel, AlignedKernel):
        return {"distance": "aligned"}
    if not isinstance(kernel, EuclideanKernel):
        raise ConfigError(
            f"a guidance with a {type(kernel).__name__} has no file form, as functions have none: fit it again in the "
            "program that uses it, or use a EuclideanKernel or AlignedKernel"
        )
    if kernel.subspace is not None and not isinstance(kernel.subspace, ZeroCentre):
        raise ConfigError(f"a kernel on {kernel.subspace!r} has no file form: only one on ZeroCentre() has")
    return {"distance": "euclidean", "zero_centre": kernel.subspace is not None}


def _kernel(parts: Parts) -> Kernel:
    if parts["distance"] == "aligned":
        return AlignedKernel()
    return EuclideanKernel(ZeroCentre() if parts["zero_centre"] else None)


def _state(stored: Tensor | list[Tensor]) -> State:
    return tuple(stored) if isinstance(stored, list) else stored


def _transported_parts(guidance: TransportedGuidance) -> Parts:
    return {
        "kernel": _kernel_parts(guidance.kernel),
        "times": guidance.times,
        "guides": guidance.guides,
        "strength": vars(guidance.strength),
        "bandwidth": vars(guidance.bandwidth),
    }


def _transported(parts: Parts, find: Find) -> Guidance:
    strength, bandwidth = Sigmoid(**parts["strength"]), Sigmoid(**parts["bandwidth"])
    kernel, guides = _kernel(parts["kernel"]), _state(parts["guides"])
    return TransportedGuidance(kernel, tuple(parts["times"]), guides, strength, bandwidth)


def _loss_parts(guidance: LossGuidance) -> Parts:
    k = guidance.density
    density = {"kernel": _kernel_parts(k.kernel), "points": k.points, "bandwidth": k.bandwidth}
    return {"density": density, **{name: getattr(guidance, name) for name in ("strength", "decay", "shift", "scale")}}


def _loss(parts: Parts, find: Find) -> Guidance:
    rest = dict(parts)
    k = rest.pop("density")
    return LossGuidance(KernelDensity(_kernel(k["kernel"]), _state(k["points"]), k["bandwidth"]), **rest)


def _handover_parts(guidance: Handover) -> Parts:
    own = {name: getattr(guidance, name) for name in ("early", "late", "at", "width")}
    return {**own, "schedule": describe_schedule(guidance.schedule)}


def _handover(parts: Parts, find: Find) -> Guidance:
    return Handover(**{**parts, "schedule": schedule_from(parts["schedule"])})


register("learned", LearnedGuidance, _learned_parts, _learned)
register("scheduled", ScheduledGuidance, _scheduled_parts, _scheduled)
register("interval", IntervalGuidance, _interval_parts, _interval)
register("scaled", Scaled, vars, lambda parts, find: Scaled(**parts))
register("handover", Handover, _handover_parts, _handover)
register("sum", Sum, vars, lambda parts, find: Sum(tuple(parts["terms"])))
register("control", ControlGuidance, control_parts, lambda parts, find: control_from(parts))
register("transported", TransportedGuidance, _transported_parts, _transported)
register("path loss", LossGuidance, _loss_parts, _loss)
