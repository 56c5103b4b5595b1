"""Ensembles in the forms of other packages: the same numbers, with weights, units and standard errors."""

from dataclasses import replace
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

import leastwork as lw
from leastwork.models.latents import Decoder
from leastwork.sampling.ensemble import Ledger
from leastwork.support import extras

matplotlib.use("Agg")

N = 50
SQUARES = lw.Observable(lambda x: torch.stack([x[:, 0], x[:, 0] ** 2], dim=1), names=("x", "<x²>"), unit=("nm", "nm²"))


@pytest.fixture
def ensemble() -> lw.Ensemble:
    x = torch.randn(N, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    step_work = lw.Estimate(torch.tensor([0.1, 0.2]), torch.tensor([0.01, 0.02]))
    ledger = Ledger(torch.tensor([1.0, 0.5, 0.0]), torch.full((N,), 0.3), 0.5 * x[:, 0], step_work=step_work)
    return lw.Ensemble(x, ledger, log_tilt=-0.2 * x[:, 0])


def test_a_dataset_has_weights_units_and_errors(ensemble: lw.Ensemble) -> None:
    data = ensemble.to_xarray(SQUARES, unit="nm")
    assert data.x.attrs["units"] == "nm"
    assert list(data.distribution.values) == ["guided", "model", "target"]
    assert np.allclose(data.weight.sum("sample"), 1)
    assert list(data.observable_unit.values) == ["nm", "nm²"]
    for under in ("guided", "model", "target"):
        own, mean = data.sel(distribution=under), ensemble.mean(SQUARES, under)
        assert np.array_equal(own.average, mean.value)
        assert np.array_equal(own.average_stderr, mean.stderr)
        assert np.allclose((own.weight * data.observable_value[:, 0]).sum(), mean.value[0])
    assert data.step_work.attrs["units"] == "k_B T"
    assert data.step_end.values.tolist() == [0.5, 0.0]


def test_a_table_has_a_row_for_each_sample(ensemble: lw.Ensemble) -> None:
    table = ensemble.to_dataframe(SQUARES)
    assert len(table) == N
    assert table.attrs["units"]["<x²>"] == "nm²"
    assert np.allclose(table["<x²>"], ensemble.x[:, 0] ** 2)
    assert [name for name in ensemble.to_dataframe() if name.startswith("x[")] == ["x[0]", "x[1]", "x[2]"]


def test_structures_come_with_weights() -> None:
    mdtraj = pytest.importorskip("mdtraj")
    x = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(0))
    weights = torch.tensor([0.0, 1.0, 2.0, 3.0])
    drawn = lw.Ensemble(x, Ledger(torch.tensor([1.0, 0.0]), torch.zeros(4), weights))
    trajectory, found = drawn.to_mdtraj("YG", under="model", unit="angstrom")
    assert np.allclose(trajectory.xyz, 0.1 * x.numpy())
    assert [residue.name for residue in trajectory.topology.residues] == ["TYR", "GLY"]
    assert torch.allclose(found, torch.softmax(weights.double(), dim=0))
    again, _ = drawn.to_mdtraj(trajectory.topology)
    assert isinstance(again, mdtraj.Trajectory)
    for wrong, message in (("YGG", "no structures of the 3 atoms"), ("Y?", "is no sequence"), ("", "is no sequence")):
        with pytest.raises(lw.LeastworkError, match=message):
            drawn.to_mdtraj(wrong)
    with pytest.raises(lw.LeastworkError, match="is no unit"):
        drawn.to_mdtraj("YG", unit="Å")
    with pytest.raises(lw.LeastworkError, match="no log-tilt"):
        drawn.to_mdtraj("YG", under="target")


def test_without_weights_there_are_the_guided_samples_alone(ensemble: lw.Ensemble) -> None:
    ode = replace(ensemble, ledger=Ledger(ensemble.ledger.times, action=torch.ones(N)), log_tilt=None)
    data = ode.to_xarray()
    assert list(data.distribution.values) == ["guided"]
    assert "action" in data
    assert "work" not in data


def test_latents_are_decoded_and_frames_keep_both_parts(ensemble: lw.Ensemble) -> None:
    decoded = replace(ensemble, decoder=Decoder(lambda z: 2 * z))
    seen = decoded.to_xarray(lambda x: x[:, 0]).observable_value
    assert np.allclose(seen.values[:, 0], 2 * ensemble.x[:, 0])
    frames = replace(ensemble, x=(torch.zeros(N, 2, 3), torch.zeros(N, 2, 3, 3)))
    data = frames.to_xarray(lambda x: x[0][:, 0, 0])
    assert data.x0.shape == (N, 2, 3)
    assert data.x1.shape == (N, 2, 3, 3)
    with pytest.raises(lw.LeastworkError, match="2000 coordinates"):
        replace(ensemble, x=torch.zeros(N, 2000)).to_dataframe()


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    ensemble: lw.Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(package: str) -> Any:
        raise ImportError(name=package)

    monkeypatch.setattr(extras, "import_module", missing)
    for form in (ensemble.to_xarray, ensemble.to_dataframe):
        with pytest.raises(lw.LeastworkError, match=r"is not installed.*leastwork\[notebook\]"):
            form()
    with pytest.raises(lw.LeastworkError, match=r"mdtraj is not installed.*leastwork\[protein\]"):
        ensemble.to_mdtraj("YG")


def test_an_observable_is_drawn_under_each_distribution(ensemble: lw.Ensemble) -> None:
    left, right = ensemble.plot(SQUARES)
    assert left.get_xlabel() == "x (nm)"
    assert right.get_xlabel() == "<x²> (nm²)"
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["guided", "model", "target"]
    again = ensemble.plot(lambda x: x[:, 0], axes=left)
    assert again == [left]
    plt.close("all")
