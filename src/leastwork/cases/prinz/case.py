"""The case of the Prinz potential, as run files name it."""

from leastwork.runs.base.cases import Case
from leastwork.systems.prinz import prinz, prinz_biased

__all__ = ["CASES"]

CASES = {"prinz": Case(event_shape=(1,), density=prinz, model_density=prinz_biased)}
