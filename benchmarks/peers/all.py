"""Every problem of the peers in turn, each in its own process: `python -m benchmarks.peers.all` (`make bench-peers`).

Each prints its table and puts it into docs/peers.md. At the end stands how long each took, and on which machine.

Takes about an hour on one core.
"""

import os
import platform
import sys
from pathlib import Path

from benchmarks.all import in_turn
from benchmarks.command import options

__all__: list[str] = []


def main() -> int:
    """0 if all of them ran."""
    options(__doc__).parse_args()
    code = in_turn(Path(__file__).parent, "benchmarks.peers")
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    return code


if __name__ == "__main__":
    sys.exit(main())
