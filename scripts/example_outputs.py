"""Runs the examples cell by cell, and keeps what each cell shows, which the pages of the documentation then have.

    python scripts/example_outputs.py            # all of them, in minutes
    python scripts/example_outputs.py rare_region

examples/outputs/NAME.json has the output of each cell as markdown, by the hash of its code, docs/images/examples its
figures. A cell that has been changed since shows nothing, and a test says so.
"""

import ast
import contextlib
import hashlib
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[1]
EXAMPLES, PICTURES = ROOT / "examples", ROOT / "docs" / "images" / "examples"
DOTS = 110  # an inch


def cells(script: str) -> list[str]:
    """The code of the cells of a script, without those of text."""
    parts = [part.partition("\n") for part in re.split(r"^# %%", script, flags=re.MULTILINE)[1:]]
    return [body.strip() for kind, _, body in parts if "[markdown]" not in kind]


def key(code: str) -> str:
    """A short hash of a cell's code."""
    return hashlib.sha256(code.encode()).hexdigest()[:12]


def shown(value: Any) -> str:
    """A value as a notebook shows it, as markdown."""
    if value is None or isinstance(value, list):
        return ""
    html = value._repr_html_() if hasattr(value, "_repr_html_") else ""
    if html and "<svg" not in html and "<style" not in html:  # as text where it would bring a style of its own
        return re.sub(r"\n\s*", "", f'<div class="output">{html}</div>')
    return f"```text\n{value!r}\n```"


def output(code: str, names: dict[str, Any], picture: str) -> str:
    """What a cell prints, shows and draws, as markdown."""
    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "cell", "exec"), names)
        value = None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    found = [f"```text\n{printed.getvalue().rstrip()}\n```"] if printed.getvalue().strip() else []
    found += [text] if (text := shown(value)) else []
    for i, number in enumerate(plt.get_fignums()):
        PICTURES.mkdir(parents=True, exist_ok=True)
        name = f"{picture}-{i}.png"
        plt.figure(number).savefig(PICTURES / name, dpi=DOTS, bbox_inches="tight")
        found.append(f"![Figure of the cell](../images/examples/{name})")
    plt.close("all")
    return "\n\n".join(found)


def main() -> None:
    asked = sys.argv[1:] or [path.stem for path in sorted(EXAMPLES.glob("*.py"))]
    for name in asked:
        script = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
        if not script.startswith("# %%"):
            continue
        names: dict[str, Any] = {"__name__": "__main__"}
        kept = {key(code): output(code, names, f"{name}-{i}") for i, code in enumerate(cells(script))}
        folder = EXAMPLES / "outputs"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
