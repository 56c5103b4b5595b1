"""Cases and kinds of strangers: known to run files by a name, without a change of the package."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor

from leastwork.errors import ConfigError, LeastworkError
from leastwork.geometry.state import EventShape
from leastwork.observables import Observable
from leastwork.report.blocks import Section
from leastwork.runs.base import cases
from leastwork.runs.base.cases import Case, all_cases, case, find_case, register_case
from leastwork.runs.base.finished import Finished, read_metrics
from leastwork.runs.base.kinds import ObservableKind, RegionKind
from leastwork.runs.carry_out import run
from leastwork.runs.load import dump_config, load_config
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.inputs import build_inputs
from leastwork.runs.observables.kinds import register_kind
from leastwork.runs.page import write_report
from leastwork.runs.path.config import PathConfig
from leastwork.runs.path.inputs import build_path_inputs
from leastwork.runs.path.regions import BallConfig


@pytest.fixture(autouse=True)
def _no_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test registers its own."""
    monkeypatch.setattr(cases, "_REGISTERED", {})


def spread() -> Observable:
    return Observable(lambda x: x[:, 0] - x[:, 1], ("spread",))


class HalfPlane(RegionKind):
    kind: Literal["toy-half"]
    above: float = 1.0

    def build(self, event_shape: EventShape) -> "Half":
        return Half(self.above)


class Half:
    definition = "A = {x: x_1 is large}"

    def __init__(self, above: float) -> None:
        self.above = above

    def __call__(self, x: Tensor) -> Tensor:
        return x[:, 0] > self.above


class Truth:
    source = "a guess"
    log_probability = -1.5

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, 2, generator=generator, dtype=torch.float64)


def toy_sections(finished: Finished) -> list[Section]:
    return [Section("A toy", [f"seed {finished.config.seed}"])]


TOY = Case(
    event_shape=(2,),
    observables={"spread": spread, "first": lambda: Observable(lambda x: x[:, 0], ("first",))},
    region_kinds=(HalfPlane,),
    region_truth=lambda region: Truth(),
    part=toy_sections,
)


def average_run(folder: Path, observable: str, name: str) -> Path:
    (folder / "mine.yaml").write_text(
        f"model: net\nobservables: [{observable}]\ndata: [{{name: {name}, value: 0.1, error: 0.02}}]\n"
    )
    return folder / "mine.yaml"


@pytest.mark.usefixtures("blank_pages")
def test_a_strangers_case_has_its_region_its_truth_and_its_sections(
    tmp_path: Path, path_case: Callable[[Path], Path], text_of: Callable[[Path], str]
) -> None:
    register_case("toy", TOY)
    config = load_config(path_case(tmp_path), ["system=toy", "region={kind: toy-half, above: 1.4}"])
    assert isinstance(config, PathConfig)
    assert config.region == HalfPlane(kind="toy-half", above=1.4)
    run(config, tmp_path / "out")
    found = read_metrics(tmp_path / "out")
    assert found["free_energy"]["exact"]["value"] == 1.5
    assert found["free_energy"]["region"] == Half.definition
    text = text_of(write_report(tmp_path / "out"))
    assert "A toy" in text
    assert "a guess" in text


def test_a_strangers_quantities_are_observables(tmp_path: Path, path_case: Callable[[Path], Path]) -> None:
    register_case("toy", TOY)
    path_case(tmp_path)
    config = load_config(average_run(tmp_path, "{kind: toy}", "spread"), ["system=toy"])
    assert isinstance(config, RunConfig)
    assert "quantity: spread" in dump_config(config)
    assert build_inputs(config).data.observable(torch.tensor([[3.0, 1.0]])).tolist() == [[2.0]]
    with pytest.raises(
        ConfigError, match=r"'quantity' in entry 1 .* is 'x': give a quantity, one of 'spread', 'first'"
    ):
        load_config(average_run(tmp_path, "{kind: toy, quantity: x}", "spread"))


def test_a_model_of_other_states_is_refused(tmp_path: Path, path_case: Callable[[Path], Path]) -> None:
    register_case("toy", Case(event_shape=(3,)))
    config = load_config(path_case(tmp_path), ["system=toy"])
    assert isinstance(config, PathConfig)
    with pytest.raises(ConfigError, match=r"system toy has events \(3,\), but model .*\(2,\): leave out system"):
        build_path_inputs(config)


def test_a_case_of_which_nothing_is_known_is_a_case(tmp_path: Path, path_case: Callable[[Path], Path]) -> None:
    register_case("toy", Case())
    config = load_config(path_case(tmp_path), ["system=toy"])
    assert isinstance(config, PathConfig)
    assert build_path_inputs(config).region is not None
    with pytest.raises(ConfigError, match="is of kind 'toy': known are component"):
        load_config(average_run(tmp_path, "{kind: toy}", "spread"))


def test_an_unknown_case_lists_the_known() -> None:
    register_case("toy", TOY)
    with pytest.raises(
        ConfigError, match=r"^there is no system 'tot': known are ala5, chignolin, moons, muller-brown, prinz, toy$"
    ):
        case("tot")
    assert find_case("tot") is None


def test_a_registered_case_stands_in_for_any_other() -> None:
    assert case("prinz").density is not None
    register_case("prinz", TOY)
    assert case("prinz") is TOY
    assert all_cases()["prinz"] is TOY


@dataclass(frozen=True)
class Entry:
    name: str
    value: object

    def load(self) -> object:
        return self.value


def test_an_entry_point_is_a_case(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [Entry("toy", TOY), Entry("wrong", 3)]
    monkeypatch.setattr(
        cases, "entry_points", lambda group, name=None: [one for one in entries if name in (None, one.name)]
    )
    assert case("toy") is TOY
    with pytest.raises(ConfigError, match=r"entry point 'wrong' of group 'leastwork\.cases' is a int and no Case"):
        case("wrong")


def test_a_strangers_kind_stands_in_a_run_file(tmp_path: Path, path_case: Callable[[Path], Path]) -> None:
    path_case(tmp_path)

    @register_kind
    class Power(ObservableKind):
        kind: Literal["test-power"]
        power: int

        def build(self, event_shape: EventShape) -> Observable:
            return Observable(lambda x: x[:, 0] ** self.power, ("power",))

    config = load_config(average_run(tmp_path, "{kind: test-power, power: 3}", "power"))
    assert isinstance(config, RunConfig)
    assert config.observables == (Power(kind="test-power", power=3),)
    assert build_inputs(config).data.observable(torch.tensor([[2.0, 0.0]])).tolist() == [[8.0]]
    (tmp_path / "again.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "again.yaml") == config
    with pytest.raises(ConfigError, match="unknown key 'pwer' in entry 1 of 'observables': did you mean 'power'"):
        load_config(average_run(tmp_path, "{kind: test-power, power: 3, pwer: 1}", "power"))
    with pytest.raises(ConfigError, match="entry 1 of 'observables' is of kind 'test-powr': did you mean 'test-power'"):
        load_config(average_run(tmp_path, "{kind: test-powr, power: 3}", "power"))


def test_what_is_no_kind_is_refused() -> None:
    class Nameless(ObservableKind):
        pass

    class Taken(ObservableKind):
        kind: Literal["component"]

    with pytest.raises(LeastworkError, match="Nameless has no name: give it a field kind"):
        register_kind(Nameless)
    with pytest.raises(LeastworkError, match="'component' is a kind that comes with leastwork: give Taken another"):
        register_kind(Taken)
    with pytest.raises(LeastworkError, match="is no kind for a run file: make it a class of ObservableKind"):
        register_kind(BallConfig)  # type: ignore[type-var]  # it is a kind of region
