"""A network of mixed modes is evaluated with dropout off, and left as it was."""

import torch
from torch import nn

import leastwork as lw
from leastwork.models.placement import evaluating


class Mixed(nn.Module):
    """In training mode as a whole, one part frozen by its owner, or the other way about."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Dropout(0.5), nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.first(x) + self.second(x)


def modes(net: nn.Module) -> list[bool]:
    return [module.training for module in net.modules()]


def test_each_module_gets_its_own_mode_back() -> None:
    net = Mixed()
    for whole, part in ((True, False), (False, True)):
        net.train(whole)
        net.second.train(part)
        before = modes(net)
        with evaluating(net):
            assert not any(modes(net))
        assert modes(net) == before
        try:
            with evaluating(net):
                raise RuntimeError
        except RuntimeError:
            assert modes(net) == before


def test_sampling_and_checking_leave_mixed_modes() -> None:
    net = Mixed()
    net.eval()
    net.second.train()  # a root in evaluation mode says nothing of its parts
    before = modes(net)
    model = lw.DiffusionModel(net, lw.VPSchedule(), "data", (2,))
    one, two = (lw.sample(model, 8, steps=3).x for _ in range(2))
    assert torch.equal(one, two)  # type: ignore[arg-type]
    lw.check_model(model, samples=16)
    lw.step_check(model, lambda x: x[:, 0], paths=4, steps=3)
    assert modes(net) == before


def test_a_plain_function_is_left_alone() -> None:
    with evaluating(lambda x, t: x):
        assert torch.is_grad_enabled()
