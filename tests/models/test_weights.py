"""Weights by other names: prefixes of wrappers, averages beside the trained, and files that are converted as told."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import leastwork as lw
from leastwork.models.weights import fill


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.SiLU(), nn.Linear(4, 2))


WEIGHTS = {name: value + 1.0 for name, value in network().state_dict().items()}


def filled(path: Path, net: nn.Module | None = None) -> bool:
    net = network() if net is None else net
    fill(net, path)
    return all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), WEIGHTS.values(), strict=True))


def under(prefix: str, weights: dict[str, Tensor] = WEIGHTS) -> dict[str, Tensor]:
    return {prefix + name: value.clone() for name, value in weights.items()}


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "model.diffusion_model.", "ema."])
def test_a_prefix_that_all_names_have_is_taken_off(prefix: str, tmp_path: Path) -> None:
    save_file(under(prefix), tmp_path / "w.safetensors")
    assert filled(tmp_path / "w.safetensors")
    assert filled(tmp_path / "w.safetensors", nn.DataParallel(network()))


@pytest.mark.parametrize("others", [{"extra": torch.zeros(2)}, under("other."), {}])
def test_other_names_are_refused(others: dict[str, Tensor], tmp_path: Path) -> None:
    few = dict(list(WEIGHTS.items())[1:]) if not others else WEIGHTS
    save_file(few | others, tmp_path / "w.safetensors")
    with pytest.raises(lw.ConfigError, match=r"another network|more than once, with the prefixes"):
        filled(tmp_path / "w.safetensors")


def refused_and_converted(path: Path) -> bool:
    """Whether the lines of the message make a file that is taken."""
    with pytest.raises(lw.ConfigError) as caught:
        filled(path)
    (lines,) = re.findall(r"(?:Python, |by )(import .*)$", str(caught.value))
    exec(lines, {})
    (made,) = re.findall(r"'([^']*)'\)$", lines)
    return filled(Path(made))


@pytest.mark.parametrize(("one", "two"), [("model.", "model_ema."), ("", "ema.")])
def test_an_average_beside_the_trained_is_chosen_as_told(one: str, two: str, tmp_path: Path) -> None:
    save_file(under(one, network().state_dict()) | under(two), tmp_path / "w.safetensors")
    assert refused_and_converted(tmp_path / "w.safetensors")


@pytest.mark.parametrize("kept", [
    WEIGHTS,
    {"epoch": 3, "state_dict": under("model."), "hyper_parameters": {"width": 4}},
    {"optimizer": {"state": {}, "param_groups": [1]}, "ema": WEIGHTS, "step": torch.tensor(3)},
])  # fmt: skip
def test_pickles_are_converted_as_told(kept: dict[str, object], tmp_path: Path) -> None:
    torch.save(kept, tmp_path / "w.ckpt")
    assert refused_and_converted(tmp_path / "w.ckpt")


def test_a_pickle_of_a_whole_network_is_converted_as_told(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pth")
    with pytest.raises(lw.ConfigError, match="of a whole network with weights_only=False") as caught:
        filled(tmp_path / "whole.pth", nn.Linear(2, 2))
    (lines,) = re.findall(r"Python, (import .*)$", str(caught.value))
    exec(lines.replace("weights_only=True", "weights_only=False"), {})
    fill(nn.Linear(2, 2), tmp_path / "whole.safetensors")


def test_arrays_of_numpy_are_converted_as_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", **{name: value.numpy() for name, value in WEIGHTS.items()})  # pyright: ignore[reportArgumentType]  (arrays)
    assert refused_and_converted(tmp_path / "w.npz")
