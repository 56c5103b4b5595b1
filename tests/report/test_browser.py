"""Pages in a real browser: nothing is asked of the network, nothing is cut, structures turn, and all can be read.

A Chromium of the system is driven by playwright; where either is missing the tests are skipped, and say so.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leastwork.report import figures
from leastwork.report.blocks import Check, Fact, Image, Mark, Part, Section, Table
from leastwork.report.chains import point_map, traces
from leastwork.report.figures import Samples
from leastwork.report.render import Numbering, environment, render_page
from leastwork.report.structures import Shade, Structures, StructureSet

pytestmark = pytest.mark.slow

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS, SCHEMES = (360, 800, 1400), ("light", "dark")
NAME = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\x07\u202e"
HEAVY, LIGHT = 2_000_000, 600_000  # bytes


def part(structures: bool) -> Part:
    """All blocks that there are, with names that try to be markup."""
    random = np.random.default_rng(0)
    samples = Samples("model", random.normal(size=500)), Samples("guided", random.normal(size=500))
    x = np.cumsum(random.normal(scale=0.2, size=(40, 10, 3)), axis=1)
    values = x[:, -1, 0], x[:, -1, 1]
    turned = Structures(
        [StructureSet("guided", x, 1_000_000), StructureSet("model", x[::-1], 40)],
        x[0],
        traces([("guided", x), ("model", x[::-1])], x[0]),
        f"Chains of {NAME}.",
        "Chains",
        [Shade("committor", [values[0], values[0][::-1]])],
        point_map([("guided", *values), ("model", values[0][::-1], values[1][::-1])], ("Q", NAME)),
    )
    rows = [[(Mark(f"{NAME} {i}", "name"),), f"{i * 37 % 101} ± 1"] for i in range(120)]
    images = [Image(figures.histograms([(NAME, samples, 0.0)] * 4), f"A {NAME}.", NAME)] * 5
    return Part(
        "Toy", f"It went {NAME}.", [Fact(NAME, "2", "k_BT")], [f"Beware of {NAME}."],
        [Section(NAME, [[Mark(NAME, "name")]], images, [Table(NAME, ["name", "value"], rows)],
                 [turned] if structures else [])],
        f"So it was {NAME}.", [(NAME, NAME)], [NAME], ["Yes."], ["All."],
        [Check(state, state, NAME, NAME) for state in ("good", "doubtful", "bad", "unknown")], ["second-law"],
    )  # fmt: skip


def page_of(structures: bool) -> str:
    number, shown = Numbering(), part(structures)
    number.cite(shown.cited)
    body = environment().get_template("part.html.j2").render(part=shown, number=number, level=2, files=[])
    config = {"name": NAME, "description": NAME, "source": {"label": NAME}}
    return render_page(
        "run.html.j2", number, title=NAME, config=config, metrics={"seed": 0}, kind="Toy", body=body
    )  # fmt: skip


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages to look at: one with structures, one without; and those of LEASTWORK_PAGES, if it names any."""
    place = tmp_path_factory.mktemp("pages")
    found = {}
    for name in ("structures", "plain"):
        found[name] = place / f"{name}.html"
        found[name].write_text(page_of(name == "structures"), encoding="utf-8")
    more = [Path(one).resolve() for one in os.environ.get("LEASTWORK_PAGES", "").split(os.pathsep) if one]
    return found | {str(one): one for one in more}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    driver = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install leastwork[browser]"
    )
    if BROWSER is None:
        pytest.skip("there is no Chromium: install the distribution's chromium")
    software = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
    with driver.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=BROWSER, args=software)
        yield opened
        opened.close()


class Opened:
    """A page, with all that it complained of and all that it asked for."""

    def __init__(self, browser: Any, file: Path, width: int = 1400, scheme: str = "light", **choices: Any) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **choices)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda one: self.said.append(one.text) if one.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda one: self.said.append(str(one)))
        self.page.on("dialog", lambda one: self.said.append(f"dialog {one.message}") or one.dismiss())
        self.page.on("request", lambda one: self.asked.append(one.url))
        self.page.goto(file.as_uri())

    def __enter__(self) -> Any:
        return self.page

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def from_elsewhere(self, file: Path) -> list[str]:
        return [url for url in self.asked if url != file.as_uri() and not url.startswith(("data:", "blob:"))]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_pages_are_silent_alone_and_whole(browser: Any, pages: dict[str, Path], width: int, scheme: str) -> None:
    for name, file in pages.items():
        opened = Opened(browser, file, width, scheme)
        with opened as page:
            for figure in page.query_selector_all("figure.structures"):
                figure.scroll_into_view_if_needed()
                page.wait_for_selector("figure.structures[data-drawn]")
            page.wait_for_timeout(300)
            assert opened.said == [], name
            assert opened.from_elsewhere(file) == [], name
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
            dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != "rgb(255, 255, 255)"
            assert dark == (scheme == "dark")


def test_pages_are_light(pages: dict[str, Path]) -> None:
    for name, file in pages.items():
        text = file.read_text(encoding="utf-8")
        assert len(text.encode()) <= (HEAVY if "$3Dmol" in text else LIGHT), name


def test_names_are_text_everywhere(browser: Any, pages: dict[str, Path]) -> None:
    with Opened(browser, pages["structures"]) as page:
        assert page.title().startswith("</script><script>alert(1)</script>")
        assert page.locator("img[src='x']").count() == 0
        seen = page.evaluate("document.body.innerText")
    assert seen.count("<script>alert(1)</script>") > 50
    assert "\u202e" not in seen
    assert "\u2407" in seen


def colours(picture: bytes) -> int:
    """Number of different colours of a PNG."""
    import io

    from matplotlib.image import imread

    return len(np.unique((255 * imread(io.BytesIO(picture))[..., :3]).astype(np.uint8).reshape(-1, 3), axis=0))


def test_structures_are_drawn_and_a_click_on_the_map_shows_another(browser: Any, pages: dict[str, Path]) -> None:
    opened = Opened(browser, pages["structures"])
    with opened as page:
        figure = page.locator("figure.structures")
        figure.scroll_into_view_if_needed()
        page.wait_for_selector("figure.structures[data-drawn]")
        page.wait_for_timeout(1000)
        scene = figure.locator(".scene").first
        before = scene.screenshot()
        assert colours(before) > 50
        assert not figure.locator(".picture").is_visible()
        place = "([label, i]) => { const map = document.querySelector('.map'), svg = map.querySelector('svg'), p = map.locate(label, i), q = new DOMPoint(p.x, p.y).matrixTransform(svg.getScreenCTM()); return [q.x, q.y]; }"  # noqa: E501
        figure.locator(".map svg").scroll_into_view_if_needed()
        page.mouse.click(*page.evaluate(place, ["guided", 7]))
        page.wait_for_timeout(1000)
        assert figure.get_attribute("data-chosen") == "guided 8"
        assert "structure 8 of 40" in figure.locator(".said").first.inner_text()
        after = scene.screenshot()
        assert after != before
        figure.get_by_role("button", name="Next structure").click()
        assert figure.get_attribute("data-chosen") == "guided 9"
        figure.locator("select").select_option(label="colour: committor")
        assert "to orange" in figure.locator(".tools").first.inner_text()
        page.wait_for_timeout(500)
        assert opened.said == []


def test_without_webgl_or_scripts_there_is_a_picture(browser: Any, pages: dict[str, Path]) -> None:
    with Opened(browser, pages["structures"], java_script_enabled=False) as page:
        assert page.locator(".picture svg").is_visible()
        assert page.locator(".tools").count() == 0
    none = "HTMLCanvasElement.prototype.getContext = () => null"
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script(none)
    said: list[str] = []
    page.on("pageerror", lambda one: said.append(str(one)))
    page.goto(pages["structures"].as_uri())
    assert page.locator(".picture svg").is_visible()
    assert said == []
    context.close()


def test_figures_tell_their_numbers_and_zoom(browser: Any, pages: dict[str, Path]) -> None:
    with Opened(browser, pages["plain"], accept_downloads=True) as page:
        figure = page.locator("figure.plot").first
        figure.locator("svg.drawing").scroll_into_view_if_needed()
        box = figure.locator("svg.drawing").bounding_box()
        page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.3 * box["height"])
        tip = figure.locator(".tip")
        assert re.search(r"model: [\d.]+\nguided: [\d.]+", tip.inner_text())
        whole = figure.locator("svg.drawing").get_attribute("viewBox")
        page.mouse.down()
        page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.6 * box["height"])
        page.mouse.up()
        left, _, width, _ = map(float, figure.locator("svg.drawing").get_attribute("viewBox").split())
        assert width < 0.5 * float(whole.split()[2])
        numbers = [float(one.replace("−", "-")) for one in figure.locator(".ticks text").all_text_contents()]
        assert len(numbers) >= 4
        middle = figure.locator(".ticks text[text-anchor=middle]")
        places = middle.evaluate_all("all => all.map(one => Number(one.getAttribute('x')))")
        assert places == sorted(places)
        assert left <= places[0] < places[-1] <= left + width
        figure.get_by_role("button", name="Whole figure").click()
        assert figure.locator("svg.drawing").get_attribute("viewBox") == whole
        assert figure.locator(".ticks text").count() == 0
        figure.locator(".wide").focus()
        page.keyboard.press("ArrowRight")
        assert "model: " in tip.inner_text()
        with page.expect_download() as saved:
            figure.get_by_role("button", name="Numbers (CSV)").click()
        lines = Path(saved.value.path()).read_text().splitlines()
        assert lines[0] == "panel,series,x,y,standard error,axes"
        assert len(lines) > 100
        with page.expect_download() as saved:
            figure.get_by_role("button", name="Picture (SVG)").click()
        assert "var(--" not in Path(saved.value.path()).read_text()


def test_tables_sort_and_come_in_pages_and_figures_are_leafed_through(browser: Any, pages: dict[str, Path]) -> None:
    with Opened(browser, pages["plain"], accept_downloads=True) as page:
        table = page.locator("table.data").first
        assert table.locator("tbody tr:visible").count() == 50
        table.get_by_role("button", name="value").click()
        first = table.locator("tbody tr:visible td.n").all_inner_texts()
        assert first[:3] == ["0\u00a0±\u00a01", "0\u00a0±\u00a01", "1\u00a0±\u00a01"]
        with page.expect_download() as saved:
            page.get_by_role("button", name="Save as CSV").first.click()
        assert len(Path(saved.value.path()).read_text().splitlines()) == 121
        assert page.locator(".pages > figure:visible").count() == 1
        page.locator(".pages > .tools").get_by_role("button", name="On").click()
        assert page.locator(".pages > figure:visible b").inner_text() == "Figure 2."


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_accessibility_check_finds_nothing_serious(browser: Any, pages: dict[str, Path], scheme: str) -> None:
    axe = os.environ.get("LEASTWORK_AXE")
    if axe is None:
        pytest.skip("LEASTWORK_AXE does not name axe.min.js: npm pack axe-core, unpack it and name it")
    for name, file in pages.items():
        with Opened(browser, file, 800, scheme, bypass_csp=True) as page:
            page.evaluate(Path(axe).read_text())
            found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
            serious = [
                (one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")
            ]
            assert serious == [], name
