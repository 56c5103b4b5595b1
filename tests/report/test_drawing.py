"""Figures of a page: in its colours, with their numbers, with no name twice, and nothing from elsewhere."""

import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from leastwork.errors import LeastworkError
from leastwork.report import figures
from leastwork.report.blocks import Image
from leastwork.report.drawing import Drawing, Series
from leastwork.report.figures import Samples, image
from leastwork.report.palette import PALETTE
from leastwork.report.render import environment

NAME = "</script><b>&$x$ #0072b2 1.23456789\x07"


def drawing() -> Drawing:
    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        left.plot([0, 1, 2], [1.0, np.nan, 3.0], color=figures.BLUE, label="curve")
        left.plot([0.5], [2.0], "o", label="_hidden")
        left.errorbar([0, 1], [1, 2], yerr=[0.1, 0.25], fmt="s", label="bars")
        left.axvline(1)
        left.set_xlabel(NAME, parse_math=False)
        left.set_ylabel("work  (k_BT)")
        right.stairs([1, 2], [0, 1, 3], label="steps")
        right.imshow(np.array([[1.0, np.nan], [3.0, 4.0]]), origin="lower", extent=(0, 1, 0, 2), aspect="auto")
        right.set_xscale("symlog")

    return image(draw, 7, 3)


def test_a_drawing_has_the_numbers_that_it_shows() -> None:
    left, right = drawing().panels
    assert left.series[:2] == [
        Series("curve", "line", [0, 1, 2], [1, None, 3]),
        Series("hidden", "points", [0.5], [2]),
    ]
    bars = next(one for one in left.series if one.label == "bars")
    assert (bars.kind, bars.y, bars.error) == ("points", [1, 2], [0.1, 0.25])
    assert [one.label for one in left.series] == ["curve", "hidden", "bars"]
    steps = next(one for one in right.series if one.label == "steps")
    assert (steps.x, steps.y) == ([0, 1, 3], [1, 2, None])
    heights = next(one for one in right.series if one.kind == "map").heights
    assert heights == [[1, None], [3, 4]]
    assert left.labels[1] == "work  (k_BT)"


def test_a_drawing_is_the_same_each_time_and_takes_the_colours_of_the_page() -> None:
    once = drawing()
    assert once == drawing()
    assert "var(--blue)" in once.svg
    tags = "".join(re.findall(r"<[^>]*>", once.svg))
    assert not any(colour.light in tags for colour in PALETTE.values())
    assert "#0072b2 1.23456789" in once.svg  # a text stays as it is


def test_no_two_figures_of_a_page_share_a_name() -> None:
    names = [set(re.findall(r' id="([^"]*)"', drawing().numbered(number))) for number in (1, 2)]
    assert names[0]
    assert not names[0] & names[1]
    whole = drawing().numbered(1)
    assert set(re.findall(r'[("]#([^")]+)', whole)) == names[0]
    ElementTree.fromstring(whole.translate({7: None}))


def test_texts_of_figures_are_shown_and_never_run() -> None:
    template = environment().from_string("{{ drawing(one, 1, name) }}|{{ as_json(one.numbers()) }}|{{ name }}")
    shown = template.render(one=drawing(), name=NAME)
    svg, numbers, plain = shown.split("|")
    for text in (svg, numbers, plain):
        assert "</script>" not in text
        assert "<b>" not in text
        assert "\x07" not in text
    assert "\u2407" in svg
    assert json.loads(numbers)[0]["labels"][0].startswith("</script><b>&x #0072b2")


def test_words_cannot_turn_the_direction_of_others() -> None:
    assert environment().from_string("{{ name }}").render(name="a\u202eb\x00") == "a\ufffdb\u2400"


def contrast(one: str, other: str) -> float:
    """WCAG 2.2: (L₁ + 0.05)/(L₂ + 0.05) of relative luminances."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", [name for name in PALETTE if name != "paper" and not name.startswith("shade")])
def test_lines_and_letters_stand_out_from_either_paper(name: str) -> None:
    paper, colour = PALETTE["paper"], PALETTE[name]
    assert contrast(colour.light, paper.light) >= 4.5
    assert contrast(colour.dark, paper.dark) >= 4.5


def test_one_sample_has_a_histogram() -> None:
    one = Samples("model", np.array([1.0]))
    (panel,) = figures.histograms([("x", [one], 0.5)]).panels
    assert panel.series[0].kind == "steps"


def test_a_figure_of_anything_else_is_refused() -> None:
    with pytest.raises(LeastworkError, match="no PNG, no SVG"):
        Image("<svg/>", "A.", "x")
