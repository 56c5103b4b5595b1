"""Functions of averages that experiments report, as small values that pickle; each takes (m, η) -> (J,)

ratio           f = m_a / m_b
attenuation     I_para / I_dia = R₂ exp(−Γ t) / (R₂ + Γ), Γ = m (Battiste & Wagner, Biochemistry 39, 5355, 2000)
uptake          D(t) = Σ_i (1 − exp(−k_i t e^{−m_i})) / N, m_i = ⟨ln P_i⟩ (EX2; Best & Vendruscolo, Structure 14,
                97, 2006)
linear model    f_j = Σ_c η_c m_{jc}, such as couplings of a fitted tensor (Losonczi et al., J. Magn. Reson. 138,
                334, 1999)
scaled          f = a g(m) + b
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.data.indirect import Function

__all__ = ["Attenuation", "Identity", "LinearModel", "Ratio", "Scaled", "Uptake", "q_factor"]


def _numbers(values: float | Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@dataclass(frozen=True)
class Identity:
    """The first ``count`` averages themselves."""

    count: int

    def __call__(self, m: Tensor, eta: Tensor) -> Tensor:
        return m[: self.count]


@dataclass(frozen=True)
class Ratio:
    """m_a / m_b of the first half of the averages and the second, (2J,) -> (J,).

    >>> Ratio()(torch.tensor([1.0, 3.0, 2.0, 4.0]), torch.zeros(0)).tolist()
    [0.5, 0.75]
    """

    def __call__(self, m: Tensor, eta: Tensor) -> Tensor:
        half = len(m) // 2
        return m[:half] / m[half:]


@dataclass(frozen=True)
class Attenuation:
    """Ratios of intensities with and without a spin label, from mean rates of relaxation Γ, (J,) -> (J,).

    Args:
        relaxation: R₂ without the label, 1/s, one for all or one each.
        time: t, the duration of the transfers during which the label relaxes, s.

    >>> Attenuation(20.0, 0.01)(torch.tensor([0.0, 20.0]), torch.zeros(0))
    tensor([1.0000, 0.4094])
    """

    relaxation: float | tuple[float, ...]
    time: float

    def __call__(self, m: Tensor, eta: Tensor) -> Tensor:
        rest = _numbers(self.relaxation)
        return rest * torch.exp(-m * self.time) / (rest + m)


@dataclass(frozen=True)
class Uptake:
    """Fractions of a peptide's amides exchanged at several times, from means of ln P, (amides,) -> (times,).

    Args:
        rates: k_i, intrinsic rates of exchange of the amides, 1/s.
        times: the times, s.

    >>> Uptake((1.0, 1.0), (0.0, 1e9))(torch.zeros(2, dtype=torch.float64), torch.zeros(0)).tolist()
    [0.0, 1.0]
    """

    rates: tuple[float, ...]
    times: tuple[float, ...]

    def __call__(self, m: Tensor, eta: Tensor) -> Tensor:
        decay = _numbers(self.times)[:, None] * (_numbers(self.rates) * torch.exp(-m))
        return (1 - torch.exp(-decay)).mean(dim=1)


@dataclass(frozen=True)
class LinearModel:
    """f_j = Σ_c η_c m_{jc}: the averages are J rows of C columns, (JC,) and (C,) -> (J,).

    For dipolar couplings of a fitted tensor the five columns are those of the direction cosines of each bond.
    """

    def __call__(self, m: Tensor, eta: Tensor) -> Tensor:
        return m.reshape(-1, len(eta)) @ eta


@dataclass(frozen=True)
class Scaled:
    """a_j g_j(m) + b_j, where unknowns after those of g are the factors a and offsets b that data share.

    Args:
        of: g, or None for the averages themselves.
        unknowns: number of unknowns of g.
        scales: for each datum the number of its factor among the unknowns, or None for 1.
        offsets: for each datum the number of its offset, or None for 0.

    >>> Scaled(scales=(0, None), offsets=(1, 1))(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 0.5])).tolist()
    [2.5, 3.5]
    """

    of: Function | None = None
    unknowns: int = 0
    scales: tuple[int | None, ...] = ()
    offsets: tuple[int | None, ...] = ()

    def __call__(self, m: Tensor, eta: Tensor) -> Tensor:
        found = m if self.of is None else self.of(m, eta[: self.unknowns])
        factors = [eta.new_ones(()) if a is None else eta[a] for a in self.scales]
        shifts = [eta.new_zeros(()) if b is None else eta[b] for b in self.offsets]
        return torch.stack(factors) * found + torch.stack(shifts)


def q_factor(predicted: Tensor, measured: Tensor) -> float:
    """Q = √(Σ (D_calc − D)² / Σ D²) of couplings (J,) (Cornilescu et al., J. Am. Chem. Soc. 120, 6836, 1998).

    >>> round(q_factor(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5])), 4)
    0.0925
    """
    return float(((predicted - measured).square().sum() / measured.square().sum()).sqrt())
