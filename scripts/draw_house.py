"""Draw the plan of the house from the imports that are there: docs/images/house.png.

Each folder is a bar as long as its code, and stands below all folders that it imports from. From the repository's root:

    python scripts/draw_house.py
"""

import ast
from pathlib import Path

from matplotlib.figure import Figure

SRC = Path("src/leastwork")
TOP = ("runs/base", "runs/observables", "runs/path", "runs/joint", "runs/compare", "runs")


def folder_of(file: Path) -> str:
    name = file.relative_to(SRC).parent.as_posix()
    deep = next((one for one in TOP if name == one or name.startswith(f"{one}/")), None)
    return deep or name.split("/")[0]


def imports(files: list[Path]) -> dict[str, set[str]]:
    """The folders that each folder imports from."""
    found: dict[str, set[str]] = {}
    for file in files:
        here = found.setdefault(folder_of(file), set())
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("leastwork."):
                path = SRC.joinpath(*(node.module or "").split(".")[1:])
                if path.is_dir() or path.with_suffix(".py").parent != SRC:
                    here.add(folder_of(path / "__init__.py" if path.is_dir() else path.with_suffix(".py")))
        here.discard(folder_of(file))
    return found


def level(folder: str, of: dict[str, set[str]], known: dict[str, int]) -> int:
    """The longest way down to a folder that imports nothing."""
    if folder not in known:
        known[folder] = 1 + max((level(one, of, known) for one in of[folder]), default=-1)
    return known[folder]


def main() -> None:
    files = [file for file in sorted(SRC.rglob("*.py")) if file.parent != SRC]
    of = imports(files)
    known: dict[str, int] = {}
    levels = {folder: level(folder, of, known) for folder in of}
    lines = dict.fromkeys(of, 0)
    for file in files:
        lines[folder_of(file)] += len(file.read_text(encoding="utf-8").splitlines())
    figure = Figure(figsize=(7.2, 5.6), layout="constrained")
    axes = figure.subplots()
    rows = sorted(of, key=lambda one: (levels[one], one))
    for row, folder in enumerate(rows):
        axes.barh(row, lines[folder], color="#4477aa", alpha=0.35 + 0.05 * (levels[folder] % 2), height=0.8)
        label = f"{folder}   {', '.join(sorted(of[folder], key=lambda one: (levels[one], one)))[:110]}"
        axes.text(20, row, label, va="center", fontsize=5.8)
    axes.set_yticks(range(len(rows)), [str(levels[one]) for one in rows], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("lines; beside each folder, those that it imports from")
    axes.set_ylabel("level: each folder knows only folders of lower ones")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig("docs/images/house.png", dpi=200)


if __name__ == "__main__":
    main()
