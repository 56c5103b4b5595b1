"""How far a run is: its stage, the blocks of samples that are there, their rate and worth, and the time left.

Nothing of the run is executed and no model is loaded: the marks of the blocks hold all that is told.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from leastwork.errors import ConfigError
from leastwork.runs.base.numbers import Number, as_number
from leastwork.runs.base.sentences import pm, share
from leastwork.runs.load import load_config
from leastwork.sampling.begun import Begun, begun_store, ranges
from leastwork.sampling.storage import stored_weights
from leastwork.sampling.work import kish_ess
from leastwork.statistics.estimate import Estimate
from leastwork.support.numerals import count, duration, plain

__all__ = ["Blocks", "Status", "absent", "described_by", "in_lines", "missing_in_words", "statuses"]

Stage: TypeAlias = Literal["begun", "fitting", "fitted", "drawing", "measuring", "finished"]

_MOST_RANGES = 4  # in a line
_UNKNOWN = Number(None, None)


@dataclass(frozen=True)
class Blocks:
    """Numbers of blocks, or of samples.

    Args:
        done: how many are there.
        asked: how many there are to be.
    """

    done: int
    asked: int


@dataclass(frozen=True)
class Status:
    """How far a single run, or a part of a joint one, is.

    Args:
        folder: the folder of the run.
        stage: "begun", "fitting", "fitted" (no samples yet), "drawing", "measuring" (all samples drawn), "finished".
        samples: number of samples.
        blocks: number of blocks of samples; None where no store is being filled.
        samples_per_second: of late, by all processes together; None where it is not known.
        seconds_left: for the samples that are missing, if it goes on as of late.
        seconds_since_the_newest_block: its age.
        ess: Kish's effective fraction of the samples that are there, under the target.
        effective_samples: that fraction of their number.
        missing: first and last numbers of the samples that are missing, in order.
    """

    folder: str
    stage: Stage
    samples: Blocks
    blocks: Blocks | None = None
    samples_per_second: float | None = None
    seconds_left: float | None = None
    seconds_since_the_newest_block: float | None = None
    ess: Number = _UNKNOWN
    effective_samples: Number = _UNKNOWN
    missing: tuple[tuple[int, int], ...] = ()


def statuses(folder: Path) -> dict[str, Status]:
    """How far a run is, or each part of a joint run, by its name; a single run has the name "".

    Raises:
        ConfigError: the folder holds no run.
    """
    return {
        part: _status(folder / part, config.sampling.n)
        for part, config in load_config(described_by(folder)).parts.items()
    }


def described_by(folder: Path) -> Path:
    """The ``config.yaml`` in the folder of a run.

    Raises:
        ConfigError: the folder holds no run.
    """
    described = folder / "config.yaml"
    if not described.is_file():
        what = absent(folder) or "config.yaml is missing"
        raise ConfigError(f"{folder} holds no run, {what}: pass a folder of leastwork run, or of run.save")
    return described


def absent(folder: Path) -> str:
    """Why this is no folder, in words; empty if it is one."""
    return "" if folder.is_dir() else "it is a file" if folder.exists() else "there is no such folder"


def _status(folder: Path, n: int) -> Status:
    store = folder / "ensemble.zarr"
    begun = begun_store(store)
    if begun is not None:
        return _drawing(folder, begun)
    if not store.exists():
        stage: Stage = "begun"
        if (folder / "fit.partial").exists():
            stage = "fitting"
        elif (folder / "fit").exists():
            stage = "fitted"
        return Status(str(folder), stage, Blocks(0, n), missing=((0, n - 1),))
    done, log_weight = stored_weights(store)
    known = log_weight is not None
    ess, effective = _worth(kish_ess(log_weight) if known else None, done)
    stage = "finished" if (folder / "metrics.json").exists() else "measuring"
    return Status(str(folder), stage, Blocks(done, done), ess=ess, effective_samples=effective)


def _drawing(folder: Path, begun: Begun) -> Status:
    ess, effective = _worth(begun.ess, begun.samples)
    return Status(
        str(folder),
        "drawing",
        Blocks(begun.samples, begun.n),
        Blocks(len(begun.marks), begun.blocks),
        begun.rate,
        begun.seconds_left,
        begun.seconds_since_the_newest,
        ess,
        effective,
        tuple(ranges(begun.missing, begun.batch_size, begun.n)),
    )


def _worth(ess: Estimate | None, samples: int) -> tuple[Number, Number]:
    if ess is None:
        return _UNKNOWN, _UNKNOWN
    return as_number(ess), as_number(Estimate(ess.value * samples, ess.stderr * samples))


def missing_in_words(folder: Path) -> str | None:
    """What is missing of the samples of a run that is being filled; None where nothing is."""
    begun = begun_store(folder / "ensemble.zarr")
    if begun is None:
        return None
    return (
        f"{folder} is being filled with {count(begun.n)} samples, of which {count(begun.samples)} are there: "
        f"{_missing(_drawing(folder, begun))}"
    )


def in_lines(one: Status) -> list[str]:
    """The status as lines for a terminal."""
    rows = [("stage", one.stage), ("samples", f"{count(one.samples.done)} of {count(one.samples.asked)}")]
    if one.blocks is not None:
        rows.append(("blocks", f"{count(one.blocks.done)} of {count(one.blocks.asked)}"))
    if one.samples_per_second is not None:
        rows.append(("rate", f"{plain(one.samples_per_second, 3)} samples/s"))
    if one.seconds_since_the_newest_block is not None:
        rows.append(("newest block", f"{duration(one.seconds_since_the_newest_block)} ago"))
    if one.seconds_left is not None:
        rows.append(("time left", duration(one.seconds_left)))
    if one.ess.value is not None:
        rows += [("ESS", share(one.ess)), ("effective samples", pm(one.effective_samples))]
    if one.blocks is not None:
        rows.append(("missing", _missing(one)))
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {value}" for name, value in rows]


def _missing(one: Status) -> str:
    """The first few of the samples that are missing."""
    if not one.missing:
        return "nothing, but to close the store and measure it: leastwork sample"
    shown = ", ".join(f"{first}–{last}" for first, last in one.missing[:_MOST_RANGES])
    return f"samples {shown}" + (f", … in {count(len(one.missing))} ranges" if len(one.missing) > _MOST_RANGES else "")
