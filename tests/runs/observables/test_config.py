"""Run files: what is read, what is refused, and how that is said."""

from pathlib import Path

import pytest

from leastwork.errors import ConfigError
from leastwork.runs.base.file import bundled_runs
from leastwork.runs.base.settings import JointConfig
from leastwork.runs.load import dump_config, load_config
from leastwork.runs.observables.config import RunConfig

MINIMAL = """\
model: prinz
observables: [{kind: component, name: x}]
data: [{name: x, value: 0.1, error: 0}]
"""


def load(tmp_path: Path, text: str, *overrides: str) -> RunConfig:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    return load_config(file, overrides)


def test_a_minimal_run_takes_its_name_from_the_file(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL)
    assert (config.name, config.method, config.sampling.steps) == ("mine", "least-work", 100)


@pytest.mark.parametrize("name", bundled_runs())
def test_bundled_runs_are_valid_and_round_trip(name: str, tmp_path: Path) -> None:
    config = load_config(name)
    assert config.name == name
    for one in config.parts.values() if isinstance(config, JointConfig) else [config]:
        assert load(tmp_path, dump_config(one)) == one


def test_overrides_are_yaml_at_dotted_keys(tmp_path: Path) -> None:
    config = load(
        tmp_path, MINIMAL, "sampling.steps=7", "data.0.value=-2e-1", "method=reweight", "sampling.t_grid=[1, 0.1]"
    )
    assert config.sampling.steps == 7
    assert config.data.root[0].value == -0.2  # type: ignore[union-attr]
    assert config.method == "reweight"
    assert config.sampling.t_grid == (1.0, 0.1)


@pytest.mark.parametrize("method", ["adjoint-matching", "trust-region"])
def test_a_method_that_cannot_use_multistep_steps_has_its_own(method: str, tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL, f"method={method}", "sampling.steps=7")
    assert (config.sampling.solver, config.sampling.steps) == ("exponential", 7)
    assert load(tmp_path, dump_config(config)) == config
    assert load(tmp_path, MINIMAL, f"method={method}", "sampling.solver=euler").sampling.solver == "euler"
    assert load(tmp_path, MINIMAL, "method=loss").sampling.solver == "multistep"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sampling.stepz=5", "unknown key 'stepz' in 'sampling': did you mean 'steps'?"),
        ("modle=prinz", "unknown key 'modle' at the top: did you mean 'model'?"),
        ("data.0.valeu=1", "unknown key 'valeu' in entry 1 of 'data': did you mean 'value'?"),
        ("observables.0.indx=1", "unknown key 'indx' in entry 1 of 'observables': did you mean 'index'?"),
        ("observables.0.kind=componant", "entry 1 of 'observables' is of kind 'componant': did you mean 'component'?"),
        (
            "observables.0={name: x}",
            "entry 1 of 'observables' needs a kind: known are component, smooth_interval, angles, python, "
            "distances, end_to_end, radius_of_gyration, torsions, native_contacts, rmsd, saxs, fret, deer, pre, rdc, "
            "population, ratio, attenuation, uptake, linear_model, function, hdx, command, chignolin",
        ),
        ("method=least", "'method' is 'least': give a method, one of 'least-work', 'scheduled', 'loss'"),
        ("sampling.steps=0", "'steps' in 'sampling' is 0: give the number of steps, at least 1"),
        ("sampling.steps=many", "'steps' in 'sampling' is 'many': give the number of steps"),
        (
            "sampling.t_grid=cosine",
            "'t_grid' in 'sampling' is 'cosine': give 'signal', 'uniform', 'log-snr', 'balanced', 'karras', or a list",
        ),
        ("sampling=3", "'sampling' is 3: give settings, as keys and values"),
        ("data.0.value=.nan", "'value' in entry 1 of 'data' is nan: give a finite number"),
        ("data.0.value=no", "'value' in entry 1 of 'data' is 'false': give a finite number"),
        ("data.0.error=-1", "'error' in entry 1 of 'data' is -1: give a standard error, or 0 for exact"),
        ("data=[{value: 1}]", "'name' is missing in entry 1 of 'data': give the name of an observable"),
        ("data={csv: a.csv, cvs: b.csv}", "unknown key 'cvs' in 'data': did you mean 'csv'?"),
        ("observables=[]", r"'observables' is \[\]: give a list of at least one observable"),
        ("name=a/b", "'name' is 'a/b': give a name for the run, without slashes"),
        (
            "system=prins",
            "'system' is 'prins': give a system of which something is known, known are ala5, chignolin, moons, muller-",
        ),
        (
            "observables.0={kind: chignolim}",
            "entry 1 of 'observables' is of kind 'chignolim': did you mean 'chignolin'?",
        ),
        (
            "observables.0={kind: chignolin, quantity: R}",
            "'quantity' in entry 1 of 'observables' is 'R': give a quantity, one of 'folded', 'Q', 'contacts'",
        ),
        ("observables.0={kind: fret, pairs: [[0, 9]], radius: 54}", "'radius' .* is 54: give the Förster radius in nm"),
        (
            "observables.0={kind: pre, pairs: [[0, 9]], correlation_time: 4.0e-9}",
            "'correlation_time' .* is 4e-09: give the correlation time in ns",
        ),
        (
            "observables.0={kind: pre, pairs: [[0, 9]], correlation_time: 4, larmor: 6.0e+8}",
            "'larmor' .* give the frequency of the protons in MHz",
        ),
        ("steps", "--set steps: write key=value"),
        ("seed.x=1", "--set seed.x=1: there is nothing inside of 0"),
        ("data.3.value=1", "--set data.3.value=1: '3' is no entry of this list, give a number from 0 to 0"),
        ("seed={", "the value is not YAML"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, MINIMAL + "seed: 0\n", override)
    assert "\n" not in str(caught.value)


def test_each_wrong_key_has_a_sentence_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, MINIMAL + "foo: 1\nseed: -1\n")
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", r"mine.yaml, line 2 is not YAML"),
        ("- 1", "holds no keys and values"),
        ("", "holds no keys and values"),
        ("a: \0", "is not YAML"),
    ],
)
def test_files_that_are_no_runs(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, text + "\n")


def test_unknown_names_suggest_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run 'prins': did you mean 'prinz'"):
        load_config("prins")
    with pytest.raises(ConfigError, match="there is no such file"):
        load_config(tmp_path / "none.yaml")


def test_paths_are_relative_to_the_run_file(tmp_path: Path) -> None:
    text = "model: net\nobservables: [{kind: python, file: f.py, function: f}]\ndata: {csv: d.csv}\n"
    (tmp_path / "net").mkdir()
    config = load(tmp_path, text)
    assert config.model == str(tmp_path / "net")
    assert config.observables[0].file == tmp_path / "f.py"  # type: ignore[union-attr]
    assert config.data.csv == tmp_path / "d.csv"  # type: ignore[union-attr]
