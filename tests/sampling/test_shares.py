"""Shares of the blocks, drawn in any order or at the same time, make the store of one process, byte for byte."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

import leastwork as lw
from leastwork.sampling.choices import Choices
from leastwork.sampling.marks import read_mark
from leastwork.sampling.sample import draw_stored
from leastwork.sampling.shares import Share
from leastwork.sampling.storage import Destination, EnsembleStore, StoredEnsemble, add_log_tilt
from leastwork.sampling.weight_sums import ess_of_sums
from leastwork.sampling.work import kish_ess
from leastwork.support import locks
from leastwork.support.locks import lock

N, ROWS = 60, 8
BLOCKS = range(0, N, ROWS)


def draw(out: Path, share: str = "1/1", seed: int = 3, n: int = N, **known: str) -> StoredEnsemble | Sequence[int]:
    model, choices = lw.load_model("prinz"), Choices(steps=3, batch_size=ROWS)
    return draw_stored(model, n, choices, None, Destination(out, share=Share.parse(share), worker=known), seed=seed)


def bytes_of(store: Path) -> dict[str, bytes]:
    """All but the seconds."""
    files = [path for path in store.rglob("*") if path.is_file() and path.name not in (".zattrs", ".zmetadata")]
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "e.zarr"
    draw(out)
    return out


def test_each_block_has_one_share() -> None:
    shares = [Share(k, 3).of_blocks(BLOCKS) for k in (1, 2, 3)]
    assert sorted(start for share in shares for start in share) == list(BLOCKS)
    assert Share(9, 9).of_blocks(BLOCKS) == []


@pytest.mark.parametrize("text", ["5/4", "0/4", "1/0", "1", "-1/4", "1/4/2", "a/b", ""])
def test_a_share_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(lw.ConfigError, match=r"share .*(the shares are 1/4 to 4/4|of the form k/N)"):
        Share.parse(text)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_one_after_another(order: tuple[int, ...], alone: Path, tmp_path: Path) -> None:
    out, left = tmp_path / "e.zarr", set(BLOCKS)
    for k in order:
        left -= set(Share(k, 3).of_blocks(BLOCKS))
        assert draw(out, f"{k}/3") == sorted(left)
        assert not out.exists()
    assert isinstance(draw(out), StoredEnsemble)
    assert bytes_of(out) == bytes_of(alone)
    assert draw(out, "2/3") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.zarr"]


def test_at_the_same_time(alone: Path, tmp_path: Path) -> None:
    """More than there are blocks; torch's switch of gradients is one for each thread."""
    out = tmp_path / "e.zarr"
    with ThreadPoolExecutor(4) as pool:
        for result in [pool.submit(draw, out, f"{k}/9") for k in range(1, 10)]:
            result.result()
    draw(out)
    assert bytes_of(out) == bytes_of(alone)


def test_a_smaller_store_grows_by_shares(alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "e.zarr"
    draw(out, n=30)
    small = bytes_of(out)
    draw(out, "2/2")
    assert bytes_of(out) == small
    draw(out, "1/2")
    draw(out)
    assert bytes_of(out) == bytes_of(alone)


def test_the_same_block_twice_at_the_same_time(alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second process looks for the block before the first has finished it."""
    out = tmp_path / "e.zarr"
    draw(out, "1/2")
    with monkeypatch.context() as patch:
        patch.setattr(EnsembleStore, "has", lambda self, start: False)
        draw(out, "1/2")
        net = lw.load_model("prinz")
        with torch.no_grad():
            net.parameters()[0].mul_(1 + 1e-6)  # such as another kind of device computes
        patch.setattr("leastwork.load_model", lambda name: net)
        with pytest.raises(lw.ConfigError, match=r"another process drew the samples from 0 on .* got other numbers"):
            draw(out, "1/2")
    draw(out)
    assert bytes_of(out) == bytes_of(alone)


@pytest.mark.parametrize("how", ["cut", "missing", "another", "mark", "unreadable"])
def test_a_damaged_chunk_is_named_and_drawn_again(how: str, alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "e.zarr"
    partial = out.with_name("e.zarr.partial")
    draw(out, "2/2")
    chunk = partial / "x" / "1.0"
    if how == "mark":
        chunk = partial / "finished" / "8.npy"
    data = chunk.read_bytes()
    chunk.unlink()
    if how == "unreadable":
        chunk.symlink_to(alone)  # refused, as one that may not be read is
    elif how != "missing":
        chunk.write_bytes(data[:-1] if how == "cut" else b"something else")
    with pytest.warns(lw.LeastworkWarning, match=rf"{chunk.name} is not what .* begins at 8 is drawn again"):
        draw(out, "2/2")
    draw(out)
    assert bytes_of(out) == bytes_of(alone)


def test_a_damaged_chunk_of_a_smaller_store_is_drawn_again(alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "e.zarr"
    draw(out, n=30)
    add_log_tilt(out, torch.zeros(30, dtype=torch.float64))
    (out / "log_weight" / "1").write_bytes(b"")
    with pytest.warns(lw.LeastworkWarning, match=r"log_weight/1 is not what .* begins at 8 is drawn again"):
        draw(out)
    assert bytes_of(out) == bytes_of(alone)


def test_what_has_no_mark_is_not_read(alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "e.zarr"
    draw(out, "1/2")
    (out.with_name("e.zarr.partial") / "x" / "1.0").write_bytes(b"of a process that was killed")
    draw(out)
    assert bytes_of(out) == bytes_of(alone)


def test_another_drawing_or_worker_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "e.zarr"
    draw(out, "1/2", model="a", version="1")
    with pytest.raises(lw.ConfigError, match=r"begun by a worker with another version \('1', here '2'\): draw with"):
        draw(out, "2/2", model="a", version="2")
    with pytest.raises(lw.ConfigError, match="other settings: use those"):
        draw(out, "2/2", seed=4)
    with pytest.raises(lw.ConfigError, match=r"other settings \(n=60, and n=70 is asked for\): use those"):
        draw(out, "2/2", n=70)
    (out.with_name("e.zarr.partial") / "finished" / "worker.json").write_text("{")
    with pytest.raises(lw.ConfigError, match=r"worker\.json is damaged: delete .*partial"):
        draw(out, "2/2", model="a", version="1")


def test_one_process_and_shares_exclude_each_other(tmp_path: Path) -> None:
    out, held = tmp_path / "e.zarr", tmp_path / ".writing-e.zarr.lock"
    both = [lock(held, "it", shared=True) for _ in range(2)]
    with pytest.raises(locks.BusyError, match="is being written by process"):
        draw(out)
    draw(out, "1/2")
    for one in both:
        one.release()
    alone = lock(held, "it")
    with pytest.raises(locks.BusyError, match="is being written by process"):
        draw(out, "2/2")
    alone.release()


def test_marks_know_the_effective_samples(tmp_path: Path) -> None:
    """Of a target that is twice as likely on one side."""

    def tilt(x: torch.Tensor) -> torch.Tensor:  # pyright: ignore[reportUnusedFunction]
        return (x[:, 0] > 0).double() * 0.7

    out, model = tmp_path / "e.zarr", lw.load_model("prinz")
    to = Destination(out, share=Share(1, 2), log_tilt=tilt)  # pyright: ignore[reportArgumentType]
    left = draw_stored(model, N, Choices(steps=3, batch_size=ROWS), None, to)
    assert isinstance(left, list)
    marks = [read_mark(out.with_name("e.zarr.partial") / "finished" / f"{start}.npy") for start in (0, 16, 32, 48)]
    x = lw.sample(model, N, steps=3, batch_size=ROWS).x
    wanted = kish_ess(tilt(torch.cat([x[start : start + ROWS] for start in (0, 16, 32, 48)])))  # pyright: ignore[reportArgumentType]
    found = ess_of_sums([mark.weights for mark in marks], 4 * ROWS)
    assert found.value == pytest.approx(wanted.value, rel=1e-9)
    assert found.stderr == pytest.approx(wanted.stderr, rel=1e-6)
    assert json.loads((out.with_name("e.zarr.partial") / "settings.json").read_text())["n"] == N
