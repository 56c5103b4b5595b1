import math

import pytest
import torch

from leastwork.geometry.rotations import exp, hat, log, orthonormal, slope_of, uniform, vee


def vectors(n: int, most: float = math.pi) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    axis = torch.randn(n, 3, generator=random, dtype=torch.float64)
    return axis / axis.norm(dim=1, keepdim=True) * most * torch.rand(n, 1, generator=random, dtype=torch.float64)


def test_log_undoes_exp_up_to_half_a_turn():
    omega = torch.cat([vectors(500), vectors(50, 1e-6), torch.zeros(1, 3, dtype=torch.float64)])
    assert (log(exp(omega)) - omega).abs().max() < 1e-12
    half = torch.tensor([[math.pi, 0, 0], [0, 0, math.pi]], dtype=torch.float64)
    assert (exp(log(exp(half))) - exp(half)).abs().max() < 1e-12


def test_exp_is_the_matrix_exponential():
    omega = vectors(20)
    assert (exp(omega) - torch.matrix_exp(hat(omega))).abs().max() < 1e-12


def test_hat_is_the_cross_product_and_vee_its_inverse():
    a, b = vectors(10), vectors(10).flip(0)
    assert ((hat(a) @ b[..., None]).squeeze(-1) - torch.linalg.cross(a, b)).abs().max() < 1e-14
    assert (vee(hat(a)) - a).abs().max() == 0


def test_slope_is_the_derivative_along_a_turn():
    rotation, omega = exp(vectors(8)), vectors(8).flip(0)
    weight = torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def f(s: float) -> torch.Tensor:
        return (weight * torch.sin(rotation @ exp(s * omega))).sum(dim=(1, 2))

    found = (omega * slope_of(rotation, weight * rotation.cos())).sum(dim=1)
    assert (found - (f(1e-5) - f(-1e-5)) / 2e-5).abs().max() < 1e-8


def test_uniform_rotations_have_no_preferred_direction():
    n = 20_000
    rotation = uniform(torch.randn(n, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    assert (torch.linalg.det(rotation) - 1).abs().max() < 1e-12
    # each entry has mean 0 and variance 1/3: z = 5, nine entries, false alarms 5·10⁻⁶
    assert rotation.mean(dim=0).abs().max() < 5 * math.sqrt(1 / 3 / n)
    trace = rotation.diagonal(dim1=1, dim2=2).sum(dim=1)  # E = 0, E tr² = 1
    assert abs(float(trace.square().mean()) - 1) < 5 * float(trace.square().std()) / math.sqrt(n)


@pytest.mark.parametrize("size", [1e-3, 1e-5])
def test_rounding_is_taken_out_to_second_order(size: float):
    error = size * torch.randn(50, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mended = orthonormal(exp(vectors(50)) + error)
    assert (mended @ mended.mT - torch.eye(3)).abs().max() < 40 * size**2
