"""The gallery of reports: runs the bundled cases, opens their pages in Chromium, and writes docs/gallery.md.

    python scripts/gallery.py --runs runs/gallery

Runs that are finished there are taken as they are, others are made, with the settings below: an hour on two cores.
Pages are seen at three widths, by day and by night, and each picture is a WebP file in docs/images/gallery.
"""

import argparse
import io
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "images" / "gallery"
WIDTHS, HEIGHT, SCHEMES = (1400, 800, 360), 900, ("light", "dark")
SHRUNK, GAP, QUALITY = 0.5, 24, 62  # of the pixels of a screen; pixels between screens; of WebP
SOFTWARE = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")


@dataclass(frozen=True)
class Shown:
    """A report of the gallery.

    Args:
        name: of its folder and its pictures.
        title: the question that the run answers.
        source: a bundled run, or the text of a run file.
        figure: selector of the figure that is shown large.
        settings: other than those of the run, to be told.
    """

    name: str
    title: str
    source: str
    figure: str
    settings: tuple[str, ...] = ()


PROFILE = """\
description: The free energy of the Müller-Brown model along x
model: muller-brown
profile: {coordinate: {kind: component, index: 0, name: x}, lower: -1.5, upper: 1.2}
fit: {samples: 2000, window_samples: 300, window_noised: 4000, ceiling: 8.0}
sampling: {n: 1000, steps: 40}
"""
DIFFERENCE = """\
description: The two deep minima of the Müller-Brown model
model: muller-brown
difference:
  a: {kind: ball, centre: [-0.558, 1.442], radius: 0.4}
  b: {kind: ball, centre: [0.623, 0.028], radius: 0.4}
fit: {samples: 2000, state_samples: 600, state_noised: 8000, polish_rounds: 1}
sampling: {n: 1000, steps: 40}
"""

GALLERY = (
    Shown("prinz", "A measured average", "prinz", "figure.plot"),
    Shown("muller-brown", "A rare region in the plane", "muller-brown", "figure.plot"),
    Shown("chignolin", "A protein: its stability, and its transition states", "chignolin", "figure.structures"),
    Shown("ala5", "Measured couplings", "ala5", "#figure-5"),
    Shown("profile", "A free-energy profile", PROFILE, "figure.plot"),
    Shown("difference", "The free energies of two states", DIFFERENCE, "figure.plot"),
)


OPENING = """\
# A gallery of reports

Reports of runs that come with the package, as [their page](reports.md) explains them: first screens at 1,400, 800 and
360 pixels, in the light and the dark scheme, and a figure. Profile and difference have few samples, so that some of
their lights are yellow. `make gallery` makes the runs, opens their pages in the system's Chromium and writes this page.

"""


def finished(one: Shown, runs: Path) -> Path:
    """The folder of a run, which is made if it is not there."""
    folder = runs / one.name
    if not (folder / "report.html").exists():
        source = one.source
        if "\n" in source:
            file = runs / f"{one.name}.yaml"
            file.write_text(source, encoding="utf-8")
            source = str(file)
        words = [word for setting in one.settings for word in ("--set", setting)]
        command = [sys.executable, "-m", "leastwork.cli", "run", source, "--out", str(folder), "--resume", *words]
        subprocess.run(command, check=True)
    subprocess.run([sys.executable, "-m", "leastwork.cli", "report", str(folder)], check=True)
    return folder


@contextmanager
def chromium() -> Iterator[Any]:
    """The Chromium of the system, driven by playwright."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert found, "there is no Chromium: install the distribution's chromium"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=found, args=list(SOFTWARE))
        yield browser
        browser.close()


def opened(browser: Any, page: Path, width: int, scheme: str) -> Any:
    """A page in a window; what it complains of stops the gallery."""
    made = browser.new_page(viewport={"width": width, "height": HEIGHT}, color_scheme=scheme)
    made.on("console", lambda one: sys.exit(f"{page}: {one.text}") if one.type == "error" else None)
    made.on("pageerror", lambda one: sys.exit(f"{page}: {one}"))
    made.goto(page.resolve().as_uri())
    return made


def screens(browser: Any, page: Path, scheme: str) -> Image.Image:
    """The first screens at all widths, side by side."""
    found = []
    for width in WIDTHS:
        made = opened(browser, page, width, scheme)
        wide = made.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{page} is {wide} pixels wide on a screen of {width}"
        found.append(Image.open(io.BytesIO(made.screenshot())))
        made.close()
    whole = Image.new("RGB", (sum(WIDTHS) + GAP * (len(WIDTHS) - 1), HEIGHT), "#8a8f98")
    left = 0
    for one in found:
        whole.paste(one, (left, 0))
        left += one.width + GAP
    return whole.resize((round(whole.width * SHRUNK), round(whole.height * SHRUNK)), Image.Resampling.LANCZOS)


def figure(browser: Any, page: Path, selector: str, scheme: str) -> Image.Image:
    """A figure of a page, whose structures are drawn, one of them chosen."""
    made = opened(browser, page, 1000, scheme)
    shown = made.locator(selector).first
    shown.scroll_into_view_if_needed()
    if "structures" in selector:
        made.wait_for_selector("figure.structures[data-drawn]")
        made.wait_for_timeout(1500)
        shown.get_by_role("button", name="Next structure").click()
        made.wait_for_timeout(1500)
    picture = Image.open(io.BytesIO(shown.screenshot())).convert("RGB")
    made.close()
    return picture


def save(picture: Image.Image, name: str) -> str:
    """Write a picture, and return its address from the page of the gallery."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    picture.save(PICTURES / f"{name}.webp", quality=QUALITY, method=6)
    return f"images/gallery/{name}.webp"


def section(browser: Any, one: Shown, folder: Path) -> str:
    """The pictures of a report, and the words beside them."""
    page = folder / "report.html"
    lines = [f"## {one.title}"]
    if "\n" in one.source:
        lines += ["```yaml", one.source.strip(), "```"]
    else:
        lines += [f"    leastwork run {one.source}"]
    for scheme in SCHEMES:
        address = save(screens(browser, page, scheme), f"{one.name}-{scheme}")
        widths = ", ".join(f"{width:,}" for width in WIDTHS)
        told = f"First screen of {one.title.lower()}, {scheme}, {widths} pixels wide"
        lines += ["", f"[![{told}]({address})]({address})"]
    dark = one.name == "chignolin"
    address = save(figure(browser, page, one.figure, "dark" if dark else "light"), f"{one.name}-figure")
    lines += ["", f"![A figure of {one.title.lower()}]({address})"]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "gallery", help="folder of the runs")
    runs = parser.parse_args().runs
    runs.mkdir(parents=True, exist_ok=True)
    folders = [finished(one, runs) for one in GALLERY]
    with chromium() as browser:
        parts = [section(browser, one, folder) for one, folder in zip(GALLERY, folders, strict=True)]
    (ROOT / "docs" / "gallery.md").write_text(OPENING + "\n\n".join(parts) + "\n", encoding="utf-8")
    weight = sum(one.stat().st_size for one in PICTURES.glob("*.webp"))
    print(f"docs/gallery.md, its pictures {weight / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
