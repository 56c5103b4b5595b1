"""What the steps alone waste, held to guidance that is exact, so that nothing else is wasted."""

import pytest
import torch

import leastwork as lw
from leastwork.errors import LeastworkError
from leastwork.guidance.interval import IntervalGuidance
from leastwork.sampling.step_loss import step_loss
from leastwork.sampling.work import certify
from leastwork.schedules.gaussian import VPSchedule
from leastwork.systems.frame_mixture import FrameDoob, two_poses
from leastwork.systems.mixtures import two_states

Z = 5  # standard errors; a false alarm in 10⁶


@pytest.mark.parametrize("solver", ["euler", "exponential", "multistep"])
def test_it_is_the_dissipation_of_the_exact_guidance(solver: str) -> None:
    """To a tenth, since the sum over steps is of leading order in their size."""
    mixture = two_states(2, (0.7, 0.3), separation=3.0, std=0.4)
    target = mixture.reweighted([0.3, 0.7])
    model, doob = mixture.model(VPSchedule()), mixture.doob(target, VPSchedule())
    law = {"solver": solver, "steps": 80, "t_grid": "signal"}
    found = step_loss(model, doob, paths=512, seed=1, **law)
    drawn = lw.sample(model, 4000, doob, seed=2, **law)
    tilt = target.log_prob(drawn.x.double()) - mixture.log_prob(drawn.x.double())
    wasted = certify(drawn.work, drawn.log_weight, tilt).dissipation
    assert float(found.each.sum()) == pytest.approx(found.total.value)
    assert found.total.value > 0.002
    error = (found.total.stderr**2 + wasted.stderr**2) ** 0.5
    assert abs(found.total.value - wasted.value) < Z * error + 0.1 * wasted.value


@pytest.mark.parametrize("steps", [pytest.param(100, marks=pytest.mark.slow), 40])
def test_turns_of_frames_are_compared_in_one_frame(steps: int) -> None:
    """Most of the work of these frames turns them; at 40 steps, a fourth more than the leading order is lost."""
    poses = two_poses(2)
    target, model = poses.with_weights(torch.tensor([0.4, 0.6])), poses.model()
    doob = FrameDoob(poses, target, model)
    found = step_loss(model, doob, paths=64, seed=1, steps=steps)
    drawn = lw.sample(model, 512, doob, seed=2, steps=steps)
    wasted = certify(drawn.work, drawn.log_weight, poses.log_ratio(target, drawn.x)).dissipation
    error = (found.total.stderr**2 + wasted.stderr**2) ** 0.5
    assert abs(found.total.value - wasted.value) < Z * error + 10 / steps * wasted.value
    assert found.steps_for(0.5 * found.total.value) == 2 * steps


def test_a_linear_value_loses_nothing() -> None:
    class Push:
        through_network = False

        def __call__(self, x: torch.Tensor, t: float, denoised: torch.Tensor) -> torch.Tensor:
            return torch.ones_like(x)

    model = lw.DiffusionModel(lambda x, t: -x, VPSchedule(), "score", (3,))
    assert step_loss(model, Push(), paths=64, steps=10).total.value < 1e-9


def test_what_has_no_such_loss_is_refused() -> None:
    model = lw.DiffusionModel(lambda x, t: -x, VPSchedule(), "score", (1,))
    guidance = IntervalGuidance(lw.Observable(lambda x: x, names=("x",)), 1.0, 2.0, 4.0, model.schedule)
    with pytest.raises(LeastworkError, match="process='sde'"):
        step_loss(model, guidance, process="ode")
    with pytest.raises(LeastworkError, match=r"paths=1 .* at least 2"):
        step_loss(model, guidance, paths=1)
