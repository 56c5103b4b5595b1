"""Run files of joint runs: which runs they name, how settings reach them, and how what is wrong is said."""

from pathlib import Path

import pytest

from leastwork.errors import ConfigError
from leastwork.runs.base.settings import JointConfig
from leastwork.runs.load import dump_config, load_config
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.path.config import PathConfig

BOTH = "description: Two modes\nruns: {well: prinz, saddle: sub/mine.yaml}\n"
MINE = "model: muller-brown\nguides: {csv: guides.csv}\nmethod: loss\n"


def load(tmp_path: Path, text: str, *overrides: str) -> JointConfig:
    (tmp_path / "sub").mkdir(exist_ok=True)
    (tmp_path / "sub" / "mine.yaml").write_text(MINE)
    file = tmp_path / "both.yaml"
    file.write_text(text)
    config = load_config(file, overrides)
    assert isinstance(config, JointConfig)
    return config


def test_parts_are_bundled_runs_or_files_beside_it(tmp_path: Path) -> None:
    config = load(tmp_path, BOTH)
    assert (config.name, config.description, list(config.parts)) == ("both", "Two modes", ["well", "saddle"])
    assert config.parts["well"] == load_config("prinz")
    saddle = config.parts["saddle"]
    assert isinstance(saddle, PathConfig)
    assert (saddle.name, saddle.guides.csv) == ("mine", tmp_path / "sub" / "guides.csv")


def test_the_bundled_joint_run_is_of_both_modes() -> None:
    config = load_config("chignolin")
    assert isinstance(config, JointConfig)
    assert {part: type(one) for part, one in config.parts.items()} == {"stability": RunConfig, "transition": PathConfig}


def test_settings_go_to_all_parts_or_to_the_one_they_name(tmp_path: Path) -> None:
    config = load(
        tmp_path, BOTH, "seed=3", "saddle.seed=4", "sampling.n=500", "well.data.0.value=0.2", "name=two", "model=moons"
    )
    well, saddle = config.parts["well"], config.parts["saddle"]
    assert config.name == "two"
    assert (well.name, saddle.name) == ("prinz", "mine")  # a name of the whole is not one of its parts
    assert (well.seed, saddle.seed) == (3, 4)
    assert (well.sampling.n, saddle.sampling.n) == (500, 500)
    assert (well.model, saddle.model) == ("moons", "moons")
    assert well.data.root[0].value == 0.2  # type: ignore[union-attr]


def test_the_last_setting_counts_whomever_it_names(tmp_path: Path) -> None:
    config = load(tmp_path, BOTH, "saddle.seed=4", "seed=3", "runs.well=moons")
    assert [one.seed for one in config.parts.values()] == [3, 3]
    assert isinstance(config.parts["well"], PathConfig)


def test_a_joint_run_is_read_back_from_its_folder(tmp_path: Path) -> None:
    config = load(tmp_path, BOTH, "well.sampling.steps=7")
    out = tmp_path / "out"
    for part, one in config.parts.items():
        (out / part).mkdir(parents=True)
        (out / part / "config.yaml").write_text(dump_config(one))
    (out / "config.yaml").write_text(dump_config(config))
    assert load_config(out / "config.yaml") == config


def test_parts_may_be_numbers(tmp_path: Path) -> None:
    assert list(load(tmp_path, "runs: {1: prinz, 2: moons}\n").parts) == ["1", "2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("runs: {well: prinz}\n", r"'runs' is \{'well': 'prinz'\}: give two parts or more"),
        ("runs: {a/b: prinz, c: moons}\n", "each a name without slashes and dots"),
        ("runs: {.: prinz, c: moons}\n", "each a name without slashes and dots"),
        ("runs: {'': prinz, c: moons}\n", "each a name without slashes and dots"),
        ("runs: {a: [prinz], c: moons}\n", "and a bundled run's name or a run file"),
        ("runs: [prinz, moons]\n", "give two parts or more"),
        ("runs: ~\n", "'runs' is None: give two parts or more"),
        ("runs: {a: prins, b: moons}\n", "part 'a': no run 'prins': did you mean 'prinz'"),
        ("runs: {a: prinz, b: none.yaml}\n", "part 'b': none.yaml: there is no such file"),
        ("runs: {a: prinz, b: both.yaml}\n", "part 'b': both.yaml is a joint run itself: name the runs"),
        ("runs: {a: prinz, b: chignolin}\n", "part 'b': chignolin.yaml is a joint run itself"),
        (BOTH + "model: prinz\n", "unknown key 'model' at the top: known are name, description, runs"),
        (BOTH + "name: a/b\n", "'name' is 'a/b': give a name for the run, without slashes"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("well=prinz", "--set well=prinz: 'well' is a part, name one of its settings, as in well.sampling.n=500"),
        ("wel.seed=1", "--set wel.seed=1: no part or setting 'wel': did you mean 'well'"),
        ("sead=1", "--set sead=1: no part or setting 'sead': did you mean 'seed'"),
        ("well.sead=1", "part 'well': prinz.yaml: unknown key 'sead' at the top: did you mean 'seed'"),
        ("well.data.9.value=1", "part 'well': --set data.9.value=1: '9' is no entry of this list"),
        ("well.seed", "part 'well': --set seed: write key=value"),
        ("seed", "--set seed: write key=value"),
        ("success=0.5", "part 'well': prinz.yaml: unknown key 'success'"),
        ("runs.well=7", "give two parts or more"),
    ],
)
def test_settings_that_reach_nothing(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, BOTH, override)
    assert "\n" not in str(caught.value)


def test_each_wrong_key_of_a_part_has_a_sentence_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, BOTH, "saddle.a=1", "saddle.b=1")
    first, second = str(caught.value).splitlines()
    assert first.startswith("part 'saddle': mine.yaml: unknown key 'a'")
    assert second.startswith("part 'saddle': mine.yaml: unknown key 'b'")


def test_a_single_run_does_not_become_a_joint_one() -> None:
    with pytest.raises(ConfigError, match="unknown key 'runs'"):
        load_config("prinz", ["runs.a=moons"])


def test_what_is_refused_is_quoted_in_part(tmp_path: Path) -> None:
    for setting in (f"{'x' * 5000}=1", f"seed={'9' * 5000}", f"saddle.{'y' * 5000}=1", f"saddle={'z' * 5000}"):
        with pytest.raises(ConfigError) as error:
            load(tmp_path, BOTH, setting)
        assert max(map(len, str(error.value).splitlines())) < 600
