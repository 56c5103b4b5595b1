"""A stranger adds a guidance term, a kind of observable, a method, a system and a latent model, all in this file."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor

import leastwork as lw
from leastwork.data.maxent import fit_lambdas
from leastwork.fit.methods import Told
from leastwork.geometry.state import EventShape, State, smap
from leastwork.guidance.base import Composable, Find, Parts, register
from leastwork.networks.perceptron import Perceptron
from leastwork.observable_guidance.methods import METHODS, ObservableMethod, Outcome, Problem, register_method
from leastwork.observables import Observable
from leastwork.report.blocks import Section
from leastwork.runs.base import cases
from leastwork.runs.base.cases import Case, register_case
from leastwork.runs.base.finished import Finished
from leastwork.runs.base.kinds import ObservableKind
from leastwork.runs.carry_out import compare_run, run
from leastwork.runs.load import load_config
from leastwork.runs.observables.kinds import register_kind
from leastwork.runs.page import write_report
from leastwork.systems.mixtures import two_states

FILE = """\
model: net
system: stranger
observables: [{kind: stranger-sum, weight: 2.0}]
data: [{name: sum, value: 0.4, error: 0.05}]
method: stranger-constant
fit: {samples: 300, strength: 0.7}
sampling: {n: 96, solver: euler, steps: 4, batch_size: 16}
"""


@register("stranger pull")
@dataclass(frozen=True)
class Pull(Composable):
    """A guidance term: h = a (c − D), saved and loaded by what stands here."""

    centre: Tensor
    strength: float
    through_network = False

    def __call__(self, x: State, t: float, denoised: State) -> State:
        return smap(lambda leaf: self.strength * (self.centre.to(leaf) - leaf), denoised)

    def parts(self) -> Parts:
        return {"centre": self.centre, "strength": self.strength}

    @classmethod
    def from_parts(cls, parts: Parts, find: Find) -> "Pull":
        return cls(**parts)


class SumKind(ObservableKind):
    """A kind of observable for run files."""

    kind: Literal["stranger-sum"]
    weight: float = 1.0

    def build(self, event_shape: EventShape) -> Observable:
        return Observable(lambda x: self.weight * x.flatten(1).sum(dim=1), names=("sum",))


@dataclass(frozen=True)
class Constant(ObservableMethod):
    """A method: pulls with a strength that nobody fits."""

    strength: float = 1.0

    def fit(self, problem: Problem) -> Outcome:
        maxent = fit_lambdas(problem.observed, problem.data)
        centre = torch.full(problem.model.event_shape, 0.2)
        return Outcome(maxent, Pull(centre, self.strength), None, problem.own.network_evaluations)

    def sentence(self, told: Told) -> str:
        return f"Samples were pulled by a stranger with a strength of {self.strength:g}."

    def table(self, told: Told) -> list[tuple[str, str]]:
        return [("strength of the stranger", f"{self.strength:g}")]


def seen(finished: Finished) -> list[Section]:
    """A section of the report, for runs of one system."""
    return [Section("What a stranger sees", [f"{len(finished.ensemble)} samples."], [])]


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(cases, "_REGISTERED", {})
    register_case("stranger", Case(event_shape=(2,), part=seen))
    register_method("stranger-constant", Constant)
    yield
    METHODS.discard("stranger-constant")


register_kind(SumKind)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    lw.save_model(lw.DiffusionModel(Perceptron(2, 8), lw.VPSchedule(), "v", (2,)), tmp_path / "net")
    (tmp_path / "strange.yaml").write_text(FILE)
    return tmp_path / "strange.yaml"


def test_a_guidance_term_is_saved_and_loaded(tmp_path: Path) -> None:
    lw.save_guidance(0.5 * Pull(torch.tensor([1.0, -1.0]), 0.3), tmp_path)
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(lw.load_guidance(tmp_path)(x, 0.5, x), 0.15 * (torch.tensor([1.0, -1.0]) - x))


def test_kind_method_and_case_go_from_a_run_file_to_the_report(file: Path, tmp_path: Path) -> None:
    config = load_config(file)
    run(config, tmp_path / "out")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["observables"][0]["name"] == "sum"
    assert metrics["certificate"]["work"]["value"] > 0
    page = write_report(tmp_path / "out").read_text(encoding="utf-8")
    for told in ("What a stranger sees", "96 samples.", "pulled by a stranger", "strength of the stranger"):
        assert told in page


def test_a_method_is_compared(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leastwork.runs.compare.run.COMPARED", ("reweight",))
    rows = compare_run(load_config(file), tmp_path / "compared")
    assert [row["method"] for row in rows] == ["reweight", "stranger-constant"]
    assert rows[1]["work"]["value"] > 0


def test_a_latent_model_is_sampled_guided_and_certified(brief: Callable[[float], None]) -> None:
    brief(0.2)
    plain = two_states(2, (0.7, 0.3), 1.5, 0.5).model(lw.VPSchedule())

    def decode(z: Tensor) -> Tensor:
        return torch.cat([z, z.square().sum(dim=1, keepdim=True)], dim=1)

    model = lw.DiffusionModel(plain.net, lw.VPSchedule(), "data", (2,), decode=decode, encode=lambda x: x[:, :2])
    height = Observable(lambda x: x[:, 2], names=("height",))
    drawn = lw.sample(model, 3000, steps=30, seed=1)
    own = height(drawn.x)[:, 0]
    data = lw.Experiment(height, [float(own.mean() + 0.3 * own.std())], errors=0.0)
    found = lw.guide_observables(
        model, data, seed=2, samples=3000, steps=30, budget=400_000, certificate_samples=2000, iterations=120
    )
    certificate = found.certificate
    assert isinstance(found.certificate_ensemble.x, Tensor)
    assert found.certificate_ensemble.x.shape == (2000, 3)
    assert certificate.miss is not None
    assert abs(float(certificate.miss.value[0])) < 0.1 + 5 * float(certificate.miss.stderr[0])
    assert certificate.efficiency.value > 0.4
    assert certificate.work.value > certificate.bound.value
