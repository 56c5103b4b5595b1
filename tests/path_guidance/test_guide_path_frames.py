"""Path Guidance of rigid frames, where the free energy of the region is known."""

import math

import pytest
import torch

import leastwork as lw
from leastwork.systems.frame_mixture import two_poses

MIXTURE = two_poses(2, weight=0.01)


def second(x: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return MIXTURE.responsibility(x)[:, 1] > 0.5


def test_only_least_work_is_for_frames():
    points = MIXTURE.sample(10, torch.Generator().manual_seed(0))
    with pytest.raises(lw.LeastworkError, match="cannot guide a model of frames"):
        lw.guide_path(MIXTURE.model(), points, method="loss", region=second)


@pytest.mark.slow
def test_a_rare_pose_is_sampled_and_its_free_energy_found():
    drawn = MIXTURE.sample(20_000, torch.Generator().manual_seed(0))
    inside = second(drawn)
    guides = tuple(part[inside][:12].float() for part in drawn)
    run = lw.guide_path(
        MIXTURE.model(), guides, region=second, samples=4096, steps=80, t_grid="uniform", certificate_samples=4096
    )
    assert run.success.value > 0.8
    # exact to the discretisation, for which 0.1 is allowed; z = 5
    assert abs(run.free_energy.value + math.log(0.01)) < 0.1 + 5 * run.free_energy.stderr
