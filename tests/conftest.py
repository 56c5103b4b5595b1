"""One thread: the networks here are small, and on shared cores a second one costs more in waiting than it gives.

Shared by all: two states in one dimension, their model and the exact guidance from one half to four fifths; fits that
take few steps; runs without pages; and processes that begin at once.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from typing import Any

import pytest
import torch

from leastwork.fit.labels import fit_labels
from leastwork.fit.value import fit_ratio, fit_value
from leastwork.models.diffusion import DiffusionModel
from leastwork.schedules.gaussian import VPSchedule
from leastwork.systems.mixtures import GaussianMixture, MixtureDoob, two_states

torch.set_num_threads(1)

collect_ignore_glob = ["*/conftest.py"]  # which pytest loads itself; as modules with doctests two of a name would clash


@pytest.fixture(scope="module")
def mixture() -> GaussianMixture:
    return two_states(1, (0.5, 0.5), separation=2.0, std=0.3)


@pytest.fixture(scope="module")
def model(mixture: GaussianMixture) -> DiffusionModel:
    return mixture.model(VPSchedule())


@pytest.fixture(scope="module")
def doob(mixture: GaussianMixture) -> MixtureDoob:
    return mixture.doob(mixture.reweighted([0.2, 0.8]), VPSchedule())


@pytest.fixture(scope="module")
def few_levels() -> Iterator[None]:
    """A fourth of the noise levels in each step of the optimiser, for files that do not ask how good their fits are."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("observable_guidance.least_work", "free_energy.guided"):
            patch.setattr(f"leastwork.{module}.fit_value", partial(fit_value, batch_size=128))
        for module in ("path_guidance.least_work", "free_energy.job"):
            patch.setattr(f"leastwork.{module}.fit_ratio", partial(fit_ratio, batch_size=128))
        yield


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Cuts what no argument of a fit can: the optimiser's steps on labels and on populations, to a share of them, and
    to a fourth the noise levels of each of its steps and the moves of chains that look for members of a region.

    For tests that ask what a fit does; how good it is with all its steps is asked by those that are slow.
    """

    def cut(share: float) -> None:
        def ratio(*arguments: Any, iterations: int = 1500, **choices: Any) -> Any:
            return fit_ratio(*arguments, iterations=int(share * iterations), batch_size=128, **choices)

        def value(*arguments: Any, **choices: Any) -> Any:
            return fit_value(*arguments, batch_size=128, **choices)

        def labels(*arguments: Any, iterations: int = 600, **choices: Any) -> Any:
            return fit_labels(*arguments, iterations=int(share * iterations), **choices)

        for job in ("path_guidance", "observable_guidance"):
            monkeypatch.setattr(f"leastwork.{job}.least_work.fit_labels", labels)
        monkeypatch.setattr("leastwork.observable_guidance.least_work.fit_value", value)
        monkeypatch.setattr("leastwork.path_guidance.least_work.fit_ratio", ratio)
        monkeypatch.setattr("leastwork.path_guidance.renoise._ROUNDS", 5)

    return cut


@contextmanager
def _without_pages() -> Iterator[None]:
    def blank(folder: Path) -> Path:
        (folder / "report.html").write_text("blank")
        return folder / "report.html"

    with pytest.MonkeyPatch.context() as patch:
        for module in ("carry_out", "top_up"):
            patch.setattr(f"leastwork.runs.{module}.write_report", blank)
        patch.setattr("leastwork.runs.observables.job._EXACTLY_GUIDED", 64)
        patch.setattr("leastwork.cases.plane.case._POINTS", 100)
        yield


@pytest.fixture(scope="session")
def without_pages() -> Callable[[], AbstractContextManager[None]]:
    """A context of runs that leave a blank page, since figures take most of the time of a small run.

    What is known exactly takes the rest: where the density is, few samples are drawn by the exact guidance, and regions
    of a plane are integrated over fewer cells.
    """
    return _without_pages


@pytest.fixture
def blank_pages() -> Iterator[None]:
    """The same for a whole test; pages have tests of their own."""
    with _without_pages():
        yield


@pytest.fixture
def forked_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that run side by side are forked from a process that has imported what each would import for seconds."""
    if "forkserver" in get_all_start_methods():
        context = get_context("forkserver")
        context.set_forkserver_preload(["leastwork.runs.carry_out", "leastwork.support.side_by_side"])
        monkeypatch.setattr("leastwork.support.side_by_side.get_context", lambda _: context)
