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


def fill(net: nn.Module, path: Path) -> None:
    """Load weights into a network, in place, and put the network into evaluation mode, without gradients.

    Raises:
        ConfigError: the file is missing, damaged, a pickle, or of another network.
    """
    weights = read_weights(path)
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ConfigError(
            f"{path} holds the weights of another network ({reason}): pass the one it was saved from"
        ) from error
    net.eval().requires_grad_(False)


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
    made = path.with_suffix(".safetensors")
    if is_pickle(readable(path)):
        raise ConfigError(
            f"{path} is a pickle, which can run code, and is refused: where you trust it, make a file of safetensors "
            "from it in Python, import torch, safetensors.torch; "
            f"w = torch.load({str(path)!r}, weights_only=True); w = w.get('state_dict', w); "
            f"safetensors.torch.save_file({{k: v.clone() for k, v in w.items()}}, {str(made)!r})"
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
