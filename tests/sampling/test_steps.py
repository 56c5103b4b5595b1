"""A solver's table, step by step."""

import pytest
import torch

import leastwork as lw
from leastwork.sampling.choices import Choices
from leastwork.sampling.solvers.steps import Step
from leastwork.systems.frame_mixture import two_poses

MODEL = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(1,))


@pytest.mark.parametrize("solver", ["euler", "heun", "exponential", "multistep"])
def test_each_step_holds_the_solver_s_numbers(solver):
    steps = Choices(solver=solver, steps=5).sampler(MODEL).steps
    table = steps.table()
    assert len(table) == 5
    for i, step in enumerate(table):
        assert (step.t, step.t_next) == (float(steps.times[i]), float(steps.times[i + 1]))
        for name in ("a", "b", "b_previous", "e", "e_previous", "c"):
            assert getattr(step, name) == float(getattr(steps, name)[i])
        assert step.corrector == (None if steps.corrector is None else tuple(steps.corrector[i].tolist()))
        assert step.turn is None


def test_a_singular_first_step_has_no_correction():
    cosine = lw.DiffusionModel(lambda x, t: x, lw.CosineSchedule(), predicts="data", event_shape=(1,))
    first, *rest = Choices(solver="heun", steps=4, t_grid="uniform").sampler(cosine).steps.table()
    assert first.corrector is None
    assert all(step.corrector is not None for step in rest)


def test_steps_of_frames_turn_too():
    steps = Choices(solver="exponential", steps=3).sampler(two_poses().model()).steps
    assert steps.turns is not None
    expected = torch.stack([steps.turns.b, steps.turns.e, steps.turns.c], dim=1).tolist()
    assert [[step.turn.b, step.turn.e, step.turn.c] for step in steps.table() if step.turn] == expected


def test_a_step_without_memory_weighs_the_present_as_both():
    step = Step(1.0, 0.5, 0.9, 0.3, -0.1, 0.2, -0.05, 0.4)
    alone = step.without_memory()
    assert (alone.b, alone.b_previous, alone.e, alone.e_previous) == (0.3 - 0.1, 0.0, 0.2 - 0.05, 0.0)
    assert (alone.t, alone.t_next, alone.a, alone.c) == (1.0, 0.5, 0.9, 0.4)
