"""Structures that one turns: what a page holds of them, and what it cannot hold."""

import base64

import numpy as np
import pytest

from leastwork.errors import LeastworkError
from leastwork.report.chains import point_map, traces
from leastwork.report.structures import Shade, Structures, StructureSet

RANDOM = np.random.default_rng(0)


def test_coordinates_come_back_to_a_picometre() -> None:
    x = RANDOM.normal(size=(3, 5, 3))
    shown = Structures([StructureSet("a", x, 900)], x[0], traces([("a", x)], x[0]), "", "", [Shade("w", [x[:, 0, 0]])])
    payload = shown.payload()
    (found,) = payload["sets"]
    back = np.frombuffer(base64.b64decode(found["x"]), "<i2").reshape(3, 5, 3) / 1000
    assert np.abs(back - x).max() <= 0.0005
    assert (found["n"], found["of"], found["atoms"]) == (3, 900, 5)
    assert np.allclose(payload["shades"][0]["values"][0], x[:, 0, 0], rtol=1e-3)


def test_a_map_has_a_point_for_each_structure() -> None:
    drawn = point_map([("guided", np.arange(4.0), np.ones(4)), ("model", np.arange(2.0), np.ones(2))], ("Q", "$d$"))
    (panel,) = drawn.panels
    assert [(one.label, one.kind, len(one.x)) for one in panel.series] == [
        ("guided", "points", 4),
        ("model", "points", 2),
    ]


@pytest.mark.parametrize("x", [np.zeros((2, 3)), np.full((1, 4, 3), np.nan), np.full((1, 4, 3), 40.0)])
def test_what_cannot_be_drawn_is_refused(x: np.ndarray) -> None:
    with pytest.raises(LeastworkError, match="structures 'a'"):
        StructureSet("a", x, 1)
