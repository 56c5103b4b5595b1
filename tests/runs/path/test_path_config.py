"""Run files of Path Guidance: what is read, what is refused, and how that is said."""

from pathlib import Path

import pytest

from leastwork.errors import ConfigError
from leastwork.runs.load import dump_config, load_config
from leastwork.runs.path.config import PathConfig
from leastwork.runs.path.regions import BallConfig

MINIMAL = "model: muller-brown\nguides: {csv: points.csv}\nregion: {kind: ball, centre: [0, 1], radius: 0.5}\n"


def load(tmp_path: Path, text: str, *overrides: str) -> PathConfig:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    config = load_config(file, overrides)
    assert isinstance(config, PathConfig)
    return config


def test_guides_make_a_path_run_with_defaults_of_its_own(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL)
    assert (config.name, config.method, config.success, config.certificate_samples) == (
        "mine",
        "least-work",
        0.99,
        None,
    )
    assert (config.sampling.steps, config.sampling.t_grid) == (100, None)
    assert config.region == BallConfig(kind="ball", centre=(0.0, 1.0), radius=0.5)
    assert config.bandwidth is None


@pytest.mark.parametrize(
    "override",
    [
        "region={kind: interval, index: 1, lower: 0.5}",
        "region={kind: python, file: mine.py, function: inside}",
        "region=~",
        "guides={npy: points.npy}",
        "sampling.t_grid=[1, 0.1]",
        "bandwidth=0.2",
    ],
)
def test_a_dumped_run_is_read_back(override: str, tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL, override)
    assert load(tmp_path, dump_config(config)) == config


def test_paths_are_relative_to_the_run_file(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    config = load(tmp_path, MINIMAL, "model=net", "region={kind: python, file: r.py, function: f}")
    assert config.model == str(tmp_path / "net")
    assert config.guides.csv == tmp_path / "points.csv"
    assert config.region.file == tmp_path / "r.py"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "observables=[{kind: component}]",
            "both 'observables' and 'guides': a run has data or structures, leave out one of them",
        ),
        ("guides=points.csv", "'guides' is 'points.csv': give csv: FILE with one structure a row, or npy: FILE"),
        ("guides={csv: a, npy: b}", "'guides' is {'csv': 'a', 'npy': 'b'}: give csv: FILE"),
        ("guides={}", "'guides' is {}: give csv: FILE"),
        ("guides={cvs: a}", "unknown key 'cvs' in 'guides': did you mean 'csv'?"),
        ("region.kind=bal", "'region' is of kind 'bal': did you mean 'ball'?"),
        ("region={radius: 1}", "'region' needs a kind: known are ball, interval, python, given, chignolin-transition"),
        ("region=3", "'region' is 3: give a kind of region with its keys"),
        ("region.radius=0", "'radius' in 'region' is 0: give a distance in data units, above 0"),
        ("region.radius=~", "'radius' in 'region' is None: give a distance"),
        ("region.centre=[]", r"'centre' in 'region' is \[\]: give a list of numbers"),
        ("region.centre=[0, x]", "entry 2 of 'centre' in 'centre' is 'x'|entry 2 of 'centre' in 'region' is 'x'"),
        ("region.centr=[0, 1]", "unknown key 'centr' in 'region': did you mean 'centre'?"),
        (
            "method=scheduled",
            "'method' is 'scheduled': give a method, one of 'least-work', 'transported', 'loss'",
        ),
        ("success=1", "'success' is 1: give the share of the samples"),
        ("bandwidth=0", "'bandwidth' is 0: give the width of the guides' kernel"),
        ("fit.iterations=3", "unknown key 'iterations' in 'fit': known are samples, budget, gamma"),
        (
            "system=prins",
            "'system' is 'prins': give a system of which something is known, known are ala5, chignolin, moons, muller-",
        ),
        ("sampling.stepz=5", "unknown key 'stepz' in 'sampling': did you mean 'steps'?"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, MINIMAL, override)
    assert "\n" not in str(caught.value)


def test_a_run_that_nothing_guides_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing guides the model: give .*observables and data, or guides"):
        load(tmp_path, "model: moons\nguide: {csv: points.csv}\n")
