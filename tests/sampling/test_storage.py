"""Ensembles on disk: xarray reads them, half-written ones do not count, and nothing is overwritten."""

import json

import numpy as np
import pytest
import torch
import xarray
import zarr

import leastwork as lw
from leastwork.errors import ConfigError
from leastwork.guidance.base import Scaled
from leastwork.sampling.ensemble import Ledger
from leastwork.sampling.storage import open_ensemble, save_ensemble
from leastwork.support.files import write_text
from leastwork.systems.gaussian import Gaussian

SCHEDULE = lw.VPSchedule(0.1, 20.0)
GAUSSIAN = Gaussian(0.5, 0.3, 3)
MODEL = GAUSSIAN.model(SCHEDULE)
TILT = GAUSSIAN.for_mean(0.4)
PUSH = Scaled(GAUSSIAN.doob(TILT, SCHEDULE), 0.8)
CHOICES = {"guidance": PUSH, "steps": 8, "batch_size": 100}


class Stop(Exception):
    pass


def interrupt(out, start: int, **changes) -> None:
    """A run that dies in the batch that begins at ``start``."""

    def stop(info):
        if info.start == start:
            raise Stop

    with pytest.raises(Stop):
        lw.sample(MODEL, 350, out=out, callback=stop, **{**CHOICES, **changes})


def test_xarray_opens_a_store(tmp_path) -> None:
    """With its dimensions named, in chunks of a batch, and without a warning (they are errors here)."""
    out = tmp_path / "ensemble.zarr"
    ens = lw.sample(MODEL, 350, out=out, **CHOICES).load()
    with xarray.open_zarr(out, chunks=None) as data:
        assert data.sizes == {"sample": 350, "x_dim_0": 3, "edge": 9, "step": 8, "batch": 4, "moment": 2}
        assert data["x"].dims == ("sample", "x_dim_0")
        assert data["work"].dims == data["log_weight"].dims == ("sample",)
        assert data["x"].encoding["chunks"] == (100, 3)
        np.testing.assert_array_equal(data["x"].values, ens.x.numpy())
        np.testing.assert_array_equal(data["work"].values, ens.work.numpy())
        np.testing.assert_allclose(data["step_work"].sum(), float(ens.work.mean()), rtol=1e-12)
        np.testing.assert_array_equal(data["times"].values, ens.ledger.times.numpy())
        assert data.attrs["network_evaluations"] == 350 * 9
    with xarray.open_zarr(out, chunks=None, consolidated=True) as data:
        assert set(data) == {"x", "work", "log_weight", "times", "step_work", "step_work_stderr", "batch_moments"}


def test_an_ode_stores_its_action_and_why_it_has_no_weights(tmp_path) -> None:
    stored = lw.sample(MODEL, 30, process="ode", out=tmp_path / "ode.zarr", **CHOICES).load()
    assert torch.equal(stored.action, lw.sample(MODEL, 30, process="ode", **CHOICES).action)
    with pytest.raises(lw.NoPathWeightsError, match="no path measure"):
        _ = stored.work
    assert stored.ledger.step_work is None


@pytest.mark.parametrize("streamed", [True, False])
def test_tuple_states(tmp_path, streamed: bool) -> None:
    """Leaves come back in their order, with more than ten of them too."""
    shapes = tuple((k + 1,) for k in range(12))
    model = lw.DiffusionModel(lambda x, t: tuple(-leaf for leaf in x), SCHEDULE, "score", shapes)
    ens = lw.sample(model, 25, steps=3, batch_size=10)
    out = tmp_path / "tuple.zarr"
    store = lw.sample(model, 25, steps=3, batch_size=10, out=out) if streamed else save_ensemble(ens, out)
    assert len(store) == 25
    for a, b in zip(store.load().x, ens.x, strict=True):
        assert torch.equal(a, b)
    assert [len(part[11]) for part in store.chunks(10)] == [10, 10, 5]


def test_what_is_in_memory_comes_back_whole(tmp_path) -> None:
    ens = lw.sample(MODEL, 120, **CHOICES)
    ens = lw.Ensemble(ens.x, ens.ledger, TILT(ens.x), ens.network_evaluations, ens.seconds)
    again = save_ensemble(ens, tmp_path / "a.zarr", batch_size=50).load()
    for name in ("x", "work", "log_weight", "log_tilt"):
        assert torch.equal(getattr(again, name), getattr(ens, name))
    assert (again.network_evaluations, again.seconds) == (ens.network_evaluations, ens.seconds)
    torch.testing.assert_close(again.ledger.step_work.value, ens.ledger.step_work.value)
    torch.testing.assert_close(again.ledger.step_work.stderr, ens.ledger.step_work.stderr)
    assert again.mean(lambda x: x[:, 0], "target") == ens.mean(lambda x: x[:, 0], "target")
    with pytest.raises(lw.LeastworkError, match="exists"):
        save_ensemble(ens, tmp_path / "a.zarr")


def test_an_existing_folder_is_left_alone(tmp_path) -> None:
    out = tmp_path / "ensemble.zarr"
    first = lw.sample(MODEL, 20, out=out, seed=1, **CHOICES).load()
    for resume in (False, True):
        with pytest.raises(lw.LeastworkError, match="exists: choose another"):
            lw.sample(MODEL, 20, out=out, seed=2, resume=resume, **CHOICES)
    assert torch.equal(open_ensemble(out).x, first.x)


def test_a_folder_that_cannot_be_written_is_said(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(lw.LeastworkError, match="cannot be written"):
        lw.sample(MODEL, 20, out=tmp_path / "file" / "a.zarr", **CHOICES)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 9},
        {"steps": 9},
        {"batch_size": 50},
        {"solver": "euler"},
        {"kappa": 0.5},
        {"t_grid": "log-snr"},
        {"dtype": torch.float64},
        {"guidance": None},
    ],
    ids=lambda c: next(iter(c)),
)
def test_other_settings_do_not_go_on(tmp_path, change) -> None:
    out = tmp_path / "ensemble.zarr"
    interrupt(out, 100)
    with pytest.raises(lw.LeastworkError, match="other settings"):
        lw.sample(MODEL, 350, out=out, resume=True, **{**CHOICES, **change})
    with pytest.raises(lw.LeastworkError, match="other settings"):
        lw.sample(MODEL, 351, out=out, resume=True, **CHOICES)


def test_resuming_what_was_never_begun_begins(tmp_path) -> None:
    stored = lw.sample(MODEL, 20, out=tmp_path / "a.zarr", resume=True, **CHOICES).load()
    assert torch.equal(stored.x, lw.sample(MODEL, 20, **CHOICES).x)


def test_data_without_a_mark_are_drawn_again(tmp_path) -> None:
    """A batch whose data were written, or half of them, but not its mark, is none."""
    out = tmp_path / "ensemble.zarr"
    interrupt(out, 300)
    partial = out.with_name("ensemble.zarr.partial")
    assert {mark.name for mark in (partial / "finished").iterdir()} == {"0.npy", "100.npy", "200.npy"}
    (partial / "finished" / "100.npy").rename(partial / "finished" / "100.tmp")
    zarr.open_group(str(partial), mode="a", zarr_format=2)["x"][100:170] = 77.0
    begun = set()
    stored = lw.sample(MODEL, 350, out=out, resume=True, callback=lambda info: begun.add(info.start), **CHOICES).load()
    assert begun == {100, 300}
    whole = lw.sample(MODEL, 350, **CHOICES)
    assert torch.equal(stored.x, whole.x)
    assert torch.equal(stored.log_weight, whole.log_weight)
    torch.testing.assert_close(stored.ledger.step_work.value, whole.ledger.step_work.value)


def test_what_is_no_finished_ensemble_is_refused(tmp_path) -> None:
    interrupt(tmp_path / "a.zarr", 200)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("hello")
    zarr.open_group(str(tmp_path / "other.zarr"), mode="w", zarr_format=2).create_array("y", data=np.zeros(3))
    for name in ("nowhere.zarr", "a.zarr", "a.zarr.partial", "empty", "file", "other.zarr"):
        with pytest.raises(ConfigError, match="not an ensemble"):
            lw.open_ensemble(tmp_path / name)


def test_settings_that_were_lost_do_not_go_on(tmp_path) -> None:
    out = tmp_path / "a.zarr"
    interrupt(out, 100)
    settings = out.with_name("a.zarr.partial") / "settings.json"
    assert json.loads(settings.read_text())["n"] == 350
    settings.unlink()
    with pytest.raises(lw.LeastworkError, match="other settings"):
        lw.sample(MODEL, 350, out=out, resume=True, **CHOICES)


def test_text_is_written_whole(tmp_path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_text(path, "λ = 1\n")
    write_text(path, "λ = 2\n")
    assert path.read_text(encoding="utf-8") == "λ = 2\n"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_an_ensemble_without_steps_work_is_saved(tmp_path) -> None:
    bare = lw.Ensemble(torch.ones(3, 1), Ledger(torch.tensor([1.0, 0.0]), why_no_weights="none"))
    again = save_ensemble(bare, tmp_path / "a.zarr").load()
    assert again.ledger.why_no_weights == "none"
    assert again.log_tilt is None
