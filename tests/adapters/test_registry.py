"""Adapters by name: settings are checked before anything is imported, and any package can add an adapter."""

from dataclasses import dataclass
from pathlib import Path

import pytest

import leastwork as lw
from leastwork.adapters import ModelSettings, key, register_adapter
from leastwork.adapters import registry as adapters
from leastwork.adapters.registry import adapter_names, settings_from
from leastwork.adapters.source import source_of
from leastwork.systems.mixtures import two_states

OWN = {"adapter": "network", "python": "net.py", "event_shape": [2], "predicts": "noise"}


@dataclass(frozen=True, kw_only=True)
class StatesSettings(ModelSettings):
    """Two states, from nothing."""

    separation: float = key("the distance of the states, above 0", gt=0)
    weights: Path | None = key("a file", default=None)

    def build(self) -> lw.DiffusionModel:
        return two_states(1, (0.5, 0.5), separation=self.separation, std=0.3).model(lw.VPSchedule())


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "_REGISTERED", {})
    register_adapter("states", StatesSettings)


@pytest.mark.usefixtures("states")
def test_a_registered_adapter_is_known_everywhere() -> None:
    assert "states" in adapter_names()
    assert lw.load_model({"adapter": "states", "separation": 2}).event_shape == (1,)
    settings = settings_from({"adapter": "states", "separation": 2, "weights": "w.safetensors"})
    assert settings.plain() == {"adapter": "states", "separation": 2.0, "weights": "w.safetensors"}
    assert settings.anchored(Path("/home")).plain()["weights"] == "/home/w.safetensors"


@pytest.mark.usefixtures("states")
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, r"names no adapter: write adapter: NAME, one of azula, bioemu, .*, or python: FILE"),
        ({"adapter": 3}, "has adapter 3"),
        ({"adapter": "bioemuu"}, "no adapter 'bioemuu': did you mean 'bioemu'"),
        ({"adapter": "xx"}, "no adapter 'xx': known are azula, bioemu, diffusers"),
        ({"adapter": "boltz", "checkpoint": "c.ckpt"}, r"boltz has no keys.*ends in model = from_boltz\(…\)"),
        ({"adapter": "bioemu2"}, "bioemu2 has no keys, since its package has to load the network .*python: FILE.py"),
        ({"adapter": "states", "separation": 1, "separaton": 1}, "unknown key 'separaton' in 'model': did you mean"),
        ({"adapter": "states", "separation": 1, "zz": 1}, "unknown key 'zz' in 'model': known are separation, weights"),
        ({"adapter": "states"}, "'separation' is missing in 'model' with adapter states: give the distance"),
        ({"adapter": "states", "separation": -1}, "'separation' in 'model' is -1: give the distance of the states"),
        ({**OWN, "predicts": "nois"}, "'nois': give what the network predicts, one of 'score', 'noise'"),
        ({**OWN, "time": [0]}, "'time' in 'model'"),
        ({"adapter": "bioemu", "sequence": "AXA"}, "residue 2 of the sequence is 'X'"),
        ({"python": "a.py", "files": ["../b"]}, "is not in the folder of a.py"),
    ],
)
def test_what_is_wrong_with_settings_is_said_in_one_sentence(given: dict[str, object], words: str) -> None:
    with pytest.raises(lw.ConfigError, match=words) as found:
        lw.load_model(given)
    assert "\n" not in str(found.value)


def test_an_adapter_that_is_none_is_refused() -> None:
    with pytest.raises(lw.LeastworkError, match="derived from ModelSettings"):
        register_adapter("number", int)  # type: ignore[arg-type]  (what is tested)


def test_an_entry_point_adds_an_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        name = "states"

        @staticmethod
        def load() -> type[ModelSettings]:
            return StatesSettings

    def found(group: str, name: str = "states") -> list[type[Entry]]:
        return [Entry] if (group, name) == ("leastwork.adapters", "states") else []

    monkeypatch.setattr(adapters, "entry_points", found)
    assert settings_from({"adapter": "states", "separation": 1.0}) == StatesSettings(adapter="states", separation=1.0)
    assert "states" in adapter_names()


def test_settings_are_checked_without_a_package_or_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(package: str) -> None:
        raise AssertionError(f"{package} was imported")

    monkeypatch.setattr("leastwork.support.extras.import_module", asked)
    own = {"python": "nowhere.py", "event_shape": [2]}
    for given in (
        {"adapter": "azula", **own},
        {"adapter": "bioemu", "sequence": "YYDPETGTWY", "checkpoint": "nowhere"},
        {"adapter": "diffusers", "path": "nowhere"},
        {"adapter": "flow_matching", "scheduler": "CondOTScheduler", **own},
        {"adapter": "torchcfm", "matcher": "ConditionalFlowMatcher", "sigma": 0.1, **own},
    ):
        assert settings_from(given).adapter == given["adapter"]


@pytest.mark.parametrize(
    ("given", "extra"),
    [
        ({"adapter": "azula"}, "azula"),
        ({"adapter": "torchcfm"}, "torchcfm"),
        ({"adapter": "flow_matching", "scheduler": "CondOTScheduler"}, "flow-matching"),
    ],
)
def test_a_missing_package_is_told_with_its_extra(
    given: dict[str, object], extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(package: str) -> None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr("leastwork.support.extras.import_module", missing)
    (tmp_path / "net.py").write_text("import a_package_that_nobody_has\n")
    with pytest.raises(lw.ConfigError, match=rf"pip install 'leastwork\[{extra}\]'"):
        lw.load_model({**given, "python": tmp_path / "net.py", "event_shape": [2]})


def test_a_bundled_name_wins_over_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = lw.load_model("moons")
    lw.save_model(other, tmp_path / "prinz")
    monkeypatch.chdir(tmp_path)
    with pytest.warns(lw.LeastworkWarning, match=r"prinz is a bundled model, which is taken, and a folder .*\./prinz"):
        assert lw.load_model("prinz").event_shape == (1,)
    for folder in ("./prinz", Path("prinz"), str(tmp_path / "prinz")):
        assert lw.load_model(folder).event_shape == (2,)
    seen = source_of("./prinz").with_paths(lambda _, path: path)  # a bare name would be that of the bundled model
    assert seen.plain() == "./prinz"
    assert lw.load_model(Path("moons")).event_shape == (2,)  # no such folder: the bundled model


def test_a_network_is_for_a_folder_alone() -> None:
    with pytest.raises(lw.ConfigError, match="net= is for a folder"):
        lw.load_model(OWN, net=lw.load_model("prinz").net)
