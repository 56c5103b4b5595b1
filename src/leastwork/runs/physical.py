"""Samples that count: those that pass a function of the user's own, such as a test for clashes or broken bonds.

    share = passing / n        ESS of those that pass = (Σ w)² / Σ w²,  both sums over them

All samples are kept. The share is reported with its error, and ``physical.safetensors`` says which pass.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from leastwork.errors import ConfigError
from leastwork.geometry.state import batch_size, take
from leastwork.models.latents import of_decoded
from leastwork.report.blocks import Mark, Section
from leastwork.runs.base.finished import Finished
from leastwork.runs.base.numbers import Number, with_stderr
from leastwork.runs.base.sentences import share
from leastwork.sampling.ensemble import Ensemble, log_weight_under
from leastwork.statistics.estimate import Estimate
from leastwork.support.json_files import read_json, write_json
from leastwork.support.numerals import count
from leastwork.support.tensor_files import write_tensors
from leastwork.support.user_code import load_function

__all__ = ["Physical", "load_physical", "passing", "physical_sections", "write_physical"]

_NUMBERS, _FLAGS = "physical.json", "physical.safetensors"
_AT_A_TIME = 65536  # samples


@dataclass(frozen=True)
class Physical:
    """A function that says which samples pass.

    Args:
        name: the name of the function and of its file.
        checksum: SHA-256 of that file.
        fn: states in data units, (B, *event) -> booleans (B,).
    """

    name: str
    checksum: str
    fn: Callable[[Any], Any]


def load_physical(text: str) -> Physical:
    """The function that is written ``FILE.py:function``; the file is executed.

    Raises:
        ConfigError: no file or function of that name, or the file has an error, told with its line.
    """
    file, _, function = text.rpartition(":")
    if not file or not function:
        raise ConfigError(f"{text!r} is not of the form FILE.py:function, such as checks.py:no_clashes")
    path = Path(file)
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file of a function that says which samples pass")
    return Physical(
        f"{function} of {path.name}",
        hashlib.sha256(path.read_bytes()).hexdigest(),
        load_function(path, function, "samples that count"),
    )


def passing(physical: Physical, ensemble: Ensemble) -> Tensor:
    """Which samples pass, bool (n,).

    Raises:
        ConfigError: the function returns something else, or raises an error, told with its line.
    """
    fn = of_decoded(lambda x: _flags(physical, x), ensemble.decoder)
    with torch.no_grad():
        return torch.cat([fn(take(ensemble.x, slice(i, i + _AT_A_TIME))) for i in range(0, len(ensemble), _AT_A_TIME)])


def _flags(physical: Physical, x: Any) -> Tensor:
    n, found = batch_size(x), physical.fn(x)
    try:
        flags = torch.as_tensor(found)
    except (TypeError, ValueError, RuntimeError):
        raise ConfigError(
            f"{physical.name} returned {type(found).__name__}: return a tensor of booleans, one for each sample"
        ) from None
    if flags.dtype != torch.bool or tuple(flags.shape) != (n,):
        raise ConfigError(
            f"{physical.name} returned {flags.dtype} of shape {tuple(flags.shape)} for {n} samples: return booleans "
            f"of shape ({n},), one for each sample"
        )
    return flags.cpu()


def write_physical(folder: Path, physical: Physical | None, ensemble: Ensemble) -> Estimate | None:
    """Say beside the samples which pass and how many; without a function, remove what was said of fewer samples.

    Returns:
        the share of the guided samples that pass, None without a function.
    """
    if physical is None:
        for name in (_NUMBERS, _FLAGS):
            (folder / name).unlink(missing_ok=True)
        return None
    flags = passing(physical, ensemble)
    found = Estimate.from_samples(flags)
    in_target = None
    if ensemble.ledger.log_weight is not None:
        in_target = Estimate.from_log_weights(flags.double(), log_weight_under("target", ensemble))
    write_tensors(folder / _FLAGS, {"passes": flags})
    about = {
        "function": physical.name,
        "file_sha256": physical.checksum,
        "samples": len(flags),
        "passing": int(flags.sum()),
        "share": with_stderr(found),
        "share_of_target": None if in_target is None else with_stderr(in_target),
    }
    write_json(folder / _NUMBERS, about, readable=True)
    return found


def physical_sections(run: Finished[Any]) -> list[Section]:
    """The section of a report about the samples that pass; none where that was not asked."""
    try:
        known = read_json(run.folder / _NUMBERS, "delete it, and ask again by leastwork sample … --physical")
    except (FileNotFoundError, NotADirectoryError):
        return []
    if known["samples"] != len(run.ensemble):
        return []
    words: list[str | Mark] = [
        f"{count(known['passing'])} of {count(known['samples'])} guided samples pass ",
        Mark(known["function"], "name"),
        f", {share(Number(**known['share']))}",
    ]
    if known["share_of_target"] is not None:
        words.append(f"; of the target it is {share(Number(**known['share_of_target']))}")
    words.append(
        f". All samples are kept and count for every average above; {_FLAGS} holds a boolean for each that says "
        "whether it passes."
    )
    return [Section("Samples that pass", [words])]
