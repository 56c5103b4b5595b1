"""Every benchmark in turn, each in a process of its own: `python -m benchmarks.all` (`make bench`).

    python -m benchmarks.all --only chignolin maxent       # those that have one of these in their names
    python -m benchmarks.all --but chignolin               # all others

Prints the tables of each and, at the end, how long each took. A benchmark is a file of this folder with a function
`main`; what its table means is said in its head, and by its `--help`.

Takes several hours on two cores.
"""

import ast
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.command import options
from benchmarks.table import ROOT, markdown

__all__ = ["benchmarks", "chosen", "in_turn"]


def benchmarks(folder: Path = Path(__file__).parent) -> list[str]:
    """Names of all benchmarks of a folder but ``all``."""
    return [file.stem for file in sorted(folder.glob("*.py")) if file.stem != "all" and _has_main(file)]


def in_turn(commands: Iterable[Sequence[str]]) -> int:
    """Run commands in turn and print how long each took; 0 if all of them ran.

    Args:
        commands: of each, the module and its options.
    """
    rows: list[tuple[str, ...]] = []
    for command in commands:
        print(f"== {' '.join(command)} ==", flush=True)
        begin, before = time.perf_counter(), _cpu_of_children()
        code = subprocess.run([sys.executable, "-m", *command], check=False, cwd=ROOT).returncode
        rows.append((" ".join(command), f"{time.perf_counter() - begin:.0f}", f"{_cpu_of_children() - before:.0f}",
                     str(code)))  # fmt: skip
        print(f"== {rows[-1][1]} s, {rows[-1][2]} CPU s ==\n", flush=True)
    print(markdown(("benchmark", "s", "CPU s", "exit"), rows))
    return int(any(row[-1] != "0" for row in rows))


def chosen(names: Iterable[str], only: Sequence[str], but: Sequence[str]) -> list[str]:
    """Names that have one of the parts of ``only`` and none of those of ``but``."""
    return [name for name in names if any(part in name for part in only) and not any(part in name for part in but)]


def _cpu_of_children() -> float:
    """CPU seconds of processes that have ended; zero on Windows."""
    times = os.times()
    return times.children_user + times.children_system


def _has_main(file: Path) -> bool:
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in body)


def main() -> int:
    """0 if all of them ran."""
    parser = options(__doc__)
    parser.add_argument("--only", nargs="+", default=[""], metavar="PART", help="parts of names")
    parser.add_argument("--but", nargs="+", default=[], metavar="PART", help="likewise, to leave out")
    given = parser.parse_args()
    return in_turn([f"benchmarks.{name}"] for name in chosen(benchmarks(), given.only, given.but))


if __name__ == "__main__":
    sys.exit(main())
