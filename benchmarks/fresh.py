"""Calls in fresh processes, and the memory that they take.

A process hands its peak on to those that it starts, so a benchmark that measures memory imports nothing large at the
top of its file.
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["growth", "in_fresh_process", "peak"]

ROOT = Path(__file__).parents[1]
CALL = """
import json, sys
from importlib import import_module
module, name, arguments = sys.argv[1:]
found = getattr(import_module(module), name)(*json.loads(arguments))
print(json.dumps(found))
"""


def in_fresh_process(function: Callable[..., Any], *arguments: object) -> Any:
    """What a function of a benchmark returns there; arguments and result are plain values."""
    module = f"benchmarks.{Path(function.__code__.co_filename).stem}"  # its __module__ may be __main__
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-c", CALL, module, function.__name__, json.dumps(arguments)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    return json.loads(done.stdout.splitlines()[-1])


def peak() -> float:
    """The most memory that this process has held, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def growth(call: Callable[[], object]) -> float:
    """By how much a call raises the peak, MiB."""
    before = peak()
    call()
    return peak() - before
