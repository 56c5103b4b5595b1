"""Curves of SAXS from text files: what is read, R_g, thinning, and what is refused with file, line and remedy."""

import math
from pathlib import Path

import pytest
import torch

from leastwork.data.nuisance import fit_with_nuisance
from leastwork.data.saxs_curve import SaxsCurve, read_saxs
from leastwork.errors import ConfigError
from leastwork.observables import evaluate, saxs

ATSAS = """\
Sample description: lysozyme in water 1 mg/ml
Parent(s): a.dat b.dat

   1.0e-02   9.5e+01   1.1e+00   3.0
   2.0e-02   8.9e+01   1.0e+00
   3.0e-02   8.0e+01   1.0e+00

creator: somebody
ignored: 1 2 3 words
"""


def written(folder: Path, text: str) -> Path:
    (folder / "curve.dat").write_text(text, encoding="utf-8")
    return folder / "curve.dat"


def guinier(radius: float, unit: float = 1.0, points: int = 60) -> str:
    """A curve of that R_g in Å, with q up to 0.3 1/Å, written in units of ``unit`` 1/Å."""
    q = [0.005 * k for k in range(1, points + 1)]
    rows = [(p, 100 * math.exp(-((p * radius) ** 2) / 3) + 0.1) for p in q]
    return "\n".join(f"{p / unit:.6f} {i:.6f} {0.01 * i:.6f}" for p, i in rows)


def test_a_file_of_atsas_is_read_with_words_before_and_after(tmp_path: Path) -> None:
    curve = read_saxs(written(tmp_path, ATSAS))
    assert curve.q.tolist() == [0.01, 0.02, 0.03]
    assert curve.intensity.tolist() == [95.0, 89.0, 80.0]
    assert curve.error.tolist() == [1.1, 1.0, 1.0]


@pytest.mark.parametrize(
    "text", ["q;I;s\n0,01;95,5;1,1\n0,02;89;1", "# q,I,s\n0.01,95.5,1.1\n0.02,89,1", "0.01\t95.5\t1.1\n0.02\t89\t1"]
)
def test_separators_and_decimal_commas(tmp_path: Path, text: str) -> None:
    curve = read_saxs(written(tmp_path, text))
    assert curve.q.tolist() == [0.01, 0.02]
    assert curve.intensity.tolist() == [95.5, 89.0]


def test_units_and_ranges_of_q(tmp_path: Path) -> None:
    file = written(tmp_path, guinier(15.0, unit=0.1))
    curve = read_saxs(file, "1/nm", q_min=0.01, q_max=0.1)
    assert float(curve.q[0]) == pytest.approx(0.01)
    assert float(curve.q[-1]) == pytest.approx(0.1)


def test_the_radius_of_gyration_is_that_of_guinier(tmp_path: Path) -> None:
    assert read_saxs(written(tmp_path, guinier(15.0))).radius_of_gyration() == pytest.approx(15.0, rel=0.02)


def test_the_other_unit_is_caught_by_the_radius_of_gyration(tmp_path: Path) -> None:
    in_nm = written(tmp_path, guinier(15.0, unit=0.1))
    with pytest.raises(
        ConfigError, match=r"with q in 1/Å .* is 1.5 Å, and 76 residues have .*read the file with q_unit"
    ):
        read_saxs(in_nm).experiment("A" * 76)
    right = read_saxs(in_nm, "1/nm", q_max=0.3)
    assert len(right.experiment("A" * 76).values) >= 59
    in_angstrom = written(tmp_path, guinier(15.0))
    with pytest.raises(ConfigError, match="with q in 1/Å it is"):
        read_saxs(in_angstrom, "1/nm").experiment("A" * 76)


def test_thinned_points_are_weighted_means(tmp_path: Path) -> None:
    curve = read_saxs(written(tmp_path, guinier(15.0)))
    thin = curve.thinned(10)
    assert len(thin.q) == 10
    assert float(thin.error.square().reciprocal().sum()) == pytest.approx(
        float(curve.error.square().reciprocal().sum())
    )
    assert curve.thinned(1000) is curve


def test_the_error_of_the_beads_is_added_and_the_scale_is_found() -> None:
    """Data are 0.002 times the model's averages but for noise: five standard errors, false alarm 6e-7."""
    generator = torch.Generator().manual_seed(0)
    step = torch.randn(400, 10, 3, generator=generator, dtype=torch.float64)
    x = (0.38 * step / step.norm(dim=2, keepdim=True)).cumsum(dim=1)
    q = torch.linspace(0.02, 0.3, 12, dtype=torch.float64)
    observed = evaluate(saxs(q, "GYDPETGTWG"), x)
    clean = 0.002 * observed.mean(dim=0)
    curve = SaxsCurve(q, clean + 0.01 * clean * torch.randn(12, generator=generator, dtype=torch.float64), 0.01 * clean)
    data = curve.experiment("GYDPETGTWG")
    assert float(data.errors[-1] / curve.error[-1]) > 9
    fit = fit_with_nuisance(observed, data, ["saxs"] * 12, offset=False)
    scale = fit.scales["saxs"]
    assert abs(scale.value - 0.002) < 5 * scale.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no line holds q, I and the error"),
        ("0.1 5.0\n0.2 4.0\n", "line 1: there is no error beside"),
        ("0.0 5.0 0.1\n", "line 1: q is 0, which the beam stop covers: leave the row out"),
        ("0.1 5.0 0.1\n0.2 -0.5 0.1\n", "line 2: the intensity is -0.5.*q_max"),
        ("0.1 5.0 0.1\n0.1 4.0 0.1\n", "line 2: q is 0.1 after 0.1"),
        ("0.1 5.0 0.1\n0.2 4.0 0\n", "line 2: the error of I is 0"),
        ("0.1 5.0 0.1\n0.2 nan 0.1\n", "line 2: a number is infinite or missing"),
        ("0.1 5.0 0.1\nsecond curve\n0.1 4.0 0.1\n", "line 2: words stand between the numbers"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_saxs(written(tmp_path, text))


def test_other_refusals(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        read_saxs(tmp_path / "none.dat")
    with pytest.raises(ConfigError, match="give 1/Å or 1/nm"):
        read_saxs(written(tmp_path, ATSAS), "nm")
    with pytest.raises(ConfigError, match="no q lies from 1 to"):
        read_saxs(written(tmp_path, ATSAS), q_min=1.0)
    assert len(read_saxs(written(tmp_path, "0.1 5 0.1\n0.2 -1 0.1\n"), q_max=0.15).q) == 1
