"""Observables: differentiable functions of a state, in data units."""

from leastwork.observables.angles import circular
from leastwork.observables.contacts import contacts, native_fraction, smooth_above
from leastwork.observables.couplings import KINDS, Backbone, forward_model_covariance, scalar_couplings
from leastwork.observables.deer import deer
from leastwork.observables.deviation import rmsd
from leastwork.observables.dipolar import BONDS, bond_tensors, residual_couplings
from leastwork.observables.distances import distances, end_to_end, radius_of_gyration
from leastwork.observables.exchange import Amide, log_protection
from leastwork.observables.frames import backbone_atoms, frames_of, on_alpha_carbons, on_frames
from leastwork.observables.function import (
    Observable,
    check_differentiable,
    column,
    component,
    evaluate,
    population,
    smooth_interval,
    stack,
)
from leastwork.observables.karplus import KARPLUS, Karplus, KarplusSet, Relation, TwoTorsions, karplus_set
from leastwork.observables.labels import beta_distances, fret, fret_error, pre_rates
from leastwork.observables.noe import bounds_from_distances, effective_distance, group_inverse_powers, inverse_powers
from leastwork.observables.saxs import saxs, saxs_error
from leastwork.observables.torsions import cosines_and_sines, pseudo_torsions, torsions

__all__ = [
    "BONDS",
    "KARPLUS",
    "KINDS",
    "Amide",
    "Backbone",
    "Karplus",
    "KarplusSet",
    "Observable",
    "Relation",
    "TwoTorsions",
    "backbone_atoms",
    "beta_distances",
    "bond_tensors",
    "bounds_from_distances",
    "check_differentiable",
    "circular",
    "column",
    "component",
    "contacts",
    "cosines_and_sines",
    "deer",
    "distances",
    "effective_distance",
    "end_to_end",
    "evaluate",
    "forward_model_covariance",
    "frames_of",
    "fret",
    "fret_error",
    "group_inverse_powers",
    "inverse_powers",
    "karplus_set",
    "log_protection",
    "native_fraction",
    "on_alpha_carbons",
    "on_frames",
    "population",
    "pre_rates",
    "pseudo_torsions",
    "radius_of_gyration",
    "residual_couplings",
    "rmsd",
    "saxs",
    "saxs_error",
    "scalar_couplings",
    "smooth_above",
    "smooth_interval",
    "stack",
    "torsions",
]
