"""A store that grew is that of a call for all samples at once, byte for byte but for its seconds."""

import os
from pathlib import Path

import pytest
import torch

import leastwork as lw
from leastwork.sampling import growing


def stored(out: Path, n: int, **choices: object) -> lw.Ensemble:
    settings = {"steps": 3, "batch_size": 8, "seed": 3, **choices}
    return lw.sample(lw.load_model("prinz"), n, out=out, resume=True, **settings).load()  # pyright: ignore[reportArgumentType]


def bytes_of(store: Path) -> dict[str, bytes]:
    timed = (".zattrs", ".zmetadata")
    files = [path for path in store.rglob("*") if path.is_file() and path.relative_to(store).as_posix() not in timed]
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("sizes", [(8,), (20,), (9, 16, 17)])
@pytest.mark.parametrize("links", [True, False])
def test_it_is_the_same_store(sizes: tuple[int, ...], links: bool, tmp_path: Path, monkeypatch) -> None:  # pyright: ignore[reportMissingParameterType]
    def no_links(*_: object, **__: object) -> None:
        raise OSError

    if not links:
        monkeypatch.setattr(growing.os, "link", no_links)
    wanted = stored(tmp_path / "a.zarr", 30)
    for n in (*sizes, 30):
        found = stored(tmp_path / "b.zarr", n)
    assert torch.equal(found.x, wanted.x)
    assert bytes_of(tmp_path / "a.zarr") == bytes_of(tmp_path / "b.zarr")
    assert sorted(os.listdir(tmp_path)) == ["a.zarr", "b.zarr"]


def test_other_samples_are_not_mixed(tmp_path: Path) -> None:
    stored(tmp_path / "a.zarr", 20)
    with pytest.raises(lw.ConfigError, match=r"a\.zarr exists"):
        stored(tmp_path / "a.zarr", 30, seed=4)
    with pytest.raises(lw.ConfigError, match=r"a\.zarr exists"):
        stored(tmp_path / "a.zarr", 30, batch_size=16)
    with pytest.raises(lw.ConfigError, match="holds 20 samples, more than n=10"):
        stored(tmp_path / "a.zarr", 10)


def test_a_kill_between_the_two_names_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = stored(tmp_path / "a.zarr", 30)
    stored(tmp_path / "b.zarr", 20)
    replace = os.replace

    def killed(source: Path, target: Path) -> None:
        if str(source).endswith(".partial"):
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr("leastwork.sampling.growing.os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        stored(tmp_path / "b.zarr", 30)
    monkeypatch.undo()
    assert not (tmp_path / "b.zarr").exists()
    assert torch.equal(stored(tmp_path / "b.zarr", 30).x, wanted.x)
    assert sorted(os.listdir(tmp_path)) == ["a.zarr", "b.zarr"]
