"""Data on smooth functions of averages: y_j ≈ f_j(⟨O⟩; η), a ratio, an exponential, or a model with unknowns η

    min over q and η:  KL(q ‖ p) + ½ (y − f(E_q[O]; η))ᵀ Σ⁻¹ (y − f(E_q[O]; η))

    λ_O = (∂f/∂m)ᵀ Λ        ΣΛ = f(m; η) − y        (∂f/∂η)ᵀ Λ = 0        m = E_λ[O]

The last line is the fixed point, :mod:`leastwork.data.fixed_point` finds it, with a flat prior of η. There the data are
data on averages of :class:`~leastwork.data.linear.LinearColumns`, with the values, errors and bounds that they had, and
everything that takes averages takes them. A function enters by its slope at the fixed point alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.data.linear import LinearColumns, Linearisation, slopes
from leastwork.errors import ConfigError, LeastworkError, NonFiniteError
from leastwork.models.latents import of_data
from leastwork.observables.function import Observable

__all__ = ["Function", "Indirect"]

Function = Callable[[Tensor, Tensor], Tensor]
"""f(m, η): averages (K,) and unknowns (P,), both float64 -> (J,), differentiable by torch."""


@dataclass(frozen=True, eq=False)
class Indirect:
    """J data on functions of K averages; values, errors, bounds and flags are as those of an Experiment.

    Args:
        observable: O, K columns.
        function: f(m, η), averages (K,) and unknowns (P,), float64 -> (J,), of operations of torch.
        names: one name for each datum, (J,).
        values, errors, lower, upper, held_out: as in :class:`~leastwork.Experiment`, (J,) or a covariance (J, J).
        unit: the unit of all data, or one for each.
        parameters: the unknowns η by name, with the values at which the search for them starts.
        positive: names of unknowns that must come out positive, such as a scale.
        check: raises a LeastworkError if the observables of the model's samples, (n, K), are out of the data's reach.

    The ratio of two averages, such as that of intensities with and without a label:

    >>> both = Observable(lambda x: x, names=("a", "b"))
    >>> data = Indirect(both, lambda m, eta: m[:1] / m[1:], names=("a / b",), values=[0.5], errors=[0.05])
    >>> data.evaluated(torch.tensor([1.0, 4.0]))
    tensor([0.2500], dtype=torch.float64)
    """

    observable: Observable
    function: Function
    names: tuple[str, ...]
    values: Any = None
    errors: Any = 0.0
    lower: Any = None
    upper: Any = None
    held_out: Any = None
    unit: str | tuple[str, ...] = ""
    parameters: Mapping[str, float] = field(default_factory=dict)
    positive: tuple[str, ...] = ()
    check: Callable[[Tensor], None] | None = None

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ConfigError(f"function must be a function of averages, not {type(self.function).__name__}")
        ends = {key: getattr(self, key) for key in ("values", "errors", "lower", "upper", "held_out")}
        stated = Experiment(Observable(_no_columns, self.names, self.unit), **ends)
        parts = {key: getattr(stated, key) for key in ends}
        for key, part in {**parts, "names": stated.names, "positive": tuple(self.positive)}.items():
            object.__setattr__(self, key, part)

    def _repr_html_(self) -> str:
        return self.stated._repr_html_()

    @property
    def stated(self) -> Experiment:
        """The data as an experiment, to ask for names, units, errors and flags; its observable has no columns yet."""
        ends = {key: getattr(self, key) for key in ("values", "errors", "lower", "upper", "held_out")}
        return Experiment(Observable(_no_columns, self.names, self.unit), **ends)

    @property
    def units(self) -> tuple[str, ...]:
        """The unit of every datum."""
        return self.stated.units

    @property
    def fitted(self) -> Tensor:
        """Indices of the data that a fit uses."""
        return self.stated.fitted

    @property
    def covariance(self) -> Tensor:
        """Σ of the errors, (J, J)."""
        return self.stated.covariance

    def sampled_by(self, model: Any) -> "Indirect":
        """The same data, with observables of the model's samples: they decode them if they are latents."""
        seen = of_data(self.observable, model)
        return self if seen is self.observable else replace(self, observable=seen)

    def evaluated(self, averages: Tensor, parameters: Tensor | None = None) -> Tensor:
        """f at averages (K,) and unknowns (P,), float64 (J,).

        Raises:
            LeastworkError: the function returns something else than (J,) numbers.
            NonFiniteError: it is NaN or infinite there.
        """
        m = torch.as_tensor(averages, dtype=torch.float64)
        eta = self.start if parameters is None else parameters.to(torch.float64)
        found = self.function(m, eta)
        if not isinstance(found, Tensor) or found.shape != (len(self.names),):
            got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
            raise LeastworkError(
                f"the function of {', '.join(self.names[:5])} returns {got}: return a tensor ({len(self.names)},)"
            )
        if not found.isfinite().all():
            worst = int((~found.isfinite()).nonzero()[0])
            raise NonFiniteError(
                f"{self.names[worst]!r} is {float(found[worst])} at averages {_brief(m)} of the observables: check the "
                "function there"
            )
        return found

    @property
    def start(self) -> Tensor:
        """The values at which the search for η starts, (P,)."""
        return torch.tensor(list(self.parameters.values()), dtype=torch.float64)

    def at(self, linearisation: Linearisation | None) -> Experiment:
        """The data as data on averages, linearised at a point.

        Args:
            linearisation: the averages and the unknowns, from :func:`~leastwork.data.fixed_point.fit_indirect`.

        Raises:
            LeastworkError: there is no point.
        """
        if linearisation is None:
            raise LeastworkError(
                f"{', '.join(self.names[:5])} are functions of averages, and where to take their slopes is not known: "
                "fit them with fit_indirect"
            )
        m, eta = linearisation.averages, linearisation.parameters
        value = self.evaluated(m, eta)
        slope = slopes(lambda averages: self.function(averages, eta), m, len(self.names))
        columns = LinearColumns(self.observable, value, slope, m)
        observable = Observable(columns, self.names, self.unit, self.observable.differentiable)
        return replace(self.stated, observable=observable)


def _no_columns(x: Any) -> Tensor:
    raise LeastworkError("these data are functions of averages: fit them with fit_indirect or guide_observables first")


def _brief(values: Tensor) -> str:
    numbers = ", ".join(f"{value:.4g}" for value in values[:5].tolist())
    return f"({numbers}, …)" if len(values) > 5 else f"({numbers})"
