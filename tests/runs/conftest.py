"""What tests share: a finished run, small runs of Path Guidance, also in joint runs, and a reader of pages by rules."""

import base64
import hashlib
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
import torch

import leastwork as lw
from leastwork.networks.perceptron import Perceptron
from leastwork.report.works import WORKS
from leastwork.runs.carry_out import run
from leastwork.runs.load import load_config

PATH_RUN = """\
model: net
guides: {csv: guides.csv}
region: {kind: interval, index: 0, lower: 1.4}
method: loss
fit: {samples: 400, budget: 300000}
sampling: {n: 96, solver: euler, t_grid: log-snr, steps: 8, batch_size: 16}
"""

AVERAGE_RUN = """\
model: net
observables: [{kind: component, name: x}]
data: [{name: x, value: 0.2, error: 0.02}]
method: scheduled
fit: {samples: 300, fit_samples: 64}
sampling: {n: 96, solver: euler, steps: 4, batch_size: 16}
"""


BEGUN = ("fit.samples=300", "fit.fit_samples=64", "sampling.steps=4", "sampling.batch_size=16", "method=scheduled")


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory, without_pages: Callable[[], AbstractContextManager[None]]) -> Path:
    """A finished run of 40 samples with a blank page; whoever changes it takes a copy."""
    out = tmp_path_factory.mktemp("runs") / "small"
    with without_pages():
        run(load_config("prinz", [*BEGUN, "sampling.n=40"]), out)
    return out


class _Tags(HTMLParser):
    void = ("meta", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.seen.append(tag)
        for name, value in attrs:
            self.ids += [value] if name == "id" else []
            self.links += [value] if name == "href" else []
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def text_of() -> Callable[[Path], str]:
    """Reads a report."""
    return _text_of


def _text_of(report: Path) -> str:
    """The page without its pictures and scripts; every tag is closed, every link leads to a place on the page, to a
    file of the run or to a work that is cited, every script is one that the page's policy names, and nothing is from
    elsewhere.
    """
    page = report.read_text(encoding="utf-8")
    policy = re.search(r"script-src ([^;]*);", page)
    assert policy is not None
    for script in re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL):
        assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy[1]
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []
    assert len(set(tags.ids)) == len(tags.ids)
    works = {work.address for work in WORKS.values()}
    links = {link for link in tags.links if not link.startswith("data:")} - works - {f"#{place}" for place in tags.ids}
    assert all((report.parent / unquote(link)).exists() for link in links)
    bare = re.sub(r"<script>.*?</script>|<style>.*?</style>", "", page, flags=re.DOTALL)
    bare = re.sub(r'<script type="application/json"[^>]*>[^<]*</script>', "", bare)
    bare = re.sub(r"<nav.*?</nav>", "", bare, flags=re.DOTALL)
    assert "<script" not in bare
    drawn = r'<svg role="img" (aria-label="[^"]*") class="drawing".*?</svg>'
    pictures = "".join(found[0] for found in re.finditer(drawn, bare, flags=re.DOTALL))
    bare = re.sub(
        r'<meta [^>]*>|src="data:image/(svg\+xml|png);base64,[^"]*"|href="[^"]*"',
        "",
        re.sub(drawn, r"\1", bare, flags=re.DOTALL),
    )
    for work in works:
        bare = bare.replace(work.removeprefix("https://"), "")
    assert not re.search(r"(src|href)=|url\(|https?://", bare)
    assert not re.search(r"""url\((?!#)|href="(?!#|data:image/png)|https?://|<script""", pictures)
    return bare


@pytest.fixture(scope="session")
def path_case() -> Callable[..., Path]:
    """Writes a run file with its guides and a random network, whose law is nearly normal, into a folder."""
    return _path_case


def _path_case(folder: Path, dim: int = 2) -> Path:
    torch.manual_seed(0)
    net = Perceptron(dim, width=8, depth=1)
    model = lw.DiffusionModel(net, lw.VPSchedule(), predicts="v", event_shape=(dim,))
    lw.save_model(model, folder / "net")
    guides = torch.randn(8, dim, generator=torch.Generator().manual_seed(0))
    guides[:, 0] = 1.5 + 0.3 * guides[:, 0].abs()
    rows = [",".join(f"{value:.4f}" for value in row) for row in guides.tolist()]
    (folder / "guides.csv").write_text("\n".join([",".join(f"x_{i}" for i in range(dim)), *rows]) + "\n")
    (folder / "path.yaml").write_text(PATH_RUN)
    return folder / "path.yaml"


@pytest.fixture(scope="session")
def joint_case() -> Callable[[Path], Path]:
    """Writes a joint run's file with its parts, an average and a region of one random network, into a folder."""
    return _joint_case


def _joint_case(folder: Path) -> Path:
    _path_case(folder)
    (folder / "average.yaml").write_text(AVERAGE_RUN)
    (folder / "both.yaml").write_text("runs: {average: average.yaml, rare: path.yaml}\n")
    return folder / "both.yaml"
