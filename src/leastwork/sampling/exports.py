"""Ensembles in the forms of other packages: an xarray dataset, a pandas table, an mdtraj trajectory, a figure.

Weights w are self-normalised, Σ w = 1, for each distribution that the samples have weights for.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.state import State, leaves
from leastwork.models.latents import of_decoded
from leastwork.observables.function import Observable, evaluate
from leastwork.sampling.ensemble import Distribution, Ensemble, log_weight_under
from leastwork.statistics.estimate import Estimate
from leastwork.support.above import above
from leastwork.support.extras import needs
from leastwork.support.residues import THREE_LETTERS

__all__ = ["plot_observable", "to_dataframe", "to_mdtraj", "to_xarray"]

_EXTRA = "notebook"
_MOST_COORDINATES = 1000  # as columns of a table
_ENERGY = "k_B T"
_TO_NM = {"nm": 1.0, "angstrom": 0.1}


def _distributions(ensemble: Ensemble) -> dict[Distribution, Tensor]:
    """Weights of the samples, float64 (n,), for each distribution that there are weights for."""
    weighted, tilted = ensemble.ledger.log_weight is not None, ensemble.log_tilt is not None
    there = {"guided": True, "model": weighted, "target": weighted and tilted}
    return {one: _weights(ensemble, one) for one in get_args(Distribution) if there[one]}


def _weights(ensemble: Ensemble, under: Distribution) -> Tensor:
    return torch.softmax(log_weight_under(under, ensemble).to(torch.float64), dim=0)


def _columns(ensemble: Ensemble, observable: Callable[[State], Tensor]) -> tuple[Observable, Tensor]:
    """The observable with names and units, and its values, float64 (n, K)."""
    seen = of_decoded(observable, ensemble.decoder)
    if isinstance(seen, Observable):
        named = seen
    else:
        first = seen(tuple(leaf[:1] for leaf in ensemble.x) if isinstance(ensemble.x, tuple) else ensemble.x[:1])
        count = 1 if first.ndim == 1 else first.shape[1]
        named = Observable(seen, ("O",) if count == 1 else tuple(f"O{k + 1}" for k in range(count)))
    return named, evaluate(named, ensemble.x)


def _with_unit(name: str, unit: str) -> str:
    return f"{name} ({unit})" if unit else name


def plot_observable(ensemble: Ensemble, observable: Callable[[State], Tensor], axes: Any = None) -> list[Any]:
    """See :meth:`leastwork.Ensemble.plot`."""
    named, values = _columns(ensemble, observable)
    labels = [_with_unit(*pair) for pair in zip(named.names, named.units, strict=True)]
    curves = [(name, weights.numpy()) for name, weights in _distributions(ensemble).items()]
    return above("leastwork.report.plots", "histograms")(axes, labels, values.numpy(), curves)


def _per_sample(ensemble: Ensemble) -> dict[str, Tensor]:
    """The numbers of the ledger that each sample has, k_B T."""
    ledger = ensemble.ledger
    found = {name: getattr(ledger, name) for name in ("work", "action", "log_weight")} | {"log_tilt": ensemble.log_tilt}
    return {name: values.cpu() for name, values in found.items() if values is not None}


def to_xarray(ensemble: Ensemble, observable: Callable[[State], Tensor] | None = None, unit: str = "") -> Any:
    """See :meth:`leastwork.Ensemble.to_xarray`."""
    xarray = needs("xarray", _EXTRA)
    parts = leaves(ensemble.x)
    variables: dict[str, Any] = {}
    for i, leaf in enumerate(parts):
        name = "x" if len(parts) == 1 else f"x{i}"
        axes = ["sample", *(f"{name}_axis{k}" for k in range(leaf.ndim - 1))]
        variables[name] = (axes, leaf.cpu().numpy(), {"units": unit})
    for name, values in _per_sample(ensemble).items():
        variables[name] = ("sample", values.numpy(), {"units": _ENERGY})
    weights = _distributions(ensemble)
    variables["weight"] = (("distribution", "sample"), torch.stack(list(weights.values())).numpy(), {"units": "1"})
    coordinates: dict[str, Any] = {"distribution": list(weights), "sample": np.arange(len(ensemble))}
    step_work, times = ensemble.ledger.step_work, ensemble.ledger.times.cpu().numpy()
    if step_work is not None:
        coordinates["step_start"] = ("step", times[:-1], {"units": "1", "long_name": "time at which a step starts"})
        coordinates["step_end"] = ("step", times[1:], {"units": "1", "long_name": "time at which a step ends"})
        variables["step_work"] = ("step", np.asarray(step_work.value), {"units": _ENERGY})
        variables["step_work_stderr"] = ("step", np.asarray(step_work.stderr), {"units": _ENERGY})
    if observable is not None:
        named, values = _columns(ensemble, observable)
        means = [_mean(ensemble, values, one) for one in weights]
        coordinates["observable_name"] = ("observable", list(named.names))
        coordinates["observable_unit"] = ("observable", list(named.units))
        variables["observable_value"] = (("sample", "observable"), values.numpy())
        for name, part in (("average", "value"), ("average_stderr", "stderr")):
            whole = np.stack([np.asarray(getattr(mean, part)) for mean in means])
            variables[name] = (("distribution", "observable"), whole)
    cost = {"network_evaluations": ensemble.network_evaluations, "seconds": ensemble.seconds}
    return xarray.Dataset(variables, coordinates, cost)


def _mean(ensemble: Ensemble, values: Tensor, under: Distribution) -> Estimate:
    group = ensemble.ledger.group
    if under == "guided":
        return Estimate.from_samples(values, group)
    return Estimate.from_log_weights(values, log_weight_under(under, ensemble).cpu(), group)


def to_dataframe(ensemble: Ensemble, observable: Callable[[State], Tensor] | None = None) -> Any:
    """See :meth:`leastwork.Ensemble.to_dataframe`."""
    pandas = needs("pandas", _EXTRA)
    units = dict.fromkeys(_per_sample(ensemble), _ENERGY)
    columns = {name: values.numpy() for name, values in _per_sample(ensemble).items()}
    for name, weights in _distributions(ensemble).items():
        columns[f"weight_{name}"], units[f"weight_{name}"] = weights.numpy(), "1"
    if observable is not None:
        named, values = _columns(ensemble, observable)
        columns |= dict(zip(named.names, values.numpy().T, strict=True))
        units |= dict(zip(named.names, named.units, strict=True))
    else:
        flat = torch.cat([leaf.flatten(1).cpu() for leaf in leaves(ensemble.x)], dim=1)
        if flat.shape[1] > _MOST_COORDINATES:
            raise LeastworkError(
                f"a sample has {flat.shape[1]} coordinates, too many columns for a table: pass an observable"
            )
        columns |= {f"x[{k}]": flat[:, k].numpy() for k in range(flat.shape[1])}
    table = pandas.DataFrame(columns)
    table.attrs["units"] = units
    return table


def to_mdtraj(
    ensemble: Ensemble, topology: Any, under: Distribution = "guided", unit: str = "nm"
) -> tuple[Any, Tensor]:
    """See :meth:`leastwork.Ensemble.to_mdtraj`."""
    mdtraj = needs("mdtraj", "protein")
    if unit not in _TO_NM:
        raise LeastworkError(f"unit={unit!r} is no unit of structures: choose 'nm' or 'angstrom'")
    x = leaves(ensemble.x)[0]
    named = _of_sequence(mdtraj, topology) if isinstance(topology, str) else topology
    if x.ndim != 3 or x.shape[1:] != (named.n_atoms, 3):
        raise LeastworkError(
            f"samples of shape {tuple(x.shape[1:])} are no structures of the {named.n_atoms} atoms of the topology: "
            "pass the topology of the atoms of one sample"
        )
    return mdtraj.Trajectory(_TO_NM[unit] * x.cpu().numpy(), named), _weights(ensemble, under)


def _of_sequence(mdtraj: Any, sequence: str) -> Any:
    """The Cα atoms of a chain, whose neighbours are bonded."""
    unknown = sorted(set(sequence) - set(THREE_LETTERS))
    if unknown or not sequence:
        raise LeastworkError(
            f"{sequence!r} is no sequence of the twenty amino acids: give their one-letter codes, such as 'YYDPETGTWY'"
        )
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    atoms = [
        topology.add_atom("CA", mdtraj.element.carbon, topology.add_residue(THREE_LETTERS[code], chain, number))
        for number, code in enumerate(sequence, 1)
    ]
    for one, other in pairwise(atoms):
        topology.add_bond(one, other)
    return topology
