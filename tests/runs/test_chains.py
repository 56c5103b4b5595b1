"""Structures of a run on its page: few enough however many samples there are, and none where there are no chains."""

import base64
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from leastwork.runs.base.chains import chain_sections

DRAWN = 150


def finished(x: torch.Tensor, weighted: bool = True, guides: torch.Tensor | None = None, kind: str = "value") -> Any:
    """What the section reads of a finished run."""
    n = len(x)
    log_weight = torch.linspace(0, 1, n, dtype=torch.float64) if weighted else None
    ledger = SimpleNamespace(log_weight=log_weight)
    ensemble = _Ensemble(x, ledger, torch.zeros(n, dtype=torch.float64) if weighted else None)
    return SimpleNamespace(ensemble=ensemble, plots={} if guides is None else {"guides": guides}, kind=kind)


class _Ensemble:
    def __init__(self, x: torch.Tensor, ledger: SimpleNamespace, log_tilt: torch.Tensor | None) -> None:
        self.x, self.ledger, self.log_tilt, self.log_weight = x, ledger, log_tilt, ledger.log_weight

    def __len__(self) -> int:
        return len(self.x)


def chains(n: int, atoms: int = 10) -> torch.Tensor:
    steps = torch.randn(n, atoms, 3, generator=torch.Generator().manual_seed(0))
    return (0.38 * steps / steps.norm(dim=2, keepdim=True)).cumsum(dim=1)


def test_many_structures_are_thinned_and_it_is_said() -> None:
    (section,) = chain_sections(finished(chains(100_000)))
    (shown,) = section.structures
    assert [(one.label, len(one.x), one.of) for one in shown.sets] == [
        ("guided", DRAWN, 100_000),
        ("model", DRAWN, 100_000),
    ]
    assert "150 of 100,000 guided and 150 of 100,000 model structures" in shown.caption
    assert [one.label for one in shown.shades] == ["weight"]
    assert shown.map is not None
    assert len(shown.map.panels[0].series[0].x) == DRAWN


def test_long_chains_are_fewer() -> None:
    (section,) = chain_sections(finished(chains(100, 1000)))
    assert [len(one.x) for one in section.structures[0].sets] == [20, 20]


def test_one_structure_is_shown() -> None:
    (section,) = chain_sections(finished(chains(1), weighted=False))
    payload = section.structures[0].payload()
    assert [one["n"] for one in payload["sets"]] == [1]
    x = np.frombuffer(base64.b64decode(payload["sets"][0]["x"]), "<i2").reshape(10, 3) / 1000
    assert np.allclose(np.linalg.norm(np.diff(x, axis=0), axis=1), 0.38, atol=0.002)


def test_guides_stand_beside_guided_structures() -> None:
    (section,) = chain_sections(finished(chains(20), guides=chains(5)))
    assert [(one.label, one.of) for one in section.structures[0].sets] == [("guided", 20), ("guides", 5)]


def test_states_that_are_no_chains_have_no_structures() -> None:
    for x in (torch.randn(9, 2), torch.randn(9, 3, 8, 8), 10 * chains(9), chains(9)[:, :3], chains(0)):
        assert chain_sections(finished(x)) == []
