"""What is measured: differentiable functions of a state, in data units."""

from leastwork.observables.function import Observable, component, evaluate, smooth_interval, stack

__all__ = ["Observable", "component", "evaluate", "smooth_interval", "stack"]
