"""A function of averages as an observable: its linearisation, whose average is the function where it was taken

F_j(x) = f_j(m; η) + Σ_k ∂f_j/∂m_k (O_k(x) − m_k)        E[F] = f(m; η) if E[O] = m
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from leastwork.geometry.state import State
from leastwork.models.latents import of_data
from leastwork.observables.function import Observable

__all__ = [
    "LinearColumns",
    "Linearisation",
    "bends",
    "identity",
    "inverse_covariance",
    "largest",
    "slopes",
    "weighted_moments",
]


@dataclass(frozen=True, eq=False)
class Linearisation:
    """Where functions of averages were linearised, with the unknowns that were found there; all float64.

    Args:
        averages: m, the averages of the observables, (K,).
        parameters: η, the unknowns, (P,).
        errors: standard errors of η, (P,).
        model: f at the averages of the model itself, (J,).
        names: names of the unknowns.
        residual: largest remaining step of the fixed point, in standard deviations and standard errors.
    """

    averages: Tensor
    parameters: Tensor
    errors: Tensor
    model: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    names: tuple[str, ...] = ()
    residual: float = 0.0


@dataclass(frozen=True, eq=False)
class LinearColumns:
    """f + S (O(x) − m) of every state, (B, J).

    Args:
        observable: O, K columns.
        constant: f, float64 (J,).
        slope: S, float64 (J, K).
        averages: m, float64 (K,).
    """

    observable: Observable
    constant: Tensor
    slope: Tensor
    averages: Tensor

    def __call__(self, x: State) -> Tensor:
        return self.of(self.observable(x))

    def of(self, observed: Tensor) -> Tensor:
        """The same from values of O, (n, K) -> (n, J)."""
        return self.constant.to(observed) + (observed - self.averages.to(observed)) @ self.slope.to(observed).T

    def sampled_by(self, model: object) -> "LinearColumns":
        """The same of a model's samples."""
        return replace(self, observable=of_data(self.observable, model))


def weighted_moments(values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Average (K,) and covariance (K, K) of values (n, K) under weights (n,) of sum one."""
    mean = weight @ values
    centred = values - mean
    return mean, centred.T @ (weight[:, None] * centred)


def slopes(function: Callable[[Tensor], Tensor], at: Tensor, count: int) -> Tensor:
    """Derivatives of a function (K,) -> (J,), of ``count`` values, at a point, (J, K)."""
    found = torch.autograd.functional.jacobian(function, at)
    assert isinstance(found, Tensor)
    return found.reshape(count, len(at))


def bends(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """Second derivatives of a function (K,) -> () at a point, (K, K)."""
    found = torch.autograd.functional.hessian(function, at)
    assert isinstance(found, Tensor)
    return found.reshape(len(at), len(at))


def largest(values: Tensor) -> float:
    """The largest size of the entries, 0 if there are none."""
    return float(values.abs().max()) if len(values) else 0.0


def identity(count: int) -> Tensor:
    """The unit matrix in float64."""
    return torch.eye(count, dtype=torch.float64)


def inverse_covariance(covariance: Tensor) -> Tensor:
    """The pseudo-inverse of a covariance (J, J), each datum in its own standard deviation: units may differ by 10⁸.

    >>> inverse_covariance(torch.tensor([[2.0**-60, 0.0], [0.0, 4.0]], dtype=torch.float64)).diagonal().tolist()
    [1.152921504606847e+18, 0.25]
    """
    unit = covariance.diagonal().clamp(min=1e-300).rsqrt()
    return torch.linalg.pinv(covariance * unit[:, None] * unit, hermitian=True) * unit[:, None] * unit
