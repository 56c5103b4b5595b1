"""What tests share: small runs of Path Guidance, and a reader that holds a report to what every page must be."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

import leastwork as lw
from leastwork.models.networks import Perceptron

PATH_RUN = """\
model: net
guides: {csv: guides.csv}
region: {kind: interval, index: 0, lower: 1.4}
method: loss
fit: {samples: 500}
sampling: {n: 96, steps: 8, batch_size: 16}
"""


class _Tags(HTMLParser):
    void = ("meta", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.seen.append(tag)
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def text_of() -> Callable[[Path], str]:
    """Reads a report."""
    return _text_of


def _text_of(report: Path) -> str:
    """The page without its images, every tag closed, no script and nothing from elsewhere."""
    page = report.read_text(encoding="utf-8")
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []
    assert "script" not in tags.seen
    bare = re.sub(r'src="data:image/svg\+xml;base64,[^"]*"', "", page)
    assert not re.search(r"(src|href)=|url\(|https?://", bare)
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
