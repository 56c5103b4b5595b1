"""Files of run folders that are cut, flipped, zeroed or deleted: harmless, or one sentence that names the file."""

import random
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import leastwork as lw
from leastwork.geometry.state import leaves
from leastwork.runs.page import write_report
from leastwork.support.sinks import FIT_CSV

DAMAGE: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "cut": lambda data, chance: data[: chance.randrange(len(data) or 1)],
    "flip": lambda data, chance: flipped(data, chance),
    "digit": lambda data, chance: with_another_digit(data, chance),
    "zero": lambda data, chance: bytes(len(data)),
    "append": lambda data, chance: data + chance.randbytes(1 + chance.randrange(20)),
}
SINGLE = ("observables", "path")


def flipped(data: bytes, chance: random.Random) -> bytes:
    if not data:
        return b"x"
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


def with_another_digit(data: bytes, chance: random.Random) -> bytes:
    places = [at for at, byte in enumerate(data) if byte in b"0123456789"]
    if not places:
        return flipped(data, chance)
    at = chance.choice(places)
    digit = chance.choice([one for one in b"0123456789" if one != data[at]])
    return data[:at] + bytes([digit]) + data[at + 1 :]


def files(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


@dataclass(frozen=True)
class Mutation:
    """One change of one file."""

    file: Path
    kind: str
    seed: int

    def __call__(self, folder: Path) -> None:
        path, chance = folder / self.file, random.Random(f"{self.file} {self.kind} {self.seed}")
        if self.kind == "delete":
            path.unlink()
        else:
            path.write_bytes(DAMAGE[self.kind](path.read_bytes(), chance))


def mutations(folder: Path, count: int, seed: int) -> list[Mutation]:
    """Files by turns, so that each is met."""
    chance = random.Random(seed)
    names = files(folder)
    chance.shuffle(names)
    kinds = [*DAMAGE, "delete"]
    return [Mutation(names[k % len(names)], chance.choice(kinds), seed + k) for k in range(count)]


def told_by_the_seed(folder: Path) -> list[Path]:
    """Files whose bytes the run decides: neither inputs nor the log of the fit, which goes on after damage."""
    return [name for name in files(folder) if "inputs" not in name.parts and name.name != FIT_CSV]


def report(folder: Path, runs: Any, kind: str) -> Any:
    return write_report(folder).read_bytes()


def load(folder: Path, runs: Any, kind: str) -> Any:
    found = lw.load_run(folder)
    parts = [*leaves(found.ensemble.x), *leaves(found.model_samples.x), found.ensemble.log_tilt]
    known = found.maxent.lambdas if kind == "observables" else torch.tensor([found.log_odds])
    x = torch.ones(4, 2, requires_grad=True)
    steered = found.guidance(x, 0.5, 1.0 * x).detach()
    return [part.numpy().tobytes() for part in (*parts, known, steered)]


def resume(folder: Path, runs: Any, kind: str) -> Any:
    runs.carry_out(kind, folder)
    return {str(name): (folder / name).read_bytes() for name in told_by_the_seed(folder)}


def told(act: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What comes of it, and the sentences about it."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", lw.LeastworkWarning)
        try:
            found = act()
        except lw.LeastworkError as error:
            return None, [str(error)]
    return found, [str(one.message) for one in said if issubclass(one.category, lw.LeastworkWarning)]


def different(found: Any, wanted: Any) -> str:
    """The files that are not the same."""
    if not isinstance(found, dict):
        return ""
    names = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
    return f"; {names} are others"


def check(
    kind: str, folder: Path, acts: Sequence[Callable[..., Any]], several: Sequence[Mutation], runs: Any, copy_of: Any
) -> None:
    wanted = {}
    for act in acts:
        found, wanted_words = told(lambda act=act: act(copy_of(folder), runs, kind))
        assert found is not None, wanted_words
        wanted[act] = found, wanted_words
    for mutation in several:
        for act in acts:
            hurt = copy_of(folder)
            mutation(hurt)
            found, words = told(lambda act=act, hurt=hurt: act(hurt, runs, kind))
            about = f"{kind}: {mutation}, {act.__name__}: {words}"
            if found is None:
                assert mutation.file.name in words[0], about
                assert "\n" not in words[0], about
                assert len(words[0]) < 400 + 3 * len(str(hurt)), about
            elif found != wanted[act][0]:
                said = [one for one in words if one not in wanted[act][1]]
                assert any(mutation.file.name in one for one in said), about + different(found, wanted[act][0])
                if isinstance(found, dict):  # a resumed run, whose warning said that it did something again
                    assert found == wanted[act][0], about + different(found, wanted[act][0])
    shutil.rmtree(copy_of(folder))


def finished_acts(kind: str) -> list[Callable[..., Any]]:
    return {"observables": [report, load], "path": [report, load], "joint": [report], "compare": [resume]}[kind]


@pytest.mark.parametrize(("kind", "count"), [("observables", 16), ("path", 6), ("compare", 6)])
def test_some_damage_of_finished_runs(kind: str, count: int, runs, copy_of) -> None:
    folder = runs.finished(kind)
    check(kind, folder, finished_acts(kind), mutations(folder, count, 0), runs, copy_of)


@pytest.mark.parametrize(("kind", "stop"), [("observables", "fitting"), ("path", "drawing")])
def test_some_damage_of_interrupted_runs(kind: str, stop: str, runs, copy_of) -> None:
    folder = runs.interrupted(kind, stop)
    check(kind, folder, [resume], mutations(folder, 6, 0), runs, copy_of)


@pytest.mark.parametrize("name", ["metrics.json", "fit/fit.json", "guidance/guidance.json", "config.yaml"])
def test_no_digit_changes_unseen(name: str, runs, copy_of) -> None:
    folder = runs.finished("observables")
    several = [Mutation(Path(name), "digit", seed) for seed in range(3)]
    check("observables", folder, [report, load], several, runs, copy_of)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("kind", ["observables", "path", "joint", "compare"])
def test_damage_of_finished_runs(kind: str, seed: int, runs, copy_of) -> None:
    folder = runs.finished(kind)
    check(kind, folder, finished_acts(kind), mutations(folder, 30, 1000 * seed), runs, copy_of)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 3))
@pytest.mark.parametrize("stop", ["fitting", "drawing"])
@pytest.mark.parametrize("kind", [*SINGLE, "joint"])
def test_damage_of_interrupted_runs(kind: str, stop: str, seed: int, runs, copy_of) -> None:
    folder = runs.interrupted(kind, stop)
    check(kind, folder, [resume], mutations(folder, 20, 1000 * seed), runs, copy_of)
