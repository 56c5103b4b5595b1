"""Places for the numbers of a fit, by name: a CSV file, TensorBoard, MLflow, Weights & Biases. Nothing goes online.

with sink("tensorboard", folder) as on_metrics:
    run = guide_observables(..., on_metrics=on_metrics)
"""

import csv
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TypeAlias

from leastwork.errors import ConfigError
from leastwork.support.extras import needs
from leastwork.support.metrics import OnMetrics
from leastwork.support.text import nearest, quoted

__all__ = ["FIT_CSV", "SINKS", "check_sinks", "csv_rows", "last_step", "sink", "sinks"]

FIT_CSV = "fit.csv"
"""Name of the CSV file."""

_EXTRA = "logging"
_COLUMNS: tuple[str, ...] = ("step", "seconds", "name", "value")
_FORMS = tuple(re.compile(form) for form in (r"\d{1,9}", r"\d{1,9}\.\d", r"-?(\d[\d.e+-]{0,20}|inf)|nan"))

_Sink: TypeAlias = Callable[[Path], AbstractContextManager[OnMetrics]]


def csv_rows(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV file of numbers, each with its step, seconds, name and value; none where there is no file.

    A last line that is being written, or that a kill has cut, is left out, and so is any line that is damaged.
    """
    if not file.is_file():
        return []
    whole = file.read_text(encoding="utf-8", errors="replace").rpartition("\n")[0]
    lines = [line for line in csv.reader(whole.splitlines()) if _is_whole(line)]
    return [dict(zip(_COLUMNS, line, strict=True)) for line in lines]


def _is_whole(line: list[str]) -> bool:
    if len(line) != len(_COLUMNS):
        return False
    step, seconds, _, value = line
    return all(form.fullmatch(text) for form, text in zip(_FORMS, (step, seconds, value), strict=True))


def last_step(file: Path) -> int:
    """The last step in a CSV file of numbers, 0 if there is none."""
    return max((int(row["step"]) for row in csv_rows(file)), default=0)


@contextmanager
def _csv(folder: Path) -> Iterator[OnMetrics]:
    """fit.csv with a row for each number, added to those that are there, without a line that a kill has cut."""
    file, begin = folder / FIT_CSV, time.perf_counter()
    earlier = max((float(row["seconds"]) for row in csv_rows(file)), default=0.0)
    with file.open("a+b") as opened:
        opened.seek(0)
        opened.truncate(opened.read().rfind(b"\n") + 1)
    with file.open("a", encoding="utf-8", newline="", buffering=1) as opened:
        rows = csv.writer(opened, lineterminator="\n")
        if opened.tell() == 0:
            rows.writerow(_COLUMNS)

        def write(step: int, values: Mapping[str, float]) -> None:
            seconds = f"{earlier + time.perf_counter() - begin:.1f}"
            rows.writerows((step, seconds, name, f"{value:.8g}") for name, value in values.items())

        yield write


@contextmanager
def _tensorboard(folder: Path) -> Iterator[OnMetrics]:
    needs("tensorboard", _EXTRA)
    with import_module("torch.utils.tensorboard").SummaryWriter(str(folder / "tensorboard")) as writer:

        def write(step: int, values: Mapping[str, float]) -> None:
            for name, value in values.items():
                writer.add_scalar(name, value, step)

        yield write


@contextmanager
def _mlflow(folder: Path) -> Iterator[OnMetrics]:
    """A run of MLflow in a folder, which ``mlflow ui --backend-store-uri`` shows."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow = needs("mlflow", _EXTRA)
    client = mlflow.MlflowClient((folder / "mlruns").absolute().as_uri())
    known = client.get_experiment_by_name("leastwork")
    experiment = client.create_experiment("leastwork") if known is None else known.experiment_id
    run = client.create_run(experiment, run_name=folder.resolve().name).info.run_id
    status = "FAILED"

    def write(step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            client.log_metric(run, name, value, step=step)

    try:
        yield write
        status = "FINISHED"
    finally:
        client.set_terminated(run, status)


@contextmanager
def _wandb(folder: Path) -> Iterator[OnMetrics]:
    """A run of Weights & Biases on this machine alone, which ``wandb sync`` sends if somebody wants it to."""
    wandb = needs("wandb", _EXTRA)
    settings = wandb.Settings(console="off", silent=True, disable_git=True)
    name = folder.resolve().name
    with wandb.init(mode="offline", project="leastwork", name=name, dir=str(folder), settings=settings) as run:
        yield lambda step, values: run.log(dict(values), step=step)


_PACKAGES: Mapping[str, str | None] = {"csv": None, "tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}
SINKS: Mapping[str, _Sink] = {"csv": _csv, "tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}
"""Places by their names."""


def check_sinks(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of places, after a check that each is known and its package is installed.

    Raises:
        ConfigError: an unknown name.
        LeastworkError: the package is not installed; says which command does.

    >>> check_sinks(("csv",))
    ('csv',)
    """
    for name in names:
        if name not in SINKS:
            raise ConfigError(f"{quoted(name)} is no place for metrics{nearest(name, tuple(SINKS))}")
        package = _PACKAGES[name]
        if package is not None:
            needs(package, _EXTRA)
    return names


def sink(name: str, folder: str | Path) -> AbstractContextManager[OnMetrics]:
    """A place for the numbers of a fit, as a function ``on_metrics(step, values)`` that is closed at the end.

    Args:
        name: "csv", "tensorboard", "mlflow" or "wandb"; all but the first take the extra ``logging``.
        folder: made if need be; all files go there.

    Raises:
        ConfigError: an unknown name.
        LeastworkError: the package is not installed.
    """
    check_sinks((name,))
    Path(folder).mkdir(parents=True, exist_ok=True)
    return SINKS[name](Path(folder))


@contextmanager
def sinks(names: tuple[str, ...], folder: Path) -> Iterator[OnMetrics]:
    """Several places at once."""
    with ExitStack() as stack:
        opened = [stack.enter_context(sink(name, folder)) for name in names]

        def tell(step: int, values: Mapping[str, float]) -> None:
            for one in opened:
                one(step, values)

        yield tell
