"""Files are whole or not there, of the mode that the umask asks for, and never written through a link."""

import os
import stat
import time
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import leastwork as lw
from leastwork.errors import ConfigError, LeastworkWarning
from leastwork.support import locks
from leastwork.support.csv_rows import as_number, as_whole_number, cells, columns
from leastwork.support.files import (
    TEMPORARY,
    copy_file,
    read_bytes,
    readable,
    sweep,
    write_bytes,
    write_text,
    writing,
)
from leastwork.support.locks import lock
from leastwork.support.tensor_files import read_tensors, write_tensors
from leastwork.support.text import quoted


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_all_files_have_one_mode(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        lw.save_model(lw.load_model("prinz"), tmp_path / "model")
        write_text(tmp_path / "a.txt", "a")
        write_bytes(tmp_path / "b", b"b")
        write_tensors(tmp_path / "c.safetensors", {"c": torch.zeros(2)})
        copy_file(tmp_path / "a.txt", tmp_path / "d.txt")
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file()}
    assert modes == {0o666 & ~umask}


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def write_half() -> None:
        with writing(path) as temporary:
            temporary.write_text("half of the")
            assert temporary.name.startswith(TEMPORARY)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "a.txt").symlink_to(tmp_path / "theirs")
    write_text(tmp_path / "a.txt", "ours")
    assert (tmp_path / "theirs").read_text() == "theirs"
    assert not (tmp_path / "a.txt").is_symlink()


def test_only_what_was_left_behind_is_swept(tmp_path: Path) -> None:
    left = tmp_path / "inner" / f"{TEMPORARY}0123-a.txt"
    left.parent.mkdir()
    left.write_text("of a killed process")
    (tmp_path / "theirs").write_text("theirs")
    link = tmp_path / f"{TEMPORARY}link"
    link.symlink_to(tmp_path / "theirs")
    with writing(tmp_path / "a.txt") as temporary:
        sweep(tmp_path)
        assert temporary.exists()
    assert not left.exists()
    assert (tmp_path / "theirs").read_text() == "theirs"
    assert (tmp_path / "a.txt").exists()


def test_what_is_read_is_a_plain_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    os.mkfifo(tmp_path / "pipe")
    assert read_bytes(tmp_path / "a") == b"abc"
    for name, words in (("link", "is a link"), ("pipe", "no plain file"), ("", "no plain file")):
        with pytest.raises(ConfigError, match=words):
            read_bytes(tmp_path / name)
    with pytest.raises(ConfigError, match="holds 3 bytes, and 2 are accepted"):
        read_bytes(tmp_path / "a", limit=2)
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "b")


def test_permission_is_told_from_damage(tmp_path: Path, monkeypatch) -> None:
    """The superuser may read everything, so the system's answer to others is imitated."""
    lw.save_model(lw.load_model("prinz"), tmp_path)
    lw.sample(lw.load_model("prinz"), 4, steps=2, out=tmp_path / "e.zarr")
    system = os.open

    def refusing(path, *args, **kwargs):
        if str(path).endswith((".safetensors", ".zmetadata")):
            raise PermissionError(13, "Permission denied")
        return system(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refusing)
    for read in (
        lambda: lw.load_model(tmp_path),
        lambda: readable(tmp_path / "model.safetensors"),
        lambda: lw.open_ensemble(tmp_path / "e.zarr"),
    ):
        with pytest.raises(ConfigError, match=r"may not be read \(its mode is 0[0-7]{3}\): ask its owner"):
            read()


def test_a_lock_says_who_holds_it_and_goes_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    held = lock(path, "the folder")
    with pytest.raises(ConfigError, match=rf"the folder is being written by process {os.getpid()} on '.+' since 2"):
        lock(path, "the folder")
    held.release()
    assert not path.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        process = os.fork()
    if process == 0:
        lock(path, "the folder")
        time.sleep(60)
        os._exit(0)
    while not path.exists() or not path.read_text().endswith("}"):
        time.sleep(0.01)
    with pytest.raises(ConfigError, match=f"process {process} "):
        lock(path, "the folder")
    os.kill(process, 9)
    os.waitpid(process, 0)
    lock(path, "the folder").release()
    assert not path.exists()


def test_without_locks_there_is_one_warning(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(locks, "fcntl", None)
    with pytest.warns(LeastworkWarning, match="without locks"):
        lock(tmp_path / "a", "it").release()
    lock(tmp_path / "a", "it").release()


@pytest.mark.parametrize("cell", ["1_0", "١٢", "１", "0x1", "1e", ".", "", " 1", "1,0", "1" * 500, "++1", "1d3"])
def test_what_no_spreadsheet_writes_is_no_number(cell: str) -> None:
    assert as_number(cell) is None


def test_numbers() -> None:
    assert [as_number(cell) for cell in ("1", "-.5", "+2.", "1E-3", "inf")] == [1.0, -0.5, 2.0, 1e-3, float("inf")]
    assert [as_whole_number(cell) for cell in ("007", "1_0", "9" * 5000, "²")] == [7, None, None, None]


def test_a_cell_that_is_too_long_is_said() -> None:
    with pytest.raises(ConfigError, match="cannot be split into cells"):
        cells("x" * 200_000)
    with pytest.raises(ConfigError, match="a file cannot be split"):
        columns("x" * 200_000, ["x"], "a file")


def test_what_is_refused_is_quoted_on_one_short_line() -> None:
    deep: list = []
    for _ in range(3000):
        deep = [deep]
    for value in ("x" * 10**6, "a\nb", deep, list(range(10**5)), 10**10_000, {"a": {"b": [1] * 10**4}}, b"\0" * 999):
        assert len(quoted(value)) <= 80
        assert "\n" not in quoted(value)


def test_tensors_are_those_that_were_written(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    kinds = (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool)
    tensors = {str(kind): torch.tensor([[1, 0], [2, 3]]).to(kind) for kind in kinds}
    tensors |= {"scalar": torch.tensor(2.0), "empty": torch.zeros(0, 3), "turned": torch.arange(6.0).reshape(2, 3).T}
    write_tensors(path, tensors)
    again = read_tensors(path)
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ConfigError, match=r"a\.safetensors is damaged \(its checksum is another\)"):
        read_tensors(path)
    save_file({"a": torch.ones(2)}, tmp_path / "old.safetensors")
    assert torch.equal(read_tensors(tmp_path / "old.safetensors")["a"], torch.ones(2))
