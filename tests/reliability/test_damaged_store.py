"""Files of a finished store that are cut, flipped, zeroed, appended to, deleted, exchanged or links: none is read."""

import json
import pickle
import random
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray
import zarr

import leastwork as lw
from leastwork.errors import ConfigError, LeastworkWarning
from leastwork.sampling.stepping import StepInfo
from leastwork.sampling.storage import StoredEnsemble, add_log_tilt

MODEL = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(2,))
CHOICES = {"steps": 3, "batch_size": 16}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("store") / "e.zarr"
    lw.sample(MODEL, 40, out=out, **CHOICES)
    add_log_tilt(out, torch.linspace(0, 1, 40, dtype=torch.float64))
    return out


def flipped(data: bytes, random: random.Random) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1 :]


DAMAGE = {
    "cut": lambda data, random: data[: random.randrange(len(data))],
    "flip": flipped,
    "zero": lambda data, random: bytes(len(data)),
    "append": lambda data, random: data + random.randbytes(1 + random.randrange(20)),
}


def files(store: Path) -> list[Path]:
    return sorted(path.relative_to(store) for path in store.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", [*DAMAGE, "delete"])
def test_every_file_is_checked(whole: Path, tmp_path: Path, kind: str) -> None:
    """The message names the file, and nothing else comes of it but a space more in metadata, which changes nothing."""
    chance = random.Random(kind)
    for k, name in enumerate(files(whole)):
        hurt = tmp_path / str(k)
        shutil.copytree(whole, hurt)
        if kind == "delete":
            (hurt / name).unlink()
        else:
            (hurt / name).write_bytes(DAMAGE[kind]((hurt / name).read_bytes(), chance))
        with pytest.raises(ConfigError) as error:
            lw.open_ensemble(hurt)
        words = str(error.value)
        assert str(name) in words or (str(name) == ".zattrs" and "is not an ensemble" in words)
        assert "\n" not in words


def test_only_the_chunks_in_question_are_read(whole: Path, tmp_path: Path) -> None:
    hurt = tmp_path / "e.zarr"
    shutil.copytree(whole, hurt)
    (hurt / "x/2.0").write_bytes(b"")
    parts = StoredEnsemble(hurt).chunks(16)
    assert len(next(parts)) == len(next(parts)) == 16
    with pytest.raises(ConfigError, match=r"x/2\.0 is damaged"):
        next(parts)


def test_what_belongs_to_another_store_is_refused(whole: Path, tmp_path: Path) -> None:
    hurt = tmp_path / "e.zarr"
    lw.sample(MODEL, 40, out=tmp_path / "other.zarr", seed=1, **CHOICES)
    shutil.copytree(whole, hurt)
    shutil.copy(tmp_path / "other.zarr/x/1.0", hurt / "x/1.0")
    with pytest.raises(ConfigError, match=r"x/1\.0 is damaged \(its checksum is another\)"):
        lw.open_ensemble(hurt)
    shutil.copy(whole / "x/1.0", hurt / "x/1.0")
    shutil.copy(whole / "x/1.0", hurt / "x/3.0")
    with pytest.raises(ConfigError, match=r"x/3\.0 is damaged \(it belongs to no part"):
        lw.open_ensemble(hurt)
    (hurt / "x/3.0").unlink()
    (hurt / ".DS_Store").write_text("of another program")
    assert torch.equal(lw.open_ensemble(hurt).x, lw.open_ensemble(whole).x)


def test_the_remedy_works(whole: Path, tmp_path: Path) -> None:
    hurt = tmp_path / "e.zarr"
    lw.sample(MODEL, 40, out=hurt, **CHOICES)
    (hurt / "work/0").unlink()
    with pytest.raises(ConfigError, match="delete the samples and draw them anew"):
        lw.open_ensemble(hurt)
    shutil.rmtree(hurt)
    assert torch.equal(lw.sample(MODEL, 40, out=hurt, **CHOICES).load().x, lw.open_ensemble(whole).x)


@pytest.mark.parametrize("place", ["x/1.0", "x", ".zattrs", ".zmetadata"])
def test_links_are_not_followed(whole: Path, tmp_path: Path, place: str) -> None:
    hurt = tmp_path / "e.zarr"
    shutil.copytree(whole, hurt)
    (hurt / place).rename(tmp_path / "elsewhere")
    (hurt / place).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="is a link"):
        lw.open_ensemble(hurt)


def older(out: Path, **changes: object) -> None:
    """A store as it was written by Zarr before there were checksums."""
    group = zarr.open_group(str(out), mode="w", zarr_format=2)
    arrays = (("x", (40, 2), "f4"), ("work", (40,), "f8"), ("times", (4,), "f8"), ("log_weight", (40,), "f8"))
    for name, shape, kind in arrays:
        data = np.arange(np.prod(shape), dtype=kind).reshape(shape) + 1
        data = 0 * data if name == "log_weight" else data
        array = group.create_array(name, shape=shape, chunks=(min(16, shape[0]), *shape[1:]), dtype=kind, **changes)
        array[:] = data
        array.attrs["_ARRAY_DIMENSIONS"] = ["sample", "d"][: len(shape)]
    group.attrs.update({"network_evaluations": 4, "seconds": 1.0, "why_no_weights": "", "group": 1})
    zarr.consolidate_metadata(str(out), zarr_format=2)


@pytest.mark.parametrize("compressors", ["auto", None, [{"id": "zstd", "level": 0}]], ids=["blosc", "none", "zstd"])
def test_a_store_without_checksums_opens_with_one_notice(tmp_path: Path, compressors: object) -> None:
    older(tmp_path / "old.zarr", compressors=compressors)
    with pytest.warns(LeastworkWarning, match="holds no checksums") as told:
        ensemble = lw.open_ensemble(tmp_path / "old.zarr")
    assert len(told) == 1
    assert torch.equal(ensemble.x, torch.arange(1.0, 81.0).reshape(40, 2))
    assert torch.equal(ensemble.log_weight, torch.zeros(40, dtype=torch.float64))
    with pytest.warns(LeastworkWarning, match="holds no checksums"):
        add_log_tilt(tmp_path / "old.zarr", torch.ones(40, dtype=torch.float64))
    with pytest.warns(LeastworkWarning):
        assert torch.equal(lw.open_ensemble(tmp_path / "old.zarr").log_tilt, torch.ones(40, dtype=torch.float64))


@pytest.mark.parametrize("kind", [*DAMAGE, "delete"])
def test_what_an_older_store_can_tell_it_tells(tmp_path: Path, kind: str) -> None:
    """Without checksums a flipped bit may pass; what does not, ends in a sentence, and samples are never invented."""
    older(tmp_path / "old.zarr")
    chance = random.Random(kind)
    for k, name in enumerate(files(tmp_path / "old.zarr")):
        hurt = tmp_path / str(k)
        shutil.copytree(tmp_path / "old.zarr", hurt)
        if kind == "delete":
            (hurt / name).unlink()
        else:
            (hurt / name).write_bytes(DAMAGE[kind]((hurt / name).read_bytes(), chance))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LeastworkWarning)
            try:
                lw.open_ensemble(hurt)
                words = ""
            except ConfigError as error:
                words = str(error)
        passes = kind == "flip" or str(name).startswith(("work", "log_weight")) or ".z" in str(name)
        assert str(hurt) in words or (passes and not words)


class Evil:
    def __reduce__(self) -> tuple:
        return (pytest.fail, ("it ran",))


FOREIGN = {
    "object": {"dtype": "|O", "compressor": None, "filters": [{"id": "vlen-utf8"}, {"id": "pickle"}]},
    "filters": {"filters": [{"id": "pickle", "protocol": 5}]},
    "delta": {"filters": [{"id": "delta", "dtype": "<f4"}]},
    "compressor": {"compressor": {"id": "pickle", "protocol": 5}},
    "codec-of-blosc": {"compressor": {"id": "blosc", "cname": "evil", "clevel": 5, "shuffle": 1, "blocksize": 0}},
    "more-in-compressor": {"compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "x": 1}},
    "string": {"dtype": "<U9"},
    "structured": {"dtype": [["a", "<f4"]]},
    "fill": {"fill_value": 7.0},
    "order": {"order": "F"},
    "separator": {"dimension_separator": "/"},
    "huge": {"shape": [10**12, 2]},
    "huge-chunk": {"shape": [10**12, 2], "chunks": [10**12, 2]},
    "negative": {"shape": [-1, 2]},
    "bool": {"shape": [True, 2]},
    "not-whole": {"shape": [40.0, 2]},
    "cut-events": {"chunks": [16, 1]},
    "no-chunk": {"chunks": [0, 2]},
    "zarr3": {"zarr_format": 3},
    "key": {"storage_transformers": []},
}


@pytest.mark.parametrize("change", FOREIGN)
@pytest.mark.parametrize("is_consistent", [True, False], ids=["consolidated", "single"])
def test_foreign_metadata_are_refused_before_a_codec_is_asked(tmp_path: Path, change: str, is_consistent: bool) -> None:
    out = tmp_path / "e.zarr"
    older(out)
    about = json.loads((out / "x/.zarray").read_text()) | FOREIGN[change]
    (out / "x/.zarray").write_text(json.dumps(about))
    for chunk in (out / "x").glob("*.0"):
        chunk.write_bytes(pickle.dumps(Evil()))
    if is_consistent:
        all_metadata = json.loads((out / ".zmetadata").read_text())
        all_metadata["metadata"]["x/.zarray"] = about
        (out / ".zmetadata").write_text(json.dumps(all_metadata))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeastworkWarning)
        with pytest.raises(ConfigError) as error:
            lw.open_ensemble(out)
    assert str(out) in str(error.value)
    assert len(str(error.value)) < 400


def test_zarr_and_xarray_read_what_is_written(whole: Path) -> None:
    ensemble = lw.open_ensemble(whole)
    group = zarr.open_group(str(whole), mode="r", zarr_format=2)
    np.testing.assert_array_equal(np.asarray(group["x"]), ensemble.x.numpy())
    for consolidated in (True, False):
        with xarray.open_zarr(whole, chunks=None, consolidated=consolidated) as data:
            np.testing.assert_array_equal(data["log_tilt"].values, ensemble.log_tilt.numpy())
            assert data["log_tilt"].dims == ("sample",)


def test_a_damaged_batch_of_an_interrupted_run_is_drawn_again(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "e.zarr"

    def stop(info: StepInfo) -> None:
        if info.start == 32:
            raise KeyboardInterrupt

    for name in ("x/0.0", "work/.zarray", "finished/16.npy"):
        with pytest.raises(KeyboardInterrupt):
            lw.sample(MODEL, 40, out=out, callback=stop, **CHOICES)
        path = tmp_path / "e.zarr.partial" / name
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.warns(LeastworkWarning, match="is drawn again"):
            again = lw.sample(MODEL, 40, out=out, resume=True, **CHOICES).load()
        assert torch.equal(again.x, lw.open_ensemble(whole).x)
        assert [path.name for path in tmp_path.iterdir()] == ["e.zarr"]
        shutil.rmtree(out)


def test_the_same_call_again_finds_it_finished(tmp_path: Path) -> None:
    out = tmp_path / "e.zarr"
    first = lw.sample(MODEL, 40, out=out, **CHOICES)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert lw.sample(MODEL, 40, out=out, resume=True, **CHOICES) == first
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    out = tmp_path / "e.zarr"

    def stop(info: StepInfo) -> None:
        if info.start == 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lw.sample(MODEL, 40, out=out, callback=stop, **CHOICES)
    shutil.rmtree(tmp_path / "e.zarr.partial/x")
    (tmp_path / "e.zarr.partial/x").symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="nothing is written through it"):
        lw.sample(MODEL, 40, out=out, resume=True, **CHOICES)
    assert not list(elsewhere.iterdir())


def test_seconds_of_an_interrupted_run_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def tick(info: StepInfo) -> None:
        clock[0] += 1.0

    def stop(info: StepInfo) -> None:
        tick(info)
        if info.start == 32:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    with pytest.raises(KeyboardInterrupt):
        lw.sample(MODEL, 40, out=tmp_path / "e.zarr", callback=stop, **CHOICES)
    lw.sample(MODEL, 40, out=tmp_path / "e.zarr", callback=tick, resume=True, **CHOICES)
    assert lw.open_ensemble(tmp_path / "e.zarr").seconds == 9.0  # three steps of three batches
