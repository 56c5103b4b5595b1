"""What of the adapter to BioEmu needs no bioemu: messages, the report on structures, the tables, the schedule."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import leastwork as lw
from leastwork.adapters import bioemu
from leastwork.adapters.bioemu_files import Physicality, check_sequence
from leastwork.adapters.bioemu_tables import write_tables


def test_importing_the_adapter_imports_no_package() -> None:
    code = (
        "import sys, leastwork.adapters.bioemu\nassert not set(sys.modules) & {'bioemu', 'torch_geometric', 'mdtraj'}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_package_is_told_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing(package: str):
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr("leastwork.support.extras.import_module", missing)
    x = torch.zeros(1, 4, 3), torch.eye(3).expand(1, 4, 3, 3)
    for call in (
        lambda: bioemu.load_bioemu("GYDP"),
        lambda: bioemu.wrap_bioemu(torch.nn.Identity(), {}, None),
        lambda: bioemu.write_bioemu(x, "GYDP", tmp_path),
    ):
        with pytest.raises(lw.ConfigError, match=r"pip install 'leastwork\[bioemu\]'"):
            call()


@pytest.mark.parametrize(("sequence", "words"), [("GYdP", "residue 3 of the sequence is 'd'"), ("", "is empty")])
def test_sequences_are_checked(sequence: str, words: str) -> None:
    with pytest.raises(lw.ConfigError, match=words):
        check_sequence(sequence)


def test_a_report_counts_with_intervals() -> None:
    report = Physicality({"a": torch.tensor([True] * 10), "b": torch.tensor([True] * 8 + [False] * 2)})
    assert report.physical.sum() == 8
    fractions = report.fractions
    assert fractions["a"] == pytest.approx((1.0, 0.7225, 1.0), abs=1e-3)  # Wilson's, of 10 of 10
    assert fractions["all"] == pytest.approx((0.8, 0.4902, 0.9433), abs=1e-3)
    assert "80.0 % (49.0 to 94.3 %)" in repr(report)


def test_the_schedule_is_the_cosine_with_its_offset() -> None:
    schedule = bioemu._schedule(0.008)
    t = torch.tensor([0.001, 0.1, 0.5, 0.9, 0.99], dtype=torch.float64)
    alpha = ((t + 0.008) / 1.008 * math.pi / 2).cos() / math.cos(0.008 / 1.008 * math.pi / 2)
    torch.testing.assert_close(schedule.alpha(t), alpha)
    torch.testing.assert_close(schedule.sigma(t), (1 - alpha**2).sqrt(), rtol=1e-9, atol=0)
    beta = torch.tan((t + 0.008) / 1.008 * math.pi / 2) * math.pi / 1.008
    torch.testing.assert_close(-2 * schedule.alpha_dot(t) / schedule.alpha(t), beta)
    torch.testing.assert_close(schedule.time_of(schedule.log_snr(t)), t)
    assert (schedule.t_min, schedule.t_max) == (0.001, 0.99)


def test_the_scale_of_rotation_scores_is_the_sum_over_its_cubic_grid(tmp_path: Path) -> None:
    """√(7/9)/σ for narrow laws, where the weight of the grid makes it so, and nothing where the law is uniform."""
    write_tables(tmp_path, {"eps_t": 0.3, "num_sigma": 5, "num_omega": 400, "l_max": 200, "sigma_max": 2.33})
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == [
        "cache_igso3_s0.083-2.330-5_l200_o400-3.npz",
        "cache_score-scaling_s0.083-2.330-5_l201_o400-3.npz",
        "cache_uso3_s0.083-2.330-5_o400-3.npz",
    ]
    scaling = np.load(tmp_path / names[1])["score_scaling"]
    assert scaling[0] * 0.0833 == pytest.approx(math.sqrt(7 / 9), rel=0.01)
    assert scaling[-1] < 0.02
