"""Ensembles: samples, the cost of each, and estimates with standard errors under three distributions.

Guided samples come from Q. Under the model P they carry the weight dP/dQ, under the target p·e^r/Z the weight
w = dP/dQ · e^r:      ⟨φ⟩_P = Σ φ dP/dQ / Σ dP/dQ        ⟨φ⟩_target = Σ φ w / Σ w.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from leastwork.errors import LeastworkError, NoPathWeightsError
from leastwork.geometry.state import State, batch_size, leaves, smap
from leastwork.models.latents import Decoder, of_decoded
from leastwork.sampling.work import kish_ess
from leastwork.statistics.estimate import Estimate
from leastwork.support.above import above
from leastwork.support.html import html_table
from leastwork.support.numerals import count, fraction, plus_minus

__all__ = ["Distribution", "Ensemble", "Ledger", "log_weight_under"]

Distribution: TypeAlias = Literal["guided", "model", "target"]


@dataclass(frozen=True)
class Ledger:
    """The cost of the paths of n samples.

    It is either ``work`` and ``log_weight`` (n,), nats, or ``action`` (n,) for the ODE. ``step_work`` is the mean KL of
    each step with its standard error, (S,), at ``times`` (S+1,). If samples compete for survival, each ``group`` of
    successive samples depend on each other; standard errors then come from the groups, which are independent.
    ``chain`` is the chain in words whose work and weights these are, if it is not that of the SDE; else it is empty.
    """

    times: Tensor
    work: Tensor | None = None
    log_weight: Tensor | None = None
    action: Tensor | None = None
    step_work: Estimate | None = None
    why_no_weights: str = ""
    group: int = 1
    chain: str = ""


@dataclass(frozen=True)
class Ensemble:
    """Guided samples and their ledger.

    Args:
        x: samples in data units, (n, *event); latents, if the model decodes them and has no encoder.
        ledger: cost of each path.
        log_tilt: r(x_0) of the target, (n,), if there is one.
        network_evaluations: number of network evaluations for all samples.
        seconds: wall time of the sampling, s.
        decoder: if the samples are latents, the decoder through which :meth:`mean` sees them, else None.
    """

    x: State
    ledger: Ledger
    log_tilt: Tensor | None = None
    network_evaluations: int = 0
    seconds: float = 0.0
    decoder: Decoder | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return batch_size(self.x)

    def __repr__(self) -> str:
        shape = ", ".join(str(tuple(leaf.shape)) for leaf in leaves(self.x))
        cost = f"ess={self.ess.value:.3f}" if self.ledger.log_weight is not None else "no path weights"
        return f"Ensemble(x={shape}, {cost})"

    @property
    def work(self) -> Tensor:
        """Excess work of each path, nats, (n,); its mean is W."""
        return self._weighted(self.ledger.work)

    @property
    def log_weight(self) -> Tensor:
        """ln dP/dQ of each path, (n,)."""
        return self._weighted(self.ledger.log_weight)

    @property
    def action(self) -> Tensor:
        """Kinetic action ∫ ½|½g²h|² dt of each path of the ODE, (n,)."""
        if self.ledger.action is None:
            raise LeastworkError("an SDE has no kinetic action: read ens.work, or draw with process='ode'")
        return self.ledger.action

    @property
    def ess(self) -> Estimate:
        """Kish's effective fraction of the weights dP/dQ, in (0, 1]."""
        return kish_ess(self.log_weight, self.ledger.group)

    @property
    def log_z(self) -> Estimate:
        """ln Z = ln⟨dP/dQ · e^r⟩ of the target p·e^r/Z, nats; the estimate of Z is unbiased, that of ln Z a little low.

        Raises:
            NoPathWeightsError: the paths have no weights (ODE, Heun).
            LeastworkError: the samples have no log-tilt of a target.
        """
        log_w = log_weight_under("target", self).to(torch.float64)
        relative = torch.softmax(log_w, dim=0) * len(log_w)
        value = torch.logsumexp(log_w, dim=0) - math.log(len(log_w))
        return Estimate.from_influence(value, relative, self.ledger.group)

    def mean(self, fn: Callable[[State], Tensor], under: Distribution = "guided", batch_size: int = 65536) -> Estimate:
        """The mean of ``fn`` with its standard error, which is NaN if all samples form one dependent group.

        Args:
            fn: function of states in data units, (B, *event) -> (B,) or (B, K).
            under: "guided" (no weights), "model" (weights dP/dQ) or "target" (weights dP/dQ · e^r).
            batch_size: number of samples in one call of ``fn``.

        Raises:
            NoPathWeightsError: the paths have no weights (ODE, Heun).
            LeastworkError: the samples have no log-tilt of a target, or ``under`` is unknown.
        """
        n, fn = len(self), of_decoded(fn, self.decoder)
        with torch.no_grad():
            copies = (smap(torch.clone, _slice(self.x, i, i + batch_size)) for i in range(0, n, batch_size))
            parts = [fn(copy) for copy in copies]  # of copies, as fn may write to what it is given
        values = torch.cat(parts)
        if under == "guided":
            return Estimate.from_samples(values, self.ledger.group)
        return Estimate.from_log_weights(values, log_weight_under(under, self), self.ledger.group)

    def _repr_html_(self) -> str:
        rows = [
            ("samples", count(len(self))),
            ("one sample", " and ".join(str(tuple(leaf.shape[1:])) for leaf in leaves(self.x))),
            ("network evaluations", count(self.network_evaluations)),
        ]
        if self.ledger.work is not None and self.ledger.log_weight is not None:
            work, ess = Estimate.from_samples(self.work, self.ledger.group), self.ess
            rows.append(("work", f"{plus_minus(float(work.value), float(work.stderr))} k_BT"))
            rows.append(("effective samples of the model", fraction(ess.value, ess.stderr)))
        else:
            rows.append(("path weights", f"none: {self.ledger.why_no_weights}"))
        return html_table("Ensemble", rows)

    def plot(self, observable: Callable[[State], Tensor], axes: Any = None) -> list[Any]:
        """Draw histograms of an observable under each distribution for which the samples have weights.

        Args:
            observable: an :class:`leastwork.Observable`, or a function of states, (B, *event) -> (B,) or (B, K).
            axes: K axes of matplotlib; by default those of a new figure.

        Returns:
            list: the axes, one for each column.
        """
        return above("leastwork.sampling.exports", "plot_observable")(self, observable, axes)

    def to_xarray(self, observable: Callable[[State], Tensor] | None = None, unit: str = "") -> Any:
        """The ensemble as an ``xarray.Dataset`` with weights, units and standard errors; takes the extra ``notebook``.

        Args:
            observable: as for :meth:`plot`; its values become ``observable`` (sample, observable), and its averages
                ``average`` and ``average_stderr`` (distribution, observable).
            unit: unit of the coordinates of the samples.

        Returns:
            xarray.Dataset: the samples ``x``; ``work``, ``log_weight`` and ``log_tilt`` of each, k_BT; ``weight``
            (distribution, sample), whose sum over the samples is one; ``step_work`` with ``step_work_stderr``.

        Raises:
            LeastworkError: xarray is not installed.
        """
        return above("leastwork.sampling.exports", "to_xarray")(self, observable, unit)

    def to_dataframe(self, observable: Callable[[State], Tensor] | None = None) -> Any:
        """The ensemble as a ``pandas.DataFrame`` with a row for each sample; takes the extra ``notebook``.

        Args:
            observable: as for :meth:`plot`, a column for each of its columns; by default the coordinates are columns.

        Returns:
            pandas.DataFrame: ``attrs["units"]`` has the unit of each column.

        Raises:
            LeastworkError: pandas is not installed, or the samples have more than 1000 coordinates.
        """
        return above("leastwork.sampling.exports", "to_dataframe")(self, observable)

    def to_mdtraj(self, topology: Any, under: Distribution = "guided", unit: str = "nm") -> tuple[Any, Tensor]:
        """Structures as an ``mdtraj.Trajectory``, and the weight of each frame; takes the extra ``protein``.

        Args:
            topology: a topology of mdtraj, or the sequence in one-letter codes if the samples are Cα atoms.
            under: the distribution whose averages the weights give.
            unit: "nm" or "angstrom", the unit of the samples; the trajectory is in nm.

        Returns:
            tuple: the trajectory, and weights, float64 (n,), whose sum is one.

        Raises:
            LeastworkError: mdtraj is not installed, the samples are no structures of these atoms, or ``under`` has no
                weights.
        """
        return above("leastwork.sampling.exports", "to_mdtraj")(self, topology, under, unit)

    def _weighted(self, values: Tensor | None) -> Tensor:
        if values is None:
            raise NoPathWeightsError(self.ledger.why_no_weights)
        return values


def log_weight_under(under: Distribution, ensemble: Ensemble) -> Tensor:
    """ln weight of guided samples under a distribution, (n,)."""
    if under not in get_args(Distribution):
        raise LeastworkError(f"under={under!r} is not a distribution: choose 'guided', 'model' or 'target'")
    if under == "guided":
        return torch.zeros(len(ensemble), dtype=torch.float64)
    if under == "model":
        return ensemble.log_weight
    if ensemble.log_tilt is None:
        raise LeastworkError("these samples have no log-tilt of a target: draw them with run.sample(...)")
    return ensemble.log_weight + ensemble.log_tilt


def _slice(x: State, start: int, stop: int) -> State:
    return tuple(leaf[start:stop] for leaf in x) if isinstance(x, tuple) else x[start:stop]
