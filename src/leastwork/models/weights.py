"""Weights of a network from a file of safetensors. A pickle is refused, with the way to convert it."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from leastwork.errors import ConfigError
from leastwork.support.files import readable
from leastwork.support.tensor_files import read_tensors
from leastwork.support.text import brief

__all__ = ["fill", "is_pickle", "read_weights", "refuse_pickle"]

_WRAPPERS = ("_orig_mod.", "module.")  # what torch.compile and DataParallel put before the names of a network


def fill(net: nn.Module, path: Path) -> None:
    """Load weights into a network, in place, and put the network into evaluation mode, without gradients.

    Names may have one prefix in common, which a wrapper such as ``torch.compile``, DataParallel or Lightning adds.

    Raises:
        ConfigError: the file is missing, damaged, a pickle, of another network, or holds the weights more than once.
    """
    weights = _named(net, read_weights(path), path)
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ConfigError(
            f"{path} holds the weights of another network ({reason}): pass the one it was saved from"
        ) from error
    net.eval().requires_grad_(False)


def _named(net: nn.Module, weights: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The weights by the names that the network has for them; unchanged if they do not fit.

    Raises:
        ConfigError: the file holds the weights under several prefixes, such as those of an average beside the trained.
    """
    own = list(net.state_dict())
    wrapped = next((one for one in _WRAPPERS if own and all(name.startswith(one) for name in own)), "")
    bare = [name.removeprefix(wrapped) for name in own]
    ends = [name.removesuffix(bare[0]) for name in weights if bare and name.endswith(bare[0])]
    prefixes = [one for one in ends if all(one + name in weights for name in bare)]
    if len(prefixes) > 1:
        which = max(prefixes, key=len)
        made = path.with_suffix(".one.safetensors")
        raise ConfigError(
            f"{path} holds the weights more than once, with the prefixes {', '.join(map(repr, prefixes))}: choose "
            f"those of one, as for {which!r} by import safetensors.torch; "
            f"w = safetensors.torch.load_file({str(path)!r}); "
            f"safetensors.torch.save_file({{k[{len(which)}:]: v for k, v in w.items() if k.startswith({which!r})}}, "
            f"{str(made)!r})"
        )
    if len(prefixes) == 1 and len(weights) == len(own):
        return {wrapped + name: weights[prefixes[0] + name] for name in bare}
    return weights


def read_weights(path: Path) -> dict[str, Tensor]:
    """Finite tensors by their names.

    Raises:
        ConfigError: the file is missing, damaged, or a pickle, or holds values that are not finite.
    """
    if not path.is_file():
        raise ConfigError(f"{path} is missing: give a file of weights in the format of safetensors")
    refuse_pickle(path)
    try:
        weights = read_tensors(path)
    except SafetensorError as error:
        raise ConfigError(
            f"{path} is truncated or not safetensors ({brief(error)}): fetch or write it again"
        ) from error
    bad = [key for key, value in weights.items() if not bool(torch.isfinite(value).all())]
    if bad:
        raise ConfigError(f"{path}: weight {bad[0]!r} is not finite: train or fetch the model again")
    return weights


def refuse_pickle(path: Path) -> None:
    """Raise an error if a file is a pickle, as those of ``torch.save`` are, with the code that converts its weights.

    Raises:
        ConfigError: the file is a pickle.
    """
    made = str(path.with_suffix(".safetensors"))
    if path.suffix == ".npz":
        raise ConfigError(
            f"{path} is a file of NumPy: make one of safetensors from it in Python, import numpy, torch, "
            f"safetensors.torch; w = numpy.load({str(path)!r}); "
            f"safetensors.torch.save_file({{k: torch.from_numpy(w[k]) for k in w}}, {made!r})"
        )
    if is_pickle(readable(path)):
        raise ConfigError(
            f"{path} is a pickle, which can run code, and is refused: where you trust it, make a file of safetensors "
            "from it (of a whole network with weights_only=False, which runs its code) in Python, import torch, "
            "safetensors.torch; "
            f"w = torch.load({str(path)!r}, map_location='cpu', weights_only=True); "
            "w = w.state_dict() if hasattr(w, 'state_dict') else w; w = next((v for v in w.values() if "
            "isinstance(v, dict) and any(map(torch.is_tensor, v.values()))), w); "
            f"safetensors.torch.save_file({{k: v.clone() for k, v in w.items() if torch.is_tensor(v)}}, {made!r})"
        )


def is_pickle(path: Path) -> bool:
    """Whether a file begins as a pickle does.

    A file of safetensors begins with the length of a header, and the low byte of one may be that of a pickle.
    """
    with path.open("rb") as file:
        head = file.read(9)
    if head[4:8] == bytes(4) and head[8:] == b"{":
        return False
    return head[:1] == b"\x80" or head[:2] == b"PK"  # a bare pickle, or torch.save's zip of one
