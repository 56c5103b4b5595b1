"""Averages under three distributions, and what an ensemble refuses.

A check at z = 5 gives a false alarm in 1.7 million; seeds are fixed.
"""

import math
from dataclasses import replace

import pytest
import torch

import leastwork as lw
from leastwork.sampling.ensemble import Ledger, log_weight_under

MODEL, TARGET = 0.5, -0.4  # means of the unit Gaussians that the samples of N(0, 1) stand for


def ensemble(n: int, seed: int = 0) -> lw.Ensemble:
    """x from Q = N(0, 1), with the weights of P = N(0.5, 1) and a tilt that takes P to N(−0.4, 1)."""
    x = torch.randn(n, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    log_weight = MODEL * x[:, 0] - 0.5 * MODEL**2
    tilt = (TARGET - MODEL) * x[:, 0]
    ledger = Ledger(torch.tensor([1.0, 0.0]), work=torch.full((n,), 0.5 * MODEL**2), log_weight=log_weight)
    return lw.Ensemble(x, ledger, tilt)


@pytest.mark.parametrize(("under", "mean"), [("guided", 0.0), ("model", MODEL), ("target", TARGET)])
def test_means_and_their_standard_errors(under, mean: float) -> None:
    """For a unit Gaussian at m seen from N(0, 1): mean m, n·stderr² = e^{m²}(1 + m²)."""
    n = 200_000
    found = ensemble(n).mean(lambda x: x[:, 0], under)
    assert abs(found.value - mean) < 5 * found.stderr
    assert math.isclose(found.stderr, math.sqrt(math.exp(mean**2) * (1 + mean**2) / n), rel_tol=0.05)


def test_kish_fraction() -> None:
    """For P = N(m, 1) and Q = N(0, 1) it is e^{−m²}."""
    found = ensemble(200_000).ess
    assert abs(found.value - math.exp(-(MODEL**2))) < 5 * found.stderr


def test_several_columns_piece_by_piece() -> None:
    ens = ensemble(1000)
    sizes = []

    def fn(x):
        assert not torch.is_grad_enabled()
        sizes.append(len(x))
        return torch.cat([x, x**2], dim=1)

    whole, pieces = ens.mean(fn, "model"), ens.mean(fn, "model", batch_size=300)
    assert sizes == [1000, 300, 300, 300, 100]
    assert whole.value.shape == (2,)
    torch.testing.assert_close(whole.value, pieces.value)
    assert math.isclose(whole.value[1], ens.mean(lambda x: x[:, 0] ** 2, "model").value, rel_tol=1e-12)


def test_tuple_states() -> None:
    ens = replace(ensemble(100), x=(torch.ones(100, 2), torch.zeros(100, 3, 3)))
    assert len(ens) == 100
    assert ens.mean(lambda x: x[0][:, 0] + x[1][:, 0, 0], batch_size=30).value == 1
    assert "(100, 2), (100, 3, 3)" in repr(ens)


def test_log_weights_under_each_distribution() -> None:
    ens = ensemble(10)
    assert not log_weight_under("guided", ens).any()
    assert torch.equal(log_weight_under("model", ens), ens.log_weight)
    assert torch.equal(log_weight_under("target", ens), ens.log_weight + ens.log_tilt)


def test_what_is_refused() -> None:
    ens = ensemble(10)
    with pytest.raises(lw.LeastworkError, match="'guided', 'model' or 'target'"):
        ens.mean(lambda x: x[:, 0], under="targte")  # type: ignore[arg-type]
    with pytest.raises(lw.LeastworkError, match=r"run\.sample"):
        replace(ens, log_tilt=None).mean(lambda x: x[:, 0], under="target")
    with pytest.raises(lw.LeastworkError, match="no kinetic action"):
        _ = ens.action
    bare = replace(ens, ledger=Ledger(torch.tensor([1.0, 0.0]), why_no_weights="no weights for a reason"))
    for use in (
        lambda: bare.work,
        lambda: bare.log_weight,
        lambda: bare.ess,
        lambda: bare.mean(lambda x: x[:, 0], under="model"),
        lambda: bare.mean(lambda x: x[:, 0], under="target"),
    ):
        with pytest.raises(lw.NoPathWeightsError, match="for a reason"):
            use()
    assert "no path weights" in repr(bare)
    assert math.isfinite(bare.mean(lambda x: x[:, 0]).value)


@pytest.mark.parametrize("under", ["guided", "model", "target"])
def test_standard_errors_cover(under) -> None:
    """Of 2000 repeats (68.27 ± 5·1.04) % lie within a standard error, less 1 % that finite n = 1000 may cost."""
    exact = {"guided": 0.0, "model": MODEL, "target": TARGET}[under]
    found = [ensemble(1000, seed).mean(lambda x: x[:, 0], under) for seed in range(2000)]
    inside = sum(abs(e.value - exact) < e.stderr for e in found) / 2000
    assert abs(inside - 0.6827) < 5 * math.sqrt(0.6827 * 0.3173 / 2000) + 0.01
