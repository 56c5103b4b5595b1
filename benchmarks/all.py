"""Every benchmark in turn, each in a process of its own: `python -m benchmarks.all` (`make bench`).

    python -m benchmarks.all --only chignolin maxent       # those that have one of these in their names
    python -m benchmarks.all --but chignolin               # all others

Prints the tables of each and, at the end, how long each took. A benchmark is a file of this folder with a function
`main`; what its table means is said in its head, and by its `--help`.

Takes several hours on two cores.
"""

import ast
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.command import options
from benchmarks.table import ROOT, markdown

__all__ = ["benchmarks", "in_turn"]


def benchmarks(folder: Path = Path(__file__).parent) -> list[str]:
    """Names of all benchmarks of a folder but ``all``."""
    return [file.stem for file in sorted(folder.glob("*.py")) if file.stem != "all" and _has_main(file)]


def in_turn(folder: Path, package: str, only: Sequence[str] = ("",), but: Sequence[str] = ()) -> int:
    """Run the benchmarks of a folder and print how long each took; 0 if all of them ran.

    Args:
        folder: the folder.
        package: its name as a package.
        only: parts of names, of which a benchmark has at least one.
        but: parts of names, of which a benchmark has none.
    """
    rows: list[tuple[str, str, str]] = []
    for name in benchmarks(folder):
        if any(part in name for part in but) or not any(part in name for part in only):
            continue
        print(f"== {name} ==", flush=True)
        begin = time.perf_counter()
        code = subprocess.run([sys.executable, "-m", f"{package}.{name}"], check=False, cwd=ROOT).returncode
        rows.append((name, f"{time.perf_counter() - begin:.0f}", str(code)))
        print(flush=True)
    print(markdown(("benchmark", "s", "exit"), rows))
    return int(any(code != "0" for _, _, code in rows))


def _has_main(file: Path) -> bool:
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in body)


def main() -> int:
    """0 if all of them ran."""
    parser = options(__doc__)
    parser.add_argument("--only", nargs="+", default=[""], metavar="PART", help="parts of names")
    parser.add_argument("--but", nargs="+", default=[], metavar="PART", help="likewise, to leave out")
    chosen = parser.parse_args()
    return in_turn(Path(__file__).parent, "benchmarks", chosen.only, chosen.but)


if __name__ == "__main__":
    sys.exit(main())
