"""The plan of the house: each folder imports only from folders above it, and names that cross a folder are public."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src/leastwork"
ORDER = (
    "support", "schedules", "geometry", "observables", "networks", "models", "kernels", "statistics", "guidance",
    "data", "sampling", "fit", "observable_guidance", "path_guidance", "free_energy", "systems", "adapters", "checks",
    "report", "runs/base", "runs/observables", "runs/path", "runs/profile", "runs/difference", "runs/joint",
    "runs/compare", "runs", "cases",
)  # fmt: skip
STRANGERS = (
    {"data", "sampling"}, {"observable_guidance", "path_guidance"}, {"adapters", "checks"}, {"adapters", "systems"},
    {"checks", "systems"}, {"runs/observables", "runs/path"},
)  # fmt: skip
FILES = [file for file in sorted(SRC.rglob("*.py")) if file.parent != SRC]


@dataclass(frozen=True)
class Import:
    """One imported name."""

    file: Path
    module: str
    name: str
    inside: bool
    """Whether it stands in a function."""

    @property
    def there(self) -> str:
        """The folder that it comes from."""
        path = SRC.joinpath(*self.module.split(".")[1:])
        return folder_of(path / "__init__.py" if path.is_dir() else path)

    def __str__(self) -> str:
        return f"{self.file.relative_to(SRC)} imports {self.name} from {self.module}"


def folder_of(path: Path) -> str:
    name = path.relative_to(SRC).parent.as_posix()
    return next(
        (one for one in sorted(ORDER, key=len, reverse=True) if name == one or name.startswith(f"{one}/")), name
    )


def imports_of(file: Path) -> Iterator[Import]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    within = {id(inner) for function in functions for inner in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "leastwork":
            for alias in node.names:
                yield Import(file, node.module or "", alias.name, id(node) in within)


@cache
def imports() -> tuple[Import, ...]:
    """All of them; read where a test asks, for reading takes seconds."""
    found = (one for file in FILES for one in imports_of(file))
    return tuple(one for one in found if one.module not in ("leastwork", "leastwork.errors"))


def test_every_folder_has_its_place() -> None:
    assert {folder_of(file) for file in FILES} == set(ORDER)


@pytest.mark.parametrize("folder", ORDER)
def test_a_folder_imports_only_from_folders_above_it(folder: str) -> None:
    wrong = [one for one in imports() if folder_of(one.file) == folder and ORDER.index(one.there) > ORDER.index(folder)]
    assert not wrong, "\n".join(map(str, wrong))


def test_neighbours_that_do_not_know_each_other() -> None:
    wrong = [one for one in imports() if {folder_of(one.file), one.there} in STRANGERS]
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize(("folder", "known"), [("support", ()), ("report", ("support",))])
def test_ground_knows_only_errors_and_paper_only_the_ground(folder: str, known: tuple[str, ...]) -> None:
    wrong = [one for one in imports() if folder_of(one.file) == folder and one.there not in (folder, *known)]
    assert not wrong, "\n".join(map(str, wrong))


def test_nobody_imports_a_case() -> None:
    wrong = [one for one in imports() if one.there == "cases" != folder_of(one.file)]
    assert not wrong, "\n".join(map(str, wrong))


def test_nothing_is_imported_inside_a_function() -> None:
    wrong = [one for one in imports() if one.inside]
    assert not wrong, "\n".join(map(str, wrong))


def test_names_that_cross_a_folder_are_public() -> None:
    public: dict[str, set[str]] = {}
    for file in FILES:
        module = ".".join(("leastwork", *file.relative_to(SRC).with_suffix("").parts)).removesuffix(".__init__")
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Name)
                and node.targets[0].id == "__all__"
            ):
                public[module] = {str(ast.literal_eval(one)) for one in getattr(node.value, "elts", [])}
    crossing = [one for one in imports() if folder_of(one.file) != one.there]
    modules = {f"{one.module}.{one.name}" for one in crossing} & {
        ".".join(("leastwork", *file.relative_to(SRC).with_suffix("").parts)).removesuffix(".__init__")
        for file in FILES
    }
    wrong = [
        one
        for one in crossing
        if f"{one.module}.{one.name}" not in modules and one.name not in public.get(one.module, set())
    ]
    assert not wrong, "\n".join(map(str, wrong))


def test_paper_knows_no_kind_of_run() -> None:
    templates = {file.name.split(".")[0] for file in (SRC / "report/templates").iterdir()}
    assert templates == {"page", "run", "joint", "several", "part", "sections", "macros"}


def test_only_a_file_that_is_read_is_asked_for_its_kind() -> None:
    asked = re.compile(r"isinstance\([^)]*\b(\w*Config|DataList|ObservableRun|PathRun|ObservableJob|PathJob)\b")
    wrong = [file.name for file in FILES if file.name != "load.py" and asked.search(file.read_text(encoding="utf-8"))]
    assert not wrong


def test_what_is_imported_is_what_is_required() -> None:
    """Extras are imported by their names when they are asked for, so that they are no imports."""
    project = tomllib.loads((SRC.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = {re.split(r"[><=\[]", one)[0].lower() for one in project["dependencies"]}
    imported = set()
    for file in SRC.rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            imported |= {name.split(".")[0] for name in names}
    imported -= {"leastwork", "pydantic_core", *sys.stdlib_module_names}
    assert {"pyyaml" if name == "yaml" else name for name in imported} == required


def test_files_are_short() -> None:
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    assert not {file.name: n for file, n in lengths.items() if n > 400}
    assert sum(n <= 300 for n in lengths.values()) >= 0.92 * len(lengths)
