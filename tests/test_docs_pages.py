"""The pages of the documentation run as they stand, and the messages on the page of failures are those of the product.

A page is read from top to bottom: a block ``python`` is executed, a block with a title is written to that file, a block
``sh`` is run line by line, and a block ``text`` below a block ``python`` is the message with which that one ends.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import matplotlib
import pytest
import yaml
from matplotlib import pyplot as plt

import leastwork as lw
from leastwork.fit.methods import settings_of
from leastwork.observable_guidance.methods import METHODS
from leastwork.path_guidance.methods import PATH_METHODS

matplotlib.use("Agg")
ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@dataclass(frozen=True)
class Block:
    """A block of code: its language, the file that it is written to, and its text."""

    language: str
    title: str
    text: str


def blocks(page: str) -> list[Block]:
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.findall(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```', text, flags=re.DOTALL | re.MULTILINE)
    return [Block(*one) for one in found]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pages write is not left in the project."""
    monkeypatch.chdir(tmp_path)


def without_numbers(message: str) -> str:
    return re.sub(r"-?\d+(\.\d+)?(e-?\d+)?", "#", " ".join(message.split()))


@pytest.mark.slow
def test_every_message_on_the_page_of_failures_is_what_the_product_says() -> None:
    first, *rest = blocks("failures.md")
    names: dict[str, Any] = {}
    exec(first.text, names)
    for code, message in zip(rest[::2], rest[1::2], strict=True):
        assert (code.language, message.language) == ("python", "text")
        with pytest.raises((lw.LeastworkError, lw.LeastworkWarning)) as refused:
            exec(code.text, names)  # the tests turn warnings into errors
        told = f"{refused.type.__name__}: {refused.value}"
        assert without_numbers(told) == without_numbers(message.text)


@pytest.mark.parametrize(
    "page",
    [
        "data-forms.md", "posteriors.md", "schedules.md", "devices.md", "notebooks.md",
        pytest.param("api-by-task.md", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_the_python_of_a_page_runs(page: str) -> None:
    names: dict[str, Any] = {}
    for block in blocks(page):
        if block.language == "python":
            exec(compile(block.text, page, "exec"), names)
    plt.close("all")


def test_the_api_by_task_has_every_public_name_and_no_other_in_few_lines() -> None:
    page = (DOCS / "api-by-task.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\blw\.(\w+)", page))
    assert all(hasattr(lw, name) for name in named)
    assert set(lw.__all__) <= named
    assert all(block.text.count("\n") <= 10 for block in blocks("api-by-task.md"))


def test_every_setting_of_a_fit_is_on_its_page_with_its_default() -> None:
    page = (DOCS / "fit-keys.md").read_text(encoding="utf-8")
    for registry in (METHODS, PATH_METHODS):
        for name in registry.names():
            section = re.search(rf"^### `{name}`.*?(?=^##|\Z)", page, flags=re.DOTALL | re.MULTILINE)
            assert section or name in page, name
        for method in (registry[name] for name in registry.names()):
            for one in fields(method):
                if one.name in settings_of(method):
                    assert f"`{one.name}`" in page, one.name


def pages_in(tree: Any) -> list[str]:
    if isinstance(tree, str):
        return [tree]
    items = tree.values() if isinstance(tree, dict) else tree
    return [page for item in items for page in pages_in(item)]


def test_every_page_is_in_the_contents_and_links_lead_somewhere() -> None:
    text = re.sub(r"!!\S+", "", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = set(pages_in(yaml.safe_load(text)["nav"]))
    made = {f"examples/{path.stem}.md" for path in (ROOT / "examples").glob("*.py")}
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} - {"assets/README.md"}
    assert there <= listed <= there | made
    for page in there:
        for link in re.findall(r"\]\(([^)#:\s]+)(?=[)#])", (DOCS / page).read_text(encoding="utf-8")):
            target = (DOCS / page).parent / link
            generated = (
                target.resolve().relative_to(DOCS.resolve()).as_posix() in made if link.endswith(".md") else False
            )
            assert generated or target.exists(), f"{page}: {link}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", ["measured-number.md", "transition-states.md", "couplings-on-a-cluster.md", "images.md"]
)
def test_a_tutorial_leads_from_an_empty_folder_to_a_report(page: str, tmp_path: Path) -> None:
    """From the page alone, in a folder with nothing in it."""
    command = f"{sys.executable} -m leastwork.cli"
    for block in blocks(f"tutorials/{page}"):
        if block.title:
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            subprocess.run([sys.executable, "-c", block.text], check=True, cwd=tmp_path)
        elif block.language == "sh":
            for line in block.text.splitlines():
                subprocess.run(re.sub(r"^leastwork\b", command, line), shell=True, check=True, cwd=tmp_path)
    assert list(tmp_path.glob("**/report.html"))


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning_and_asks_no_other_server(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("material")
    made = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    subprocess.run(made, check=True, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    for page in (tmp_path / "site").rglob("*.html"):
        loaded = r'<(?:script|img|iframe)[^>]*\ssrc="(?:https?:)?//|<link[^>]*rel="stylesheet"[^>]*href="(?:https?:)?//'
        assert not re.search(loaded, page.read_text(encoding="utf-8")), page
