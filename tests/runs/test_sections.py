"""Sections of a system: in the page of a part, in that of a joint run, and nowhere else."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from leastwork.errors import LeastworkError
from leastwork.report import figures
from leastwork.report.blocks import Image, Section, Table
from leastwork.runs.base import cases as sections
from leastwork.runs.base.cases import Case, register_case
from leastwork.runs.base.finished import Finished, FinishedJoint
from leastwork.runs.carry_out import run
from leastwork.runs.load import load_config
from leastwork.runs.page import write_report
from leastwork.runs.read import read_joint

Reader = Callable[[Path], str]
PIXEL = b"\x89PNG\r\n\x1a\n" + b"0" * 8
SMALL = [
    "method=loss",
    "fit.samples=300",
    "fit.budget=200000",
    "sampling.n=64",
    "sampling.steps=6",
    "region={kind: interval, lower: -0.5, upper: 0.5}",
]


@pytest.fixture(autouse=True)
def _no_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test registers its own."""
    monkeypatch.setattr(sections, "_REGISTERED", {})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, without_pages: Callable[[], AbstractContextManager[None]]) -> Path:
    """A finished joint run of one system."""
    case = tmp_path_factory.mktemp("case")
    (case / "twice.yaml").write_text("runs: {first: moons, second: moons}\n")
    with without_pages():
        run(load_config(case / "twice.yaml", [*SMALL, "second.seed=1"]), case / "out")
    return case / "out"


def picture() -> str:
    def draw(figure: Figure) -> None:
        figure.subplots().plot([0, 1], [1, 0])

    return figures.image(draw, 2, 1)


def toy(run: Finished) -> list[Section]:
    work = run.metrics["certificate"]["work"]["value"]
    table = Table("Of <it>.", ["name", "of", "value"], [["a&b", "c", f"{work:.3f}"]], text_columns=2)
    images = [Image(picture(), "A line, in k_BT.", "a line"), Image(PIXEL, "A pixel.", 'a "pixel"')]
    return [Section("A <toy>", [f"seed {run.config.seed} & {len(run.ensemble.x)} samples"], images, [table])]


def whole(run: FinishedJoint) -> list[Section]:
    seeds = [one.config.seed for one in run.parts.values()]
    return [Section("All of it", [f"{' and '.join(run.parts)} with {seeds}"], [Image(b"<svg/>", "Both.", "both")])]


def test_a_part_has_its_systems_sections(folder: Path, text_of: Reader) -> None:
    plain = text_of(write_report(folder / "first"))
    register_case("moons", Case(part=toy, joint=whole))
    report = write_report(folder / "first")
    text = text_of(report)
    assert "A &lt;toy&gt;" in text
    assert "A &lt;toy&gt;" not in plain
    assert "seed 0 &amp; 64 samples" in text
    assert "All of it" not in text
    assert "A line, in\xa0<i>k</i><sub>B</sub><i>T</i>." in text
    assert 'alt="a &#34;pixel&#34;"' in text
    assert report.read_text().count('src="data:image/png;base64,') == 1
    assert re.search(r'<td>\s*a&amp;b\s*</td><td>\s*c\s*</td><td class="n">', text)
    for kind in ("Figure", "Table"):
        numbers = [int(n) for n in re.findall(rf"<b>{kind} (\d+)\.</b>", text)]
        assert numbers == list(range(1, len(numbers) + 1))
    assert text.index("A &lt;toy&gt;") < text.index("For a methods section")


def test_a_joint_run_has_those_of_the_whole_and_of_each_part(folder: Path, text_of: Reader) -> None:
    register_case("moons", Case(part=toy, joint=whole))
    report = write_report(folder)
    text = text_of(report)
    assert "first and second with [0, 1]" in text
    assert text.index("All of it") < text.index("A &lt;toy&gt;")
    assert [text.count(words) for words in ("A &lt;toy&gt;", "seed 0 &amp;", "seed 1 &amp;")] == [2, 1, 1]
    assert "<h2>All of it</h2>" in text
    assert "<h3>A &lt;toy&gt;</h3>" in text
    first = report.read_text().index('src="data:image')
    assert report.read_text()[first:].startswith('src="data:image/svg+xml;base64,PHN2Zy8+')
    assert first < report.read_text().index('class="drawing"')  # Figure 1 is that of the whole
    numbers = [int(n) for n in re.findall(r"<b>Figure (\d+)\.</b>", text)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_other_systems_have_none(folder: Path, text_of: Reader) -> None:
    register_case("muller-brown", Case(part=toy, joint=whole))
    text = text_of(write_report(folder))
    assert "toy" not in text
    assert "All of it" not in text


def test_parts_of_several_systems_have_no_whole(folder: Path, tmp_path: Path) -> None:
    register_case("moons", Case(joint=whole))
    one = read_joint(folder)
    assert one is not None
    assert [section.title for section in sections.joint_sections(one)] == ["All of it"]
    runs = dict(one.config.parts)
    runs["first"] = runs["first"].model_copy(update={"system": None})
    assert sections.joint_sections(replace(one, config=replace(one.config, parts=runs))) == ()


def test_what_a_page_cannot_hold_is_refused() -> None:
    for data in (b"GIF89a", "https://example.org/a.png", ""):
        with pytest.raises(LeastworkError, match="figure 'x' is no PNG, no SVG and no data URI"):
            Image(data, "A.", "x")
    with pytest.raises(LeastworkError, match="row 2 of a table has 1 cells for 2 columns"):
        Table("A.", ["a", "b"], [["1", "2"], ["1"]])
