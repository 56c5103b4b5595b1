"""What is measured: differentiable functions of a state, in data units."""

from leastwork.observables.contacts import contacts, native_fraction, smooth_above
from leastwork.observables.deviation import rmsd
from leastwork.observables.distances import distances, end_to_end, radius_of_gyration
from leastwork.observables.function import Observable, component, evaluate, smooth_interval, stack
from leastwork.observables.torsions import cosines_and_sines, pseudo_torsions, torsions

__all__ = [
    "Observable",
    "component",
    "contacts",
    "cosines_and_sines",
    "distances",
    "end_to_end",
    "evaluate",
    "native_fraction",
    "pseudo_torsions",
    "radius_of_gyration",
    "rmsd",
    "smooth_above",
    "smooth_interval",
    "stack",
    "torsions",
]
