"""Rotations and their tangent vectors: R(ω) = exp(ω̂) = 1 + sin θ/θ ω̂ + (1 − cos θ)/θ² ω̂²,  θ = |ω|  (Rodrigues).

A tangent vector at R is ω in the body's frame, along the curve R exp(s ω̂); its length is the angle of rotation. R
takes the body's frame to the world's.
"""

import math

import torch
from torch import Tensor

__all__ = ["exp", "hat", "log", "orthonormal", "random_rotations", "slope_of", "uniform", "vee"]

_SMALL = 1e-4  # angle, rad, below which sines are replaced by their series


def hat(omega: Tensor) -> Tensor:
    """ω̂ with ω̂ a = ω × a, (..., 3) -> (..., 3, 3)."""
    x, y, z = omega.unbind(-1)
    o = torch.zeros_like(x)
    return torch.stack([o, -z, y, z, o, -x, -y, x, o], dim=-1).unflatten(-1, (3, 3))


def vee(a: Tensor) -> Tensor:
    """ω of the antisymmetric part of a matrix, (..., 3, 3) -> (..., 3): the inverse of :func:`hat`.

    >>> vee(hat(torch.tensor([1.0, 2.0, 3.0])))
    tensor([1., 2., 3.])
    """
    return 0.5 * torch.stack(
        [a[..., 2, 1] - a[..., 1, 2], a[..., 0, 2] - a[..., 2, 0], a[..., 1, 0] - a[..., 0, 1]], -1
    )


def exp(omega: Tensor) -> Tensor:
    """The rotation by |ω| about ω, (..., 3) -> (..., 3, 3).

    >>> exp(torch.tensor([0.0, 0.0, torch.pi / 2])).round(decimals=3) + 0.0
    tensor([[ 0., -1.,  0.],
            [ 1.,  0.,  0.],
            [ 0.,  0.,  1.]])
    """
    squared = omega.square().sum(dim=-1)
    small = squared < _SMALL**2
    theta = torch.where(small, 1.0, squared).sqrt()
    first = torch.where(small, 1 - squared / 6, theta.sin() / theta)
    second = torch.where(small, 0.5 - squared / 24, 2 * ((0.5 * theta).sin() / theta).square())
    turn = hat(omega)
    one = torch.eye(3, dtype=omega.dtype, device=omega.device)
    return one + first[..., None, None] * turn + second[..., None, None] * (turn @ turn)


def log(rotation: Tensor) -> Tensor:
    """The shortest ω with exp(ω̂) = R, (..., 3, 3) -> (..., 3); |ω| ≤ π.

    It is computed from the quaternion of R, starting from its largest component, so that it is accurate up to a half
    turn (Shepperd, J. Guid. Control 1, 223, 1978).

    >>> log(exp(torch.tensor([0.0, 3.0, 0.0])))
    tensor([0., 3., 0.])
    """
    m = rotation
    trace = m[..., 0, 0] + m[..., 1, 1] + m[..., 2, 2]
    diagonal = m.diagonal(dim1=-2, dim2=-1)
    axial = 2 * vee(m)
    # 4 q qᵀ, row by row; the row of the largest component is well conditioned
    top = torch.cat([(1 + trace)[..., None], axial], dim=-1)
    symmetric = m + m.transpose(-1, -2)
    body = symmetric + torch.diag_embed(1 - trace[..., None].expand_as(diagonal))
    rows = torch.cat([top[..., None, :], torch.cat([axial[..., None], body], dim=-1)], dim=-2)
    largest = rows.diagonal(dim1=-2, dim2=-1).argmax(dim=-1)
    row = rows.gather(-2, largest[..., None, None].expand(*largest.shape, 1, 4)).squeeze(-2)
    q = row / row.norm(dim=-1, keepdim=True)
    q = torch.where(q[..., :1] < 0, -q, q)
    sine = q[..., 1:].norm(dim=-1)
    angle = 2 * torch.atan2(sine, q[..., 0])
    small = sine < _SMALL
    factor = torch.where(small, 2 / q[..., 0].clamp(min=0.5), angle / torch.where(small, 1.0, sine))
    return factor[..., None] * q[..., 1:]


def orthonormal(rotation: Tensor) -> Tensor:
    """Remove the rounding errors of a product of many rotations to second order: R (3 − RᵀR)/2, (..., 3, 3)."""
    return 1.5 * rotation - 0.5 * rotation @ (rotation.transpose(-1, -2) @ rotation)


def slope_of(rotation: Tensor, gradient: Tensor) -> Tensor:
    """The tangent gradient of a function of the nine entries, (..., 3): d/ds f(R exp(s ω̂)) = ω · slope.

    Args:
        rotation: R, (..., 3, 3).
        gradient: ∂f/∂R, (..., 3, 3).
    """
    return 2 * vee(rotation.transpose(-1, -2) @ gradient)


def uniform(noise: Tensor) -> Tensor:
    """Uniform rotations from standard normal noise, (..., 3) -> (..., 3, 3).

    Three uniform numbers give a uniform quaternion (Shoemake, Graphics Gems III, 124, 1992).
    """
    u = torch.special.ndtr(noise)
    a, b = (1 - u[..., 0]).sqrt(), u[..., 0].sqrt()
    s, t = 2 * math.pi * u[..., 1], 2 * math.pi * u[..., 2]
    w, x, y, z = b * t.cos(), a * s.sin(), a * s.cos(), b * t.sin()
    rows = [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def random_rotations(n: int, random: torch.Generator) -> Tensor:
    """Uniform proper rotations, float64 (n, 3, 3).

    >>> R = random_rotations(5, torch.Generator().manual_seed(0))
    >>> bool((torch.linalg.det(R) > 0.999).all())
    True
    """
    q, r = torch.linalg.qr(torch.randn(n, 3, 3, generator=random, dtype=torch.float64))
    q = q * r.diagonal(dim1=1, dim2=2).sign()[:, None]
    return q * torch.linalg.det(q)[:, None, None]
