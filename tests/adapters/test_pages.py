"""The pages on other packages run as they stand: trained, wrapped, checked and guided (skipped without a package)."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import leastwork as lw

PAGES = Path(__file__).parents[2] / "docs" / "adapters"


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (PAGES / page).read_text(encoding="utf-8"), flags=re.DOTALL)


def run(page: str) -> dict[str, Any]:
    """All blocks of a page, one after the other; the global generator is left as it was."""
    names: dict[str, Any] = {}
    state = torch.get_rng_state()
    try:
        for code in blocks(page):
            exec(compile(code, page, "exec"), names)
    finally:
        torch.set_rng_state(state)
    return names


@pytest.mark.parametrize("name", ["flow_matching", "torchcfm", "diffusers", "azula"])
def test_wrapping_and_guiding_takes_ten_lines(name: str) -> None:
    lines = [line for line in blocks(f"{name}.md")[-1].splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) <= 10
    assert any(f"from_{name}(" in line for line in lines)


def test_the_page_on_checking_a_model_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names = run("own-model.md")
    assert "set predicts='v'" in names["report"]["prediction"].words
    assert "no fault, no warning" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["flow_matching", "torchcfm", "diffusers", "azula"])
def test_the_pages_on_packages_run(name: str) -> None:
    pytest.importorskip(name, reason=f"needs the extra {name}")
    names = run(f"{name}.md")
    assert isinstance(names["model"], lw.DiffusionModel)
    assert names["report"].ok, str(names["report"])
    certificate = names["run"].certificate
    assert bool(certificate.on_target)
    assert float(certificate.efficiency.value) > 0.7
