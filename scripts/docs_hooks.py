"""What is made when the documentation is built: pages of the examples, and doctests as code.

An example is a script of cells that begin with `# %%`, and becomes a page as a notebook is, with what its cells showed
when `python scripts/example_outputs.py` ran them. A doctest in a docstring
would be read as a quotation within a quotation, and becomes a block of code.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor
from mkdocs.structure.files import File, Files

EXAMPLES = Path(__file__).parents[1] / "examples"


def outputs_of(path: Path) -> Mapping[str, str]:
    """What the cells of an example showed, as markdown, by the hash of their code; none if they were never run."""
    kept = path.parent / "outputs" / f"{path.stem}.json"
    return json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}


def page_of(script: str, name: str, outputs: Mapping[str, str]) -> str:
    """A script of cells as a page: text of the markdown cells, and the code of the others with what it showed."""
    first, *cells = re.split(r"^# %%", script, flags=re.MULTILINE)
    assert not first.strip()
    parts = []
    for cell in cells:
        kind, _, body = cell.partition("\n")
        if "[markdown]" in kind:
            parts.append("\n".join(line.removeprefix("#").removeprefix(" ") for line in body.strip().splitlines()))
        else:
            code = body.strip()
            shown = outputs.get(hashlib.sha256(code.encode()).hexdigest()[:12], "")
            parts += [f"```python\n{code}\n```", *([shown] if shown else [])]
    title, *rest = parts
    heading, _, text = title.partition("\n")
    note = (
        f"*This page is the script `examples/{name}` of the repository. Jupyter (with jupytext), VS Code and PyCharm "
        "open it as a notebook, and the tests run it from the first cell to the last.*"
    )
    return "\n\n".join([heading, note, text.strip(), *rest]) + "\n"


def on_files(files: Files, config: Any) -> Files:
    """Adds a page for each example."""
    for path in sorted(EXAMPLES.glob("*.py")):
        script = path.read_text(encoding="utf-8")
        if script.startswith("# %%"):
            page = page_of(script, path.name, outputs_of(path))
            files.append(File.generated(config, f"examples/{path.stem}.md", content=page))
    return files


class _Doctests(Preprocessor):
    """Puts lines from `>>>` to the next empty one between fences."""

    def run(self, lines: list[str]) -> list[str]:
        found: list[str] = []
        inside = False
        for line in lines:
            begins = not inside and line.startswith(">>>")
            ends = inside and not line.strip()
            found += ["", "```pycon"] * begins + ["```"] * ends + [line]
            inside = (inside or begins) and not ends
        return found + ["```"] * inside


class Doctests(Extension):
    """Doctests as code, before fences are looked for."""

    def extendMarkdown(self, md: Markdown) -> None:
        md.preprocessors.register(_Doctests(md), "doctests", 100)


def on_config(config: Any) -> Any:
    """Adds the extension for doctests."""
    config["markdown_extensions"].append(Doctests())
    return config
