"""A model as a table for a notebook, whatever its kind."""

from leastwork.geometry.state import shapes
from leastwork.models.base import Model, is_scored
from leastwork.support.html import html_table
from leastwork.support.numerals import count, plain

__all__ = ["model_table"]


def model_table(model: Model) -> str:
    """The network, the states and the times of a model, as HTML."""
    net = model.net
    parameters = sum(one.numel() for one in model.parameters())
    first, last = model.interval
    rows = [
        ("network", getattr(net, "__name__", type(net).__name__)),
        ("parameters", count(parameters) if parameters else "none, a plain function"),
        ("one sample", " and ".join(str(tuple(shape)) for shape in shapes(model.event_shape))),
        ("degrees of freedom", count(model.dimension)),
        ("times", f"{plain(first)} (data) to {plain(last)} (noise)"),
        ("dynamics", "SDE and ODE" if is_scored(model) else "ODE alone, since there is no score"),
    ]
    if is_scored(model):
        rows.insert(3, ("schedule", type(model.schedule).__name__))
    return html_table(type(model).__name__, rows)
