"""Pieces of a computation: taken where they are kept, made where they are not or are damaged."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

import leastwork as lw
from leastwork.support import checkpoints as module
from leastwork.support.checkpoints import Checkpoints, checkpoints, each, kept, resumable
from leastwork.support.packing import DamagedError, pack, unpack


@dataclass(frozen=True)
class Pair:
    x: Tensor
    of: tuple[float, str | None]


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECONDS_BETWEEN", 0.0)


def pieces(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.piece"))


def test_outside_of_a_folder_nothing_is_kept() -> None:
    assert kept("a", lambda: 1) == 1
    assert list(each("a", 3, lambda i: i)) == [0, 1, 2]
    assert resumable("a").state is None
    resumable("a").save(lambda: pytest.fail("asked for"), last=True)


def test_a_piece_is_made_once(tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> Pair:
        made.append(1)
        return Pair(torch.arange(3.0), (0.5, None))

    found = []
    for _ in range(2):
        with checkpoints(tmp_path / "a", {"seed": 1}):
            found.append(kept("pair", make, Pair))
    assert len(made) == 1
    assert torch.equal(found[0].x, found[1].x)
    assert found[1].of == (0.5, None)


def test_a_loop_goes_on_where_it_was(tmp_path: Path) -> None:
    def draw(random: torch.Generator, stop: int | None = None) -> Iterator[float]:
        def make(i: int) -> float:
            if i == stop:
                raise KeyboardInterrupt
            return float(torch.rand((), generator=random))

        return each("numbers", 6, make, random=random)

    whole = list(draw(torch.Generator().manual_seed(3)))
    with pytest.raises(KeyboardInterrupt), checkpoints(tmp_path, {}):
        list(draw(torch.Generator().manual_seed(3), stop=4))
    assert len(pieces(tmp_path)) == 4
    random = torch.Generator().manual_seed(3)
    with checkpoints(tmp_path, {}):
        assert list(draw(random)) == whole
    after = torch.Generator().manual_seed(3)
    torch.rand(6, generator=after)
    assert float(torch.rand((), generator=random)) == float(torch.rand((), generator=after))


def test_pieces_within_a_piece_go_when_it_is_done(tmp_path: Path) -> None:
    def outer(stop: bool) -> float:
        total = sum(each("inner", 3, float))
        if stop:
            raise KeyboardInterrupt
        return total

    with pytest.raises(KeyboardInterrupt), checkpoints(tmp_path, {}):
        kept("outer", lambda: outer(True))
    assert len(pieces(tmp_path)) == 3
    with checkpoints(tmp_path, {}):
        assert kept("outer", lambda: outer(False)) == 3
    assert pieces(tmp_path) == ["00001 outer.piece"]


@pytest.mark.parametrize("hurt", [lambda data: data[:-1], lambda data: b"", lambda data: data[:40] + b"x" + data[41:]])
def test_a_damaged_piece_is_named_and_made_again(hurt, tmp_path: Path) -> None:
    with checkpoints(tmp_path, {}):
        kept("a", lambda: torch.ones(3))
    (path,) = tmp_path.glob("*.piece")
    path.write_bytes(hurt(path.read_bytes()))
    with (
        pytest.warns(
            lw.LeastworkWarning, match=r"00001 a\.piece is damaged \(.*\), and what it held is computed again"
        ),
        checkpoints(tmp_path, {}),
    ):
        assert torch.equal(kept("a", lambda: torch.zeros(3)), torch.zeros(3))


def test_pieces_of_another_computation_are_refused(tmp_path: Path) -> None:
    with checkpoints(tmp_path, {"model": "a"}):
        kept("x", lambda: 1)
    with (
        pytest.raises(lw.ConfigError, match="begun with another model or other settings"),
        checkpoints(tmp_path, {"model": "b"}),
    ):
        pass


def test_seconds_are_those_of_all_parts(tmp_path: Path) -> None:
    with checkpoints(tmp_path, {}) as first:
        kept("x", lambda: 1)
    assert first.earlier == 0.0
    spent = json.loads((tmp_path / "seconds.json").read_text())["seconds"]
    with checkpoints(tmp_path, {}) as second:
        assert second.earlier == spent > 0.0
    assert isinstance(second, Checkpoints)


def test_values_come_back_as_they_were() -> None:
    values = {
        "half": torch.tensor([1.5, -2.0], dtype=torch.float16),
        3: [True, None, "ö", float("-inf"), (1, 2.5)],
        "view": torch.arange(6.0).reshape(2, 3).T,
        "shared": (part := torch.ones(2), part),
        "pair": Pair(torch.zeros(0, 2), (1.0, "a")),
    }
    found = unpack(pack(values), [Pair])
    assert found[3] == values[3]
    assert found["half"].dtype == torch.float16
    assert torch.equal(found["view"], values["view"])  # type: ignore[arg-type]  (a tensor)
    assert found["pair"].x.shape == (0, 2)
    with pytest.raises(TypeError, match="a set has no form"):
        pack({1, 2})
    with pytest.raises(DamagedError):
        unpack(pack(values))  # a dataclass that is not known
