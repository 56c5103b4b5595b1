"""From a run file's couplings to an experiment, and to the groups that cross-validation leaves out in turn."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from leastwork.data.couplings import Couplings
from leastwork.data.mixture import Data
from leastwork.data.trust import check_groups, is_singular
from leastwork.errors import ConfigError, LeastworkError
from leastwork.geometry.state import EventShape, shapes
from leastwork.observables import Backbone
from leastwork.runs.base.cases import case
from leastwork.runs.observables.couplings.config import CouplingsConfig
from leastwork.support.text import plural, quoted

__all__ = ["KindsOfData", "LeftOut", "coupling_data"]

LeftOut = Literal["types", "residues"]
_STAR = (".str", ".star", ".nmrstar")


@dataclass(frozen=True, eq=False)
class KindsOfData:
    """Of what kind the data are, of which some are couplings.

    Args:
        experiment: the K data with their errors as stated; no θ is in them.
        types: the kind of each, (K,): the type of a coupling, the table or the name of any other datum.
        residues: the residue of each coupling, the kind of any other datum, (K,).
        groups: what cross-validation leaves out with it, (K,).
        left_out: whether that is its type or its residue.
    """

    experiment: Data
    types: tuple[str, ...]
    residues: tuple[str, ...]
    groups: tuple[str, ...] = ()
    left_out: LeftOut = "types"

    def grouped(self, leave_out: LeftOut, *, theta_is_chosen: bool) -> "KindsOfData":
        """The same with groups for cross-validation: types as asked, residues where all fitted data are of one type.

        Args:
            leave_out: what is to be left out at a time.
            theta_is_chosen: whether θ is chosen by cross-validation, which takes errors and two groups.

        Raises:
            ConfigError: θ is to be chosen, and there are too few groups, or a datum has no error.
        """
        fitted = self.experiment.fitted.tolist()
        one_type = len({self.types[k] for k in fitted}) < 2
        by_residue = leave_out == "residues" or one_type
        groups, left_out = (self.residues, "residues") if by_residue else (self.types, "types")
        if theta_is_chosen:
            self._check(groups, left_out)
        return replace(self, groups=groups, left_out=left_out)

    def _check(self, groups: tuple[str, ...], left_out: LeftOut) -> None:
        fitted = self.experiment.fitted.tolist()
        for k in fitted:
            if self.experiment.covariance[k, k] == 0:
                raise ConfigError(
                    f"data: theta: auto multiplies the errors of all data, and {quoted(self.experiment.names[k])} has "
                    "none: give it an error, or give theta a number"
                )
        try:
            check_groups(self.experiment, groups)
        except LeastworkError:
            raise ConfigError(
                f"data: theta: auto takes fitted couplings of two types or two {left_out}, and there are but "
                f"{plural(len(fitted), 'coupling')} of {groups[fitted[0]]}: fit more, or give theta a number"
            ) from None


def coupling_data(
    config: CouplingsConfig, system: str | None, event_shape: EventShape, *, alone: bool = True
) -> tuple[KindsOfData, Tensor]:
    """Read and check the couplings of a run.

    Args:
        config: the settings of the couplings.
        system: of the run, which may know the backbone.
        event_shape: shape of the model's states, (A, 3).
        alone: False beside other data, of which some may be fitted where all couplings are held out.

    Returns:
        The couplings, none of them held out, and a bool (K,) that says which the file or the settings hold out.

    Raises:
        ConfigError: a file, a type, a backbone or errors that cannot be used.
    """
    backbone = _backbone(config, system)
    _check_atoms(backbone, config, event_shape)
    couplings = _read(config)
    if config.fit is not None:
        for kind in config.fit:
            if kind not in couplings.kinds:
                raise ConfigError(
                    f"'fit' in 'data': {config.couplings.name} has no couplings {kind}: it has "
                    f"{', '.join(dict.fromkeys(couplings.kinds))}"
                )
        fitted = config.fit
        couplings = couplings.held_out_where(lambda row: row.kind not in fitted)
    held_out = torch.tensor([row.held_out or config.held_out for row in couplings.rows])
    if alone and held_out.all():
        raise ConfigError(f"{couplings.source}: all of the couplings are held out: leave at least one to fit")
    couplings = couplings.held_out_where(lambda row: False)
    experiment = couplings.experiment(backbone, karplus=config.karplus, shared=config.shared)
    if is_singular(experiment.covariance):
        raise ConfigError(
            f"data: with shared: {config.shared:g} some of the couplings have one and the same error, so that no χ² "
            "can be taken: give each an error of its own, or take a smaller share"
        )
    residues = tuple(f"residue {row.residue}" for row in couplings.rows)
    return KindsOfData(experiment, couplings.kinds, residues), held_out


def _check_atoms(backbone: Backbone, config: CouplingsConfig, event_shape: EventShape) -> None:
    """A chain is all of a structure, lists of atoms are some of it."""
    (shape, *parts) = shapes(event_shape)
    if parts or len(shape) != 2 or shape[1] != 3:
        raise ConfigError(f"data: couplings are of structures (A, 3), and the model's states are {event_shape}")
    last = max(*backbone.n, *backbone.ca, *backbone.c, -1 if backbone.end is None else backbone.end)
    remedy = f"the model's states have {shape[0]} atoms: correct one of them"
    if config.backbone is not None and config.backbone.residues is None:
        if last >= shape[0]:
            raise ConfigError(f"'backbone' in 'data' has an atom {last}, counted from 0, and {remedy}")
    elif last + 1 != shape[0]:
        raise ConfigError(f"'backbone' in 'data' is a chain of {last + 1} atoms, and {remedy}")


def _read(config: CouplingsConfig) -> Couplings:
    path: Path = config.couplings
    if path.suffix.lower() in _STAR or _begins_as_star(path):
        return Couplings.from_nmr_star(path, config.measurement_error, config.molecule)
    return Couplings.from_csv(path, config.measurement_error)


def _begins_as_star(path: Path) -> bool:
    """Whether the first line that is no comment begins a block of NMR-STAR; files that cannot be read do not."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            first = next((line for line in file if line.strip() and not line.lstrip().startswith("#")), "")
    except OSError:
        return False
    return first.lower().startswith("data_") and "," not in first


def _backbone(config: CouplingsConfig, system: str | None) -> Backbone:
    if config.backbone is not None:
        try:
            return config.backbone.backbone()
        except LeastworkError as error:
            raise ConfigError(f"'backbone' in 'data': {error}") from error
    known = None if system is None else case(system).backbone
    if known is not None:
        return known()
    raise ConfigError(
        "'backbone' is missing in 'data': say which atoms are N, CA and C, as in backbone: {residues: 5, end: true} "
        "for states of these alone, or with lists n, ca and c"
    )
