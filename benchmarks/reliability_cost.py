"""What it costs that a run loses nothing: `python -m benchmarks.reliability_cost`.

One run of the command line is carried out in this process, and the seconds are counted that pass within checksums,
within forcing data to disk, and within checkpoints of the fit; their share of the same run's seconds is the cost. All
is on one thread unless ``--threads`` says otherwise, so that nothing of it is hidden behind other work. The writing of
files that a run leaves in any case is not counted, while all that checkpoints take is.

Takes about two minutes on one core.
"""

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.command import options

Counted = dict[str, list[float]]
"""Seconds and calls of each kind."""


def counting(act: Callable[..., Any], kind: str, counted: Counted, busy: list[str]) -> Callable[..., Any]:
    """A function that counts the seconds of another, except within one that is counted already or in other threads."""

    def counted_act(*arguments: Any, **options: Any) -> Any:
        if busy or threading.current_thread() is not threading.main_thread():
            return act(*arguments, **options)
        busy.append(kind)
        begin = time.perf_counter()
        try:
            return act(*arguments, **options)
        finally:
            counted[kind][0] += time.perf_counter() - begin
            counted[kind][1] += 1
            busy.pop()

    return counted_act


def watch() -> Counted:
    """Count from now on, wherever a module of leastwork has one of the functions under its name."""
    from leastwork.sampling import zarr_arrays
    from leastwork.support import checkpoints, files, json_files, packing, tensor_files

    kinds = {
        "checksums": [zarr_arrays.checksum, json_files._checksum, tensor_files._checksum],
        "forcing to disk": [os.fsync, files.sync_files, files.sync_folder],
        "checkpoints": [packing.pack, packing.unpack],
    }
    counted: Counted = {kind: [0.0, 0] for kind in kinds}
    busy: list[str] = []
    for kind, functions in kinds.items():
        for function in functions:
            watched = counting(function, kind, counted, busy)
            for module in [os, *(one for name, one in sys.modules.items() if name.startswith("leastwork"))]:
                for name in [name for name, value in vars(module).items() if value is function]:
                    setattr(module, name, watched)
    Checkpoints = checkpoints.Checkpoints
    Checkpoints.write = counting(Checkpoints.write, "checkpoints", counted, busy)
    return counted


def main() -> None:
    words = options(__doc__)
    words.add_argument("--run", default="prinz", help="a run file, or the name of a bundled run")
    words.add_argument(
        "--set", nargs="*", default=["sampling.n=400000"], help="settings that replace those of the file"
    )
    words.add_argument("--threads", type=int, default=1, help="of torch")
    words.add_argument("--out", type=Path, help="a new folder for the run, on the disk in question; default: temporary")
    asked = words.parse_args()

    import torch

    from leastwork.runs.carry_out import run
    from leastwork.runs.load import load_config

    torch.set_num_threads(asked.threads)
    config = load_config(asked.run, asked.set)
    counted = watch()
    with tempfile.TemporaryDirectory() as place:
        begin = time.perf_counter()
        run(config, Path(place, "run") if asked.out is None else asked.out)
        whole = time.perf_counter() - begin
    cost = sum(seconds for seconds, _ in counted.values())
    for kind, (seconds, calls) in counted.items():
        print(f"{kind:16} {seconds:8.3f} s  {100 * seconds / whole:6.3f} %  {calls} calls")
    print(f"{'all three':16} {cost:8.3f} s  {100 * cost / whole:6.3f} %  of a run of {whole:.1f} s")
    print(json.dumps({"seconds": whole, "share": cost / whole}))


if __name__ == "__main__":
    main()
