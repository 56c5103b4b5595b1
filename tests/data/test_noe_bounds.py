"""NOE bounds: groups of protons, unseen contacts, the tightest of repeats, files, and what is refused."""

from pathlib import Path

import pytest
import torch

from leastwork.data.maxent import fit_lambdas
from leastwork.data.noe import CORRECTIONS, NoeBound, noe_experiment, read_noe
from leastwork.errors import ConfigError, LeastworkError
from leastwork.observables import Backbone, effective_distance, evaluate, group_inverse_powers, inverse_powers
from leastwork.observables.built_atoms import alpha_hydrogen, amide_hydrogen


def structures(n: int = 6) -> torch.Tensor:
    return torch.randn(n, 6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("power", [3, 6])
def test_a_group_is_the_sum_over_its_pairs(power: int) -> None:
    x = structures()
    single = inverse_powers([(0, 3), (0, 4), (1, 3), (1, 4)], power)(x)
    grouped = group_inverse_powers([((0, 1), (3, 4)), ((0,), (3,))], power)
    torch.testing.assert_close(grouped(x)[:, 0], single.sum(dim=1), rtol=1e-12, atol=0)
    torch.testing.assert_close(grouped(x)[:, 1], single[:, 0], rtol=1e-12, atol=0)
    assert grouped.names[0] == f"d(0+1,3+4)^-{power}"
    assert torch.autograd.gradcheck(grouped, structures(2).requires_grad_())


def test_groups_that_cannot_be() -> None:
    for restraints in ([], [((), (1,))], [((0, 1), (1, 2))]):
        with pytest.raises(LeastworkError, match="give"):
            group_inverse_powers(restraints)


def test_the_tightest_of_repeated_pairs_counts_with_its_correction() -> None:
    bounds = [
        NoeBound((0,), (3,), upper=0.5, error=0.05),
        NoeBound((3,), (0,), upper=0.3, correction=CORRECTIONS["H"] + CORRECTIONS["HA"]),
        NoeBound((1,), (4,), unseen=0.5),
        NoeBound((4,), (1,), unseen=0.6, held_out=True),
    ]
    data = noe_experiment(bounds)
    assert float(effective_distance(data.lower[0])) == pytest.approx(0.5)
    assert float(data.errors[0]) == pytest.approx(6 * 0.5**-7 * 0.05)
    assert float(effective_distance(data.upper[1])) == pytest.approx(0.6)
    assert data.held_out.tolist() == [False, True]
    swapped = noe_experiment([bounds[1], bounds[0]])
    assert float(effective_distance(swapped.lower[0])) == pytest.approx(0.5)


def test_a_bound_that_is_met_asks_nothing_and_one_that_is_not_pulls() -> None:
    """λ of an active bound meets it: the average over all samples by weight, exactly."""
    x = 0.3 * (0.1 * structures(500) + torch.arange(6, dtype=torch.float64)[:, None])
    observed = evaluate(inverse_powers([(0, 1), (2, 3)], 3), x)
    own = effective_distance(observed.mean(dim=0), 3)
    near, far = 0.9 * float(own[0]), 1.5 * float(own[1])
    fit = fit_lambdas(observed, noe_experiment([NoeBound((0,), (1,), near), NoeBound((2,), (3,), far)], 3))
    assert float(fit.lambdas[1]) == 0
    assert float(effective_distance(fit.predicted[0], 3)) == pytest.approx(near, rel=1e-6)


def test_a_file_of_peaks_and_unseen_contacts(tmp_path: Path) -> None:
    file = tmp_path / "noe.csv"
    file.write_text("i;j;upper;unseen;error;held_out\n3;18;0,45;;0,05;\n3;12 13 14;;0,6;;yes\n")
    seen, unseen = read_noe(file)
    assert seen == NoeBound((3,), (18,), upper=0.45, error=0.05, line=2)
    assert unseen == NoeBound((3,), (12, 13, 14), unseen=0.6, held_out=True, line=3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no NOE bounds"),
        ("i,j\n1,2\n", "line 1: name at least the columns"),
        ("i,j,upper\n1,x,0.5\n", "line 2: j is 'x'"),
        ("i,j,upper\n1,-2,0.5\n", "line 2: j is '-2'"),
        ("i,j,upper\n1,2,far\n", "line 2: upper is 'far'"),
        ("i,j,upper\n1,2,\n", "line 2: give either upper"),
        ("i,j,upper,unseen\n1,2,0.3,0.5\n", "line 2: give either upper"),
        ("i,j,upper\n1,2,0\n", "line 2: the bound of 1 and 2 is 0"),
        ("i,j,upper\n1,1 2,0.5\n", "line 2: 1 and 1\\+2 share an atom"),
        ("i,j,upper,held_out\n1,2,0.5,perhaps\n", "line 2: held_out is 'perhaps'"),
        ("i,j,upper\n1,2,0.5,7\n", "line 2: 4 cells for 3 columns"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "noe.csv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_noe(tmp_path / "noe.csv")


def test_seen_and_unseen_at_once_is_refused() -> None:
    bounds = [NoeBound((0,), (1,), upper=0.5, line=2), NoeBound((1,), (0,), unseen=0.6, line=5)]
    with pytest.raises(ConfigError, match="line 2 and line 5: the pair 1 and 0 is seen and unseen"):
        noe_experiment(bounds)
    with pytest.raises(ConfigError, match="give at least one"):
        noe_experiment([])


def test_protons_of_a_backbone_are_built_and_named(tmp_path: Path) -> None:
    file = tmp_path / "noe.csv"
    file.write_text("i,j,upper,unseen,error\n2:H,1:HA,0.3,,0.03\n3:H,2:H,,0.5,0\n2:H,0,0.2,,0\n")
    x = 0.1 * torch.randn(4, 9, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    data = noe_experiment(read_noe(file), 3, backbone=Backbone.chain(3))
    assert data.names == ("d(2:H,1:HA)^-3", "d(3:H,2:H)^-3", "d(2:H,0)^-3")
    h, ha = amide_hydrogen(x[:, 2], x[:, 3], x[:, 4]), alpha_hydrogen(x[:, 0], x[:, 1], x[:, 2])
    found = data.observable(x)
    torch.testing.assert_close(found[:, 0], (h - ha).norm(dim=1) ** -3, rtol=1e-12, atol=0)
    torch.testing.assert_close(found[:, 2], (h - x[:, 0]).norm(dim=1) ** -3, rtol=1e-12, atol=0)
    file.write_text("i,j,upper,unseen,error\n2:H,1:HA,3.0,,0.3\n3:H,2:H,,5.0,0\n2:H,0,2.0,,0\n")
    in_angstrom = noe_experiment(read_noe(file), 3, "Å", backbone=Backbone.chain(3)).observable(10 * x)
    torch.testing.assert_close(1000 * in_angstrom, found, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("row", "backbone", "said"), [
    ("2:H,1:HA", None, "give the backbone"),
    ("1:H,2:HA", Backbone.chain(3), "no H that can be placed"),
    ("2:H,4:HA", Backbone.chain(3), "residues 1 to 3"),
    ("2:HB,1:HA", Backbone.chain(3), "as 3:HA"),
])  # fmt: skip
def test_protons_that_cannot_be_built(row: str, backbone: Backbone | None, said: str, tmp_path: Path) -> None:
    file = tmp_path / "noe.csv"
    file.write_text(f"i,j,upper\n{row},0.3\n")
    with pytest.raises(ConfigError, match=said):
        noe_experiment(read_noe(file), backbone=backbone)


@pytest.mark.parametrize(("text", "unit", "said"), [
    ("i,j,upper\n0,3,5.0\n1,4,4.5\n", "nm", "not below 4.5 nm, .* divide them by ten if they are Å"),
    ("i,j,unseen\n0,3,6.0\n", "nm", "divide them by ten"),
    ("i,j,upper\n0,3,0.5\n1,4,0.45\n", "Å", "not above 0.5 Å, .* multiply them by ten if they are nm"),
    ("# unit: Angstrom\ni,j,upper\n0,3,0.5\n", "nm", "line 1: the unit is 'Angstrom', and the numbers are"),
])  # fmt: skip
def test_bounds_in_another_unit_are_told(text: str, unit: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "noe.csv"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        noe_experiment(read_noe(file, unit), unit=unit)
