"""The pages on other packages run as they stand: trained, wrapped, checked and guided (skipped without a package)."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import leastwork as lw
from leastwork.cli import app

PAGES = Path(__file__).parents[2] / "docs" / "adapters"


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (PAGES / page).read_text(encoding="utf-8"), flags=re.DOTALL)


def run_file(page: str) -> str:
    (found,) = re.findall(r"```yaml\n(.*?)```", (PAGES / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(found.splitlines()) <= 12
    return found


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


def test_the_run_file_of_diffusers_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an untrained network, which is where its own average is the datum."""
    diffusers = pytest.importorskip("diffusers", reason="needs the extra diffusers")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = diffusers.UNet2DModel(
            sample_size=4, in_channels=1, out_channels=1, block_out_channels=(8,), layers_per_block=1,
            down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",), norm_num_groups=4, add_attention=False,
        )  # fmt: skip
    diffusers.DDPMPipeline(net, diffusers.DDPMScheduler()).save_pretrained(tmp_path / "pipeline")
    (tmp_path / "contrast.py").write_text(
        "def contrast(x):\n    return x[:, 0, :2].mean(dim=(1, 2)) - x[:, 0, 2:].mean(dim=(1, 2))\n"
    )
    (tmp_path / "run.yaml").write_text(run_file("diffusers.md"))
    monkeypatch.chdir(tmp_path)
    few = ["method=reweight", "fit.samples=200", "sampling.n=50", "sampling.steps=3"]
    settings = [part for setting in few for part in ("--set", setting)]
    done = CliRunner().invoke(app, ["run", "run.yaml", "--out", "done", *settings])
    assert done.exit_code == 0, done.output
    again = lw.load_run("done", trust_code=True)
    assert again.model.event_shape == (1, 4, 4)


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
