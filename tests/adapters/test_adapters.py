"""What adapters have in common: packages are imported late and asked for kindly, and networks are tried first."""

import subprocess
import sys

import pytest
import torch
from torch import nn

import leastwork as lw
from leastwork import adapters
from leastwork.adapters.wrapping import Wrapped, check_network
from leastwork.models.placement import evaluating

NAMES = ("azula", "diffusers", "flow_matching", "torchcfm")


def test_importing_the_adapters_imports_no_package() -> None:
    modules = "".join(f"import leastwork.adapters.{name}\n" for name in NAMES)
    code = f"import sys\nimport leastwork.adapters\n{modules}assert not set(sys.modules) & set({NAMES!r})"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_package_is_told_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str):
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr("leastwork.support.extras.import_module", missing)
    net = nn.Linear(2, 2)
    for name, call in {
        "azula": lambda: adapters.from_azula(net, (2,)),
        "diffusers": lambda: adapters.from_diffusers(net, None, (2,)),
        "flow_matching": lambda: adapters.from_flow_matching(net, None, (2,)),
        "torchcfm": lambda: adapters.from_torchcfm(net, None, (2,)),
    }.items():
        extra = name.replace("_", "-")
        with pytest.raises(lw.ConfigError, match=rf"pip install 'leastwork\[{extra}\]'"):
            call()


def test_unknown_names_are_attributes_that_are_not_there() -> None:
    with pytest.raises(AttributeError, match="from_nothing"):
        _ = adapters.from_nothing


class Net(nn.Module):
    """Takes x (B, 3) alone."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.dropout = nn.Linear(3, 3), nn.Dropout(0.5)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.layer(self.dropout(x))


@pytest.mark.parametrize(
    ("net", "shape", "words"),
    [
        (Net(), (4,), "event_shape, its order of channels"),
        (lambda x, t: x[:, :2], (3,), r"returns shape \(2, 2\) for x of shape \(2, 3\)"),
        (lambda x, t: {"sample": x}, (3,), "returns a dict"),
        (Net().half(), (3,), r"float16, too coarse .* net.float\(\)"),
        (Net().to(torch.bfloat16), (3,), "bfloat16"),
        (Net(), (3.0,), "whole numbers"),
    ],
)
def test_networks_that_do_not_fit(net, shape, words: str) -> None:
    with pytest.raises(lw.ConfigError, match=words):
        check_network(net, shape, {}, "net(x, t)")


def test_a_network_is_tried_in_evaluation_mode_and_left_as_it_was() -> None:
    net = Net()
    net.layer.eval()
    with torch.no_grad(), evaluating(net):
        assert not net.dropout.training
        assert not torch.is_grad_enabled()
    assert net.training
    assert net.dropout.training
    assert not net.layer.training
    check_network(net, (3,), {}, "net(x, t)")
    assert net.dropout.training


class Called(Wrapped):
    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.net(x, t)


def test_sampling_leaves_the_mode_that_the_owner_chose_after_wrapping() -> None:
    net = Net()
    model = lw.DiffusionModel(Called(net), lw.VPSchedule(), "data", (3,))
    for training in (False, True):
        net.train(training)
        first, second = (lw.sample(model, 5, steps=3).x for _ in range(2))
        assert torch.equal(first, second)  # no dropout
        assert net.training is training
        assert net.dropout.training is training
    assert not Called(lambda x, t: x).training
