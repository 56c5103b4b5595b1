"""Tiny runs of each kind: their files, how to carry them out, and folders of them, finished and interrupted."""

import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import leastwork as lw
from leastwork.networks.perceptron import Perceptron
from leastwork.runs.carry_out import compare_run, run
from leastwork.runs.load import load_config
from leastwork.sampling.storage import EnsembleStore
from leastwork.support.checkpoints import Checkpoints

SAMPLING = "sampling: {n: 48, solver: euler, t_grid: log-snr, steps: 4, batch_size: 24}\n"
FILES = {
    "observables": "model: net\nobservables: [{kind: component, name: x}]\ndata: {csv: data.csv}\nmethod: scheduled\n"
    f"fit: {{samples: 100, fit_samples: 32}}\nseed: 3\n{SAMPLING}",
    "path": "model: net\nguides: {csv: guides.csv}\nregion: {kind: interval, index: 0, lower: 1.4}\nmethod: loss\n"
    f"fit: {{samples: 300, budget: 300000}}\nseed: 4\n{SAMPLING}",
    "joint": "runs: {average: average.yaml, rare: rare.yaml}\n",
    "compare": "model: net\nobservables: [{kind: component, name: x}]\ndata: {csv: data.csv}\n"
    "fit: {samples: 64}\nsampling: {n: 64, solver: euler, steps: 4}\n",
}
SMALLER = "sampling: {n: 16, solver: euler, t_grid: log-snr, steps: 2, batch_size: 8}\n"
PARTS = {
    "average": "model: net\nobservables: [{kind: component, name: x}]\ndata: {csv: data.csv}\nmethod: loss\n"
    f"fit: {{samples: 64}}\nseed: 3\n{SMALLER}",
    "rare": "model: net\nguides: {csv: guides.csv}\nregion: {kind: interval, index: 0, lower: 1.4}\nmethod: loss\n"
    f"fit: {{samples: 64, budget: 60000}}\nseed: 4\n{SMALLER}",
}
STOPS = ("fitting", "drawing")


class Stopped(BaseException):
    """In place of a kill."""


@dataclass(frozen=True)
class Runs:
    """Run files of each kind, and what they lead to, each folder made when it is first asked for.

    Args:
        place: of the run files and folders.
    """

    place: Path

    def carry_out(self, kind: str, out: Path) -> None:
        """Begin it, or go on with it."""
        config = load_config(self.place / f"{kind}.yaml")
        (compare_run if kind == "compare" else run)(config, out, resume=True)

    def finished(self, kind: str) -> Path:
        """A folder of a run that was not disturbed."""
        folder = self.place / f"finished {kind}"
        if not folder.exists():
            with _quietly():
                self.carry_out(kind, folder)
        return folder

    def interrupted(self, kind: str, stop: str) -> Path:
        """A folder of one that was stopped as soon as something of the fit, or of the samples, was written."""
        folder = self.place / f"{stop} {kind}"
        if not folder.exists():
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("leastwork.support.checkpoints._SECONDS_BETWEEN", 0.0)
                writer = {"fitting": Checkpoints, "drawing": EnsembleStore}[stop]
                patch.setattr(writer, "write", _and_stop(writer.write))
                with pytest.raises(Stopped), _quietly():
                    self.carry_out(kind, folder)
        return folder


@contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", lw.LeastworkWarning)
        yield


def _and_stop(act: Callable[..., None]) -> Callable[..., None]:
    def acted(*arguments: object) -> None:
        act(*arguments)
        raise Stopped

    return acted


@pytest.fixture(scope="session")
def _place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs")
    torch.manual_seed(0)
    net = Perceptron(2, width=8, depth=1)
    lw.save_model(lw.DiffusionModel(net, lw.VPSchedule(), predicts="v", event_shape=(2,)), place / "net")
    (place / "data.csv").write_text("name,value,error\nx,0.2,0.05\n")
    (place / "guides.csv").write_text("x,y\n1.6,0.5\n1.8,0.3\n1.5,0.9\n")
    for kind, text in {**FILES, **PARTS}.items():
        (place / f"{kind}.yaml").write_text(text)
    return place


@pytest.fixture
def runs(_place: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Without figures, which take most of the time, and without time, so that all bytes are those of the seed.

    Whoever changes a folder takes a copy.
    """
    monkeypatch.setattr("time.perf_counter", lambda: 0.0)
    monkeypatch.setattr("leastwork.runs.compare.run.COMPARED", ("reweight", "scheduled"))
    monkeypatch.setattr("leastwork.runs.compare.run.draw_comparison", lambda rows, path: None)
    for module in ("leastwork.report.figures", "leastwork.runs.path.figures"):
        monkeypatch.setattr(f"{module}.image", lambda *_: "data:image/png;base64,")
    return Runs(_place)


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Path], Path]:
    """A fresh copy of a folder, each time of the same name."""

    def copied(folder: Path) -> Path:
        out = tmp_path / "copy"
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(folder, out)
        return out

    return copied
