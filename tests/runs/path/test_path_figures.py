"""The figures are images that do not change from call to call, and refuse what they cannot draw."""

from xml.etree import ElementTree

import numpy as np
import pytest

from leastwork.errors import LeastworkError
from leastwork.report.drawing import Drawing
from leastwork.runs.path.figures import Curve, Panel, curves, nearest, outlines, plane

RANDOM = np.random.default_rng(0)
X = np.array([0.5, 1.0, 2.0])


def svg(drawing: Drawing) -> str:
    ElementTree.fromstring(drawing.svg)
    return drawing.svg


def curve(label: str = "a") -> Curve:
    return Curve(label, np.array([0.1, np.nan, 0.3]), np.full(3, 0.01))


def test_plane_draws_a_region_where_there_is_one() -> None:
    model, guided, guides = RANDOM.normal(size=(500, 2)), RANDOM.normal(size=(50, 2)), RANDOM.normal(size=(5, 2))
    plain = plane(model, guided, guides)
    inside = outlines(model, guided, guides, lambda x: (x**2).sum(axis=1) < 1)
    outlined = plane(model, guided, guides, inside, ("$x$ in $", "y"))
    assert plain == plane(model, guided, guides)
    assert svg(outlined).count("<path") > svg(plain).count("<path")
    svg(plane(model, guided, guides, np.zeros_like(inside)))
    svg(plane(model + 50, guided, guides[:1]))  # nothing of the model is near, and one guide


def test_nearest_needs_no_model_samples() -> None:
    distances, few = RANDOM.random(300), RANDOM.random(8)
    assert svg(nearest(distances, few)).count("<path") < svg(nearest(distances, few, distances[:3])).count("<path")
    assert nearest(distances, few, np.empty(0)) == nearest(distances, few)
    svg(nearest(np.zeros(4), np.zeros(2), unit="$nm"))


@pytest.mark.parametrize("panels", [1, 2, 3, 4, 5])
def test_curves_have_a_panel_each(panels: int) -> None:
    several = [Panel(f"q{i} $", [curve("a"), curve("$b")], (0, None), reference=1.0) for i in range(panels)]
    drawing = curves(X, several, "x", logarithmic=True, chosen=1.0)
    svg(drawing)
    assert len(drawing.panels) == panels
    assert [one.series[0].label for one in drawing.panels] == ["a"] * panels
    svg(curves(X, [Panel("q", [curve()])], "x"))


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plane(np.zeros((5, 3)), np.zeros((5, 2)), np.zeros((5, 2))), "model of shape"),
        (lambda: plane(np.zeros((5, 2)), np.zeros((5, 2)), np.zeros((0, 2))), "guides of shape"),
        (lambda: nearest(np.empty(0), np.ones(3)), "0 samples"),
        (lambda: curves(X, [], "x"), "0 panels"),
        (lambda: curves(X, [Panel("q", [curve(str(i)) for i in range(5)])], "x"), "5 different curves"),
        (lambda: curves(X[:2], [Panel("q", [curve()])], "x"), "'a' has 3 values for 2 x"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, message: str) -> None:
    with pytest.raises(LeastworkError, match=message):
        draw()
