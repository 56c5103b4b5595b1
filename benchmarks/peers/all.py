"""The commands of the first table of docs/peers.md in turn: `python -m benchmarks.peers.all` (`make bench-peers`).

    python -m benchmarks.peers.all --only umbrella posterior       # those that have one of these in them
    python -m benchmarks.peers.all --list                          # only say which

Each runs in a process of its own, prints its table and puts its rows into the page; rows of other commands stay. At
the end stands how long each took, and on which machine.

Takes about an hour on one core.
"""

import os
import platform
import re
import sys

from benchmarks.all import chosen, in_turn
from benchmarks.command import options
from benchmarks.table import DOCS

__all__ = ["commands"]


def commands() -> list[tuple[str, ...]]:
    """The commands of the page, each once: the name of a benchmark of this folder and its options."""
    rows = (DOCS / "peers.md").read_text(encoding="utf-8").split("\n\n*Told*")[0].splitlines()
    last = (re.fullmatch(r"\|.*\| `([^`]+)` \|", row) for row in rows)
    return list(dict.fromkeys(tuple(found.group(1).split()) for found in last if found))


def main() -> int:
    """0 if all of them ran."""
    parser = options(__doc__)
    parser.add_argument("--only", nargs="+", default=[""], metavar="PART", help="parts of commands")
    parser.add_argument("--but", nargs="+", default=[], metavar="PART", help="likewise, to leave out")
    parser.add_argument("--list", action="store_true", help="only print the commands")
    given = parser.parse_args()
    wanted = chosen([" ".join(command) for command in commands()], given.only, given.but)
    if given.list:
        print(*wanted, sep="\n")
        return 0
    code = in_turn([f"benchmarks.peers.{command}".split() for command in wanted])
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    return code


if __name__ == "__main__":
    sys.exit(main())
