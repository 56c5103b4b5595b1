"""The folder of a run: opened once, continued only with the same settings, and removed if nothing came of it."""

import errno
import os
import shutil
from pathlib import Path
from typing import TypeVar

from leastwork.errors import ConfigError
from leastwork.runs.base.sealed import check_seal, settings_in, write_sealed
from leastwork.runs.base.settings import AnyConfig, Run
from leastwork.runs.load import dump_config
from leastwork.support.files import TEMPORARY, copy_file, sweep
from leastwork.support.text import quoted

__all__ = ["copy_inputs", "default_folder", "is_begun", "open_folder", "withdraw"]

_DESCRIPTION = ("config.yaml", "inputs", ".lock")
_Config = TypeVar("_Config", bound=Run)


def default_folder(config: Run) -> Path:
    """The folder of a run that names none, which is always the same, so that the run can be resumed."""
    seeds = [one.seed for one in config.parts.values()]
    return Path("runs") / f"{config.name}-seed{'-'.join(map(str, dict.fromkeys(seeds)))}"


def open_folder(folder: Path, config: Run, resume: bool) -> None:
    """Make the folder and describe the run there, or see that it is the same run; so with each part of a joint run.

    Raises:
        ConfigError: a folder that cannot be used, or of another run.
    """
    described = folder / "config.yaml"
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file: choose another folder with --out")
    used = folder.is_dir() and any(folder.iterdir())
    opened_halfway = used and not described.exists() and _holds_only_inputs(folder)
    if used and not resume:
        remedy = "continue it with --resume, or " if described.exists() or opened_halfway else ""
        raise ConfigError(f"{folder} is not empty: {remedy}choose another folder with --out")
    if used and not described.exists() and not opened_halfway:
        raise ConfigError(f"{folder} holds no run to resume, config.yaml is missing: choose another folder with --out")
    _refuse_links(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        copied = copy_inputs(config, folder)
        text = dump_config(copied)
        if not described.exists():
            write_sealed(folder, text)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ConfigError(f"{folder} cannot be written, the disk is full: make room and begin again") from error
        raise ConfigError(f"{folder} cannot be written ({error.strerror}): choose another folder with --out") from error
    check_seal(folder)
    begun = settings_in(folder)
    known = config.source
    earlier = copied if known is None else copied.with_source(known.with_paths(lambda _, path: path.resolve()))
    if begun not in (text, dump_config(earlier)):  # earlier versions named a model's folder by where it lay
        here = [line for line in text.splitlines() if line not in begun.splitlines()]
        what = f" ({quoted(here[0].strip())} is new)" if here else ""
        raise ConfigError(
            f"{described} is of a run that was begun with other settings{what}: use those, or another folder with --out"
        )
    for part, one in _inner(config):
        open_folder(folder / part, one, resume=True)


def _refuse_links(folder: Path) -> None:
    """Links in a folder that somebody else made could have files written elsewhere."""
    for path in (*folder.glob("*"), *folder.glob("inputs/*")):
        if path.is_symlink():
            raise ConfigError(f"{path} is a link, and nothing is written through it: put there what it leads to")


def _holds_only_inputs(folder: Path) -> bool:
    """True if a run was stopped while it opened the folder."""
    return all(path.name in _DESCRIPTION or path.name.startswith(TEMPORARY) for path in folder.iterdir())


def _inner(config: Run) -> list[tuple[str, AnyConfig]]:
    """The parts of a joint run, which have folders of their own in that of the whole."""
    return [(part, one) for part, one in config.parts.items() if part]


def is_begun(folder: Path, config: Run) -> bool:
    """True if there is anything from which a resumed run continues."""
    places = [folder / part for part in config.parts if (folder / part).is_dir()]
    return any(path.name not in _DESCRIPTION for place in places for path in place.iterdir())


def withdraw(folder: Path, config: Run) -> None:
    """Undo the opening of a folder, so that one in which nothing is begun is in nobody's way."""
    for part, one in _inner(config):
        withdraw(folder / part, one)
    (folder / "config.yaml").unlink(missing_ok=True)
    shutil.rmtree(folder / "inputs", ignore_errors=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def copy_inputs(config: _Config, folder: Path) -> _Config:
    """Copy the user's files and those of the model into the folder; returns the run with the new paths.

    Raises:
        ConfigError: a copy of an earlier call differs from the file.
    """

    def copy(source: Path, name: Path | None = None) -> Path:
        target = folder / "inputs" / (name or source.name)
        if target.exists():
            if target.read_bytes() != source.read_bytes():
                raise ConfigError(
                    f"{source} is not what {target} is: give the files different names, or another folder"
                )
        else:
            copy_file(source, target)
        return target.relative_to(folder)

    def copy_of_model(key: str, path: Path) -> Path:
        assert source is not None
        path = Path(os.path.abspath(path))
        for file in source.needed(key, path):
            copy(file, file.relative_to(path.parent))
        return Path("inputs") / path.name

    moved, source = config.with_files(copy), config.source
    return moved if source is None else moved.with_source(source.with_paths(copy_of_model))
