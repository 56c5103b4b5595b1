"""Runs and their parts in a notebook: tables for all of them, and figures on axes of matplotlib."""

import matplotlib
import pytest
import torch
from matplotlib import pyplot as plt

import leastwork as lw
from leastwork.observable_guidance.run import ObservableRun

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def run(model: lw.DiffusionModel) -> ObservableRun:
    side = lw.Observable(lambda x: torch.sigmoid(x[:, 0] / 0.1), names="on the <right>")
    data = lw.Experiment(side, values=[0.7], errors=[0.02])
    return lw.guide_observables(model, data, "loss", samples=500, certificate_samples=300, steps=10)


def test_a_run_shows_its_certificate_once_it_is_drawn(run: ObservableRun) -> None:
    assert "run.certificate draws" in run._repr_html_()
    assert "dissipation" in run.certificate._repr_html_()
    assert "dissipation" in run._repr_html_()


def test_parts_of_a_run_are_tables(run: ObservableRun) -> None:
    shown = {"model": run.model, "data": run.data, "fit": run.maxent, "samples": run.model_samples}
    for name, found in shown.items():
        assert found._repr_html_().startswith("<table>"), name
    assert "0.700 ± 0.020" in run.data._repr_html_()
    assert "on the &lt;right&gt;" in run.maxent._repr_html_()
    assert "±" in run.lambdas._repr_html_()
    assert lw.Estimate(0.5, 0.01)._repr_html_() == "<span>0.500 ± 0.010</span>"


def test_bounds_and_exact_values_in_words() -> None:
    both = lw.Observable(lambda x: x, names=("a", "b", "c"))
    data = lw.Experiment(both, values=[1.5, None, None], lower=[None, 0.2, None], upper=[None, 0.4, 3.0])
    found = data._repr_html_()
    assert "<td>1.5</td>" in found
    assert "<td>≥ 0.2 and ≤ 0.4</td>" in found
    assert "<td>≤ 3</td>" in found


def test_figures_are_axes(run: ObservableRun) -> None:
    axes = run.plot()
    assert len(axes) == 3
    assert [label.get_text() for label in axes[2].get_yticklabels()] == ["on the <right>"]
    assert run.certificate.plot(axes[0]) is axes[0]
    plt.close("all")


def test_models_of_all_kinds_are_tables(model: lw.DiffusionModel) -> None:
    frames = lw.FrameModel(lambda x, t: x, lw.VPSchedule(), lw.AngleSchedule(), residues=2)
    flow = lw.VelocityModel(lambda x, t: x, event_shape=(2,))
    assert "ODE alone" in flow._repr_html_()
    assert "(2, 3) and (2, 3, 3)" in frames._repr_html_()
    assert "VPSchedule" in model._repr_html_()
