"""How long a report takes to open in Chromium: `python -m benchmarks.page_opening [PAGE.html …]`.

From the start of navigation to the first paint and to the end of loading, and the processor time of the page's process
until half a second after it, at 1,400 pixels, the median of five after one that warms up. Without a page those of
`make gallery`. Needs playwright (`pip install leastwork[browser]`) and the distribution's Chromium. On cores shared
with others the wall clock also counts waiting; the processor time does not.

Takes a minute.
"""

import shutil
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.command import options
from benchmarks.table import ROOT, markdown

REPEATS, SETTLED = 5, 500  # pages counted; ms

_TIMES = """(() => {
    const opened = performance.getEntriesByType("navigation")[0];
    const painted = performance.getEntriesByName("first-contentful-paint")[0];
    return [painted ? painted.startTime : NaN, opened.loadEventEnd];
})()"""


def opening(browser: Any, page: Path) -> tuple[float, float, float]:
    """First paint, end of loading and processor time of one opening, ms."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    opened = context.new_page()
    session = context.new_cdp_session(opened)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    opened.goto(page.resolve().as_uri())
    opened.wait_for_timeout(SETTLED)
    painted, loaded = opened.evaluate(_TIMES)
    numbers = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    context.close()
    return painted, loaded, 1000 * numbers["ProcessTime"]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("pages", nargs="*", type=Path, help="reports")
    pages = parser.parse_args().pages or sorted((ROOT / "runs" / "gallery").glob("*/report.html"))
    if not pages:
        print("no pages: name some, or make those of the gallery by make gallery")
        return
    from playwright.sync_api import sync_playwright  # pyright: ignore[reportMissingImports]

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    rows = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for page in pages:
            begin = time.perf_counter()
            each = [opening(browser, page) for _ in range(REPEATS + 1)][1:]
            painted, loaded, spent = (f"{statistics.median(one):.0f}" for one in zip(*each, strict=True))
            size = f"{page.stat().st_size / 1e6:.2f}"
            rows.append((page.parent.name, size, painted, loaded, spent, f"{time.perf_counter() - begin:.0f}"))
        browser.close()
    print(markdown(("report", "MB", "first paint/ms", "loaded/ms", "processor time/ms", "s in all"), rows))


if __name__ == "__main__":
    main()
