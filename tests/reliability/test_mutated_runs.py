"""Run files that are cut, flipped, spliced or filled with impossible values: each is a run, or ends in a sentence."""

import random
import time
import tracemalloc
from pathlib import Path

import pytest
from mutations import Spot, mutated

from leastwork.errors import LeastworkError
from leastwork.runs.base.file import bundled_runs, find
from leastwork.runs.load import dump_config, load_config

TEXTS = [find(name).read_bytes() for name in bundled_runs()]
TEXTS += [
    b"model: prinz\nobservables: [{kind: component, name: x}]\ndata: [{name: x, value: 0.1, error: 0.1}]\n",
    b"model: moons\nguides: guides.csv\nregion: {kind: ball, radius: 0.5}\nsampling: {n: 100, steps: 50}\nseed: 3\n",
]
VALUES = [
    "2001-99-99", "2001-01-01", "!!bool maybe", "!!int ''", "!!float a", "!!timestamp x", "!!binary x", "!!set {a}",
    "!!omap [a: 1]", "!!python/object:os.system {}", "!x", "9" * 5000, "1" + "0" * 90, "-1", "1e999", ".nan", "-.inf",
    "0x" + "f" * 5000, "1:" * 40 + "1", "[" * 3000 + "]" * 3000, "{a: " * 3000, "&a [*a]", "&a {b: *a}", "*nowhere",
    "{<<: 3}", "{<<: [1]}", "{<<: {n: 1}}", "\t", "\0", "\ufeff", '"\\ud800"', '"\\U99999999"', "null", "~", "on",
    "''", "[]", "{}", "[[]]", "{1: 2}", "{[1]: 2}", "{? [1] : 2}", "|\n  x", ">-\n  x", "- - - 1", "%YAML 9.9", "--- a",
    "x" * 100_000, "../../../etc/passwd", "/", "a\\0b", "١٢", "1_000", "0o17", "017", "=", "{=: 1}", "!!int {=: =}",
]  # fmt: skip
LEVELS = "".join(f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True))
BOMB = f"a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n{LEVELS}"


def of_runs(case: int, spot: Spot, chance: random.Random) -> bytes:
    """A part of another file, a sign of YAML, or an impossible value."""
    match case:
        case 0:
            return spot.text[: spot.at] + chance.choice(TEXTS)[: spot.end - spot.at] + spot.text[spot.end :]
        case 1:
            sign = chance.choice(b": - [ ] { } & * ! | > ' \" % @ # , ? \t \n".split(b" "))
            return spot.text[: spot.at] + sign + spot.text[spot.at :]
        case _:
            key = spot.lines[spot.line].partition(b":")[0]
            spot.lines[spot.line] = key + b": " + chance.choice(VALUES).encode("utf-8", "surrogatepass")
            return b"\n".join(spot.lines)


def check(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    begin = time.perf_counter()
    try:
        dump_config(load_config(path))
    except LeastworkError as error:
        longest = max(map(len, str(error).splitlines()))
        assert longest < 1000 + len(str(path)), text
    assert time.perf_counter() - begin < 20, text


def check_many(folder: Path, count: int, seed: int) -> None:
    chance = random.Random(seed)
    for k in range(count):
        text = mutated(chance.choice(TEXTS), chance, of_runs, cases=4)
        try:
            check(folder / "r.yaml", text)
        except LeastworkError:
            raise
        except Exception as error:
            raise AssertionError(f"mutation {k}: {text[:2000]!r}") from error


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_impossible_values(tmp_path: Path, value: str) -> None:
    run = "model: prinz\nobservables: [{kind: component, name: x}]\ndata: [{name: x, value: %s, error: 0.1}]\n"
    for text in (run % value, f"model: {value}\nseed: {value}\n", value, f"{value}: {value}\n"):
        check(tmp_path / "r.yaml", text.encode("utf-8", "surrogatepass"))


def test_a_bomb_of_aliases_is_refused_at_once(tmp_path: Path) -> None:
    assert len(BOMB) < 500
    tracemalloc.start()
    begin = time.perf_counter()
    for text in (BOMB, BOMB.replace("[", "{<<: [").replace("]", "]}"), f"model: prinz\ndata: {{{BOMB}}}"):
        (tmp_path / "r.yaml").write_text(text)
        with pytest.raises(LeastworkError):
            load_config(tmp_path / "r.yaml")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.perf_counter() - begin < 10
    assert peak < 100e6


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"#" * (1 << 19), "holds more than 256 KiB"),
        ("model: ä".encode("utf-16"), "is not text in UTF-8"),
        (b"model: \xff", "is not text in UTF-8"),
        (b"model: a\nmodel: b", "line 2 is not YAML .the key 'model' appears twice"),
        (b"a: [" + b"1, " * 60_000 + b"1]", "stands for more than 20000 values"),
        (b"a: 2001-99-99", "line 1 is not YAML .'2001-99-99' is no value of the type 'timestamp'"),
        (b"", "holds no keys and values"),
    ],
)
def test_what_is_said(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "r.yaml").write_bytes(content)
    with pytest.raises(LeastworkError, match=words):
        load_config(tmp_path / "r.yaml")


def test_merged_keys_and_marks_of_byte_order_still_work(tmp_path: Path) -> None:
    text = "\ufeffmodel: moons\nguides: {csv: g.csv}\nseed: 3\n" + "sampling: {<<: {n: 7, steps: 9}, n: 8}\n"
    (tmp_path / "g.csv").write_text("0,0\n")
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    sampling = load_config(tmp_path / "r.yaml").sampling
    assert (sampling.n, sampling.steps) == (8, 9)


def test_mutations(tmp_path: Path) -> None:
    check_many(tmp_path, 250, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 12))
def test_many_mutations(tmp_path: Path, seed: int) -> None:
    check_many(tmp_path, 500, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_many_settings(seed: int) -> None:
    """What follows ``--set``, and the names of runs."""
    chance = random.Random(seed)
    for _ in range(100):
        for place in ("sampling.n", "seed", "data.0.value", "x" * 3000, "a." * 3000 + "b", "data.9.x", "data.١", ""):
            try:
                load_config("prinz", [f"{place}={chance.choice(VALUES)}"])
            except LeastworkError as error:
                assert len(str(error)) < 2000  # noqa: PT017
    for name in ("x" * 5000, "\0", "/", ".", "\n", "x" * 5000 + ".yaml"):
        with pytest.raises(LeastworkError):
            load_config(name)
