"""Saved guidances: the same h after loading, and what is refused."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from leastwork.errors import ConfigError, LeastworkError
from leastwork.geometry.state import State, smap
from leastwork.guidance.base import Composable, Find, Guidance, Parts, register
from leastwork.guidance.files import load_guidance, save_guidance
from leastwork.guidance.scheduled import ScheduledGuidance
from leastwork.models.units import Affine
from leastwork.observables import Observable, component, stack

X = component(0, "x")
BOTH = stack(component(0, "x"), component(1, "y"))


def scheduled(observable: Observable = X, **options) -> ScheduledGuidance:
    lambdas = torch.linspace(0.1, 0.3, observable.count, dtype=torch.float64)
    return ScheduledGuidance(observable, lambdas, 1 / 3, 2.0, **options)


def same(a: Guidance, b: Guidance) -> bool:
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    return torch.equal(a(x, 0.4, 0.5 * x), b(x, 0.4, 0.5 * x))


@pytest.mark.parametrize(
    "guidance",
    [
        scheduled(),
        scheduled(to_data=Affine(0.25, torch.tensor([0.5, 2.0]))),
        0.7 * scheduled(),
        scheduled() + 0.5 * scheduled(),
    ],
)
def test_round_trip_is_exact(guidance: Guidance, tmp_path: Path) -> None:
    save_guidance(guidance, tmp_path / "g")
    loaded = load_guidance(tmp_path / "g", X)
    assert type(loaded) is type(guidance)
    assert same(loaded, guidance)
    assert sorted(file.name for file in (tmp_path / "g").iterdir()) == ["guidance.json", "guidance.safetensors"]


def test_a_sum_finds_each_observable_by_its_names(tmp_path: Path) -> None:
    guidance = scheduled() + scheduled(BOTH)
    save_guidance(guidance, tmp_path)
    assert same(load_guidance(tmp_path, [BOTH, X]), guidance)


def test_fitted_parameters_are_stored_without_their_graph(tmp_path: Path) -> None:
    guidance = ScheduledGuidance(X, torch.tensor([0.2]), torch.tensor(1.5, requires_grad=True), 1.0)
    save_guidance(guidance, tmp_path)
    loaded = load_guidance(tmp_path, X)
    assert isinstance(loaded, ScheduledGuidance)
    assert isinstance(loaded.strength, torch.Tensor)
    assert not loaded.strength.requires_grad


def test_the_observable_must_be_given_and_fit(tmp_path: Path) -> None:
    save_guidance(scheduled(), tmp_path)
    with pytest.raises(ConfigError, match=r"steers \('x',\): pass the observable"):
        load_guidance(tmp_path)
    with pytest.raises(ConfigError, match=r"steers \('x',\), not \('y',\)"):
        load_guidance(tmp_path, component(1, "y"))


def test_a_guidance_without_file_form_is_refused(tmp_path: Path) -> None:
    class Mine:
        through_network = False

        def __call__(self, x, t, denoised):
            return x

    with pytest.raises(ConfigError, match="Mine has no file form"):
        save_guidance(scheduled() + Mine(), tmp_path / "g")
    assert not (tmp_path / "g").exists()


def test_damaged_files_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is missing"):
        load_guidance(tmp_path, X)
    save_guidance(scheduled(), tmp_path)
    tensors, described = tmp_path / "guidance.safetensors", tmp_path / "guidance.json"
    whole = tensors.read_bytes()
    tensors.write_bytes(whole[:10])
    with pytest.raises(ConfigError, match="is damaged"):
        load_guidance(tmp_path, X)
    tensors.write_bytes(whole)
    text = described.read_text()
    described.write_text(text.replace('"scheduled"', '"later"'))
    with pytest.raises(ConfigError, match="its checksum is another"):
        load_guidance(tmp_path, X)
    text = json.dumps({key: value for key, value in json.loads(text).items() if key != "sha256"})
    described.write_text(text.replace('"scheduled"', '"later"'))
    with pytest.raises(ConfigError, match="'later' is not known"):
        load_guidance(tmp_path, X)
    described.write_text(text.replace('"strength"', '"wrong"'))
    with pytest.raises(ConfigError, match="not complete"):
        load_guidance(tmp_path, X)
    described.write_text("{")
    with pytest.raises(ConfigError, match="is damaged"):
        load_guidance(tmp_path, X)


@register("towards a point")
@dataclass(frozen=True)
class TowardsAPoint(Composable):
    """A guidance term of somebody else, all in one place."""

    point: torch.Tensor
    pull: float
    through_network = False

    def __call__(self, x: State, t: float, denoised: State) -> State:
        return smap(lambda leaf: self.pull * (self.point - leaf), denoised)

    def parts(self) -> Parts:
        return {"point": self.point, "pull": self.pull}

    @classmethod
    def from_parts(cls, parts: Parts, find: Find) -> "TowardsAPoint":
        return cls(**parts)


def test_a_term_of_ones_own_is_saved_by_its_class_alone(tmp_path: Path) -> None:
    guidance = 0.5 * TowardsAPoint(torch.tensor([1.0, -2.0]), 0.3) + scheduled()
    save_guidance(guidance, tmp_path)
    assert same(load_guidance(tmp_path, X), guidance)


def test_a_name_in_files_belongs_to_one_class() -> None:
    with pytest.raises(LeastworkError, match="'towards a point' is TowardsAPoint already"):
        register("towards a point")(ScheduledGuidance)


def test_the_parts_keep_their_names_on_disk(tmp_path: Path) -> None:
    save_guidance(0.7 * scheduled(), tmp_path)
    described = json.loads((tmp_path / "guidance.json").read_text())
    assert described["kind"] == "scaled"
    assert list(described["parts"]) == ["guidance", "factor"]
    inner = described["parts"]["guidance"]
    assert inner["kind"] == "scheduled"
    assert list(inner["parts"]) == ["names", "lambdas", "strength", "decay", "jacobian", "shift", "scale"]
