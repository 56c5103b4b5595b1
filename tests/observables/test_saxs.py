"""SAXS of residue beads: the Debye sum against the sum over pairs, closed forms, derivatives, and what is refused."""

import math
import pickle

import pytest
import torch
from torch import Tensor

from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.observables import evaluate, saxs, saxs_error
from leastwork.observables.debye import debye
from leastwork.observables.residue_beads import BEADS, WATER_DENSITY, amplitudes, bead_positions, exposed_areas

SEQUENCE = "GYDPETGTWG"
Q = [0.0, 0.013, 0.1, 0.25, 0.5]


def chains(n: int = 3, residues: int = 10, seed: int = 0) -> Tensor:
    """Walks of steps of 0.38 nm, float64."""
    step = torch.randn(n, residues, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (0.38 * step / step.norm(dim=2, keepdim=True)).cumsum(dim=1)


def of_pairs(x: Tensor, form: Tensor, q: Tensor) -> Tensor:
    """The Debye sum as it is written, (B, Q)."""
    apart = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")[..., None]
    return torch.einsum("bijq,iq,jq->bq", torch.sinc(q * apart / math.pi), form, form)


@pytest.mark.parametrize("size", [0.3, 20.0, 400.0])
def test_the_series_is_the_sum_over_pairs(size: float) -> None:
    x, q = size * chains(2, 30), torch.tensor([0.0, 0.01, 0.2, 0.5], dtype=torch.float64)
    weights = torch.rand(30, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    shapes = torch.tensor([[1.0, 1.0, 0.9, 0.7], [0.5, 0.4, -0.3, 0.1]], dtype=torch.float64)
    expected = of_pairs(x, weights @ shapes, q)
    scale = float(expected.max())
    torch.testing.assert_close(debye(x, weights, shapes, q), expected, rtol=0, atol=1e-12 * scale)
    each = debye(x, weights.expand(2, -1, -1), shapes, q)
    torch.testing.assert_close(each, expected, rtol=0, atol=1e-12 * scale)


def test_points_in_one_place_scatter_as_one() -> None:
    one = torch.ones(4, 1, dtype=torch.float64)
    found = debye(torch.zeros(2, 4, 3, dtype=torch.float64), one, torch.ones(1, 2, dtype=torch.float64), torch.ones(2))
    torch.testing.assert_close(found, torch.full((2, 2), 16.0, dtype=torch.float64))


def test_at_zero_it_is_the_square_of_the_excess_electrons() -> None:
    excess = sum(BEADS[letter].electrons - WATER_DENSITY * BEADS[letter].volume for letter in SEQUENCE)
    found = saxs([0.0], SEQUENCE, hydration=0)(chains())
    torch.testing.assert_close(found, torch.full((3, 1), excess**2, dtype=torch.float64), rtol=1e-9, atol=0)


def test_without_water_it_is_the_sum_of_beads_and_what_they_scatter_alone() -> None:
    x, q = chains(), torch.tensor(Q, dtype=torch.float64)
    beads = [BEADS[letter] for letter in SEQUENCE]
    form, itself = amplitudes(beads, q)
    expected = of_pairs(bead_positions(10 * x, beads), form, q) + itself.sum(dim=0)
    torch.testing.assert_close(saxs(Q, SEQUENCE, hydration=0)(x), expected, rtol=1e-9, atol=1e-6)


def test_the_slope_at_zero_is_the_radius_of_gyration() -> None:
    """Guinier: I(q)/I(0) = 1 − q² R_g²/3, with R_g of the excess electrons."""
    x, small = chains(1), 1e-3
    curve = saxs([0.0, small], SEQUENCE, hydration=0)(x)[0]
    beads = [BEADS[letter] for letter in SEQUENCE]
    amplitude = amplitudes(beads, torch.tensor([0.0, small], dtype=torch.float64))[0]
    share = amplitude[:, 0] / amplitude[:, 0].sum()
    place = bead_positions(10 * x, beads)[0]
    spread = (share * (place - share @ place).square().sum(dim=1)).sum()
    own = 6 * (1 - amplitude[:, 1].sum() / amplitude[:, 0].sum()) / small**2  # of the beads themselves
    itself = sum(bead.dipole**2 for bead in beads) / float(curve[0])
    expected = spread + own - itself
    assert float(3 * (1 - curve[1] / curve[0]) / small**2) == pytest.approx(float(expected), rel=1e-5)


def test_the_layer_of_water_widens_the_molecule() -> None:
    x = chains(5)
    dry, wet = (saxs([0.0, 0.05], SEQUENCE, hydration=excess)(x) for excess in (0.0, 0.03))
    assert (wet[:, 0] > dry[:, 0]).all()
    assert (wet[:, 1] / wet[:, 0] < dry[:, 1] / dry[:, 0]).all()


def test_areas_shrink_with_neighbours() -> None:
    beads = [BEADS["A"]] * 20
    alone = exposed_areas(1e4 * (1 - torch.eye(20)[None]), beads)
    packed = exposed_areas(torch.zeros(1, 20, 20), beads)
    assert float(alone.min()) > 0.9 * 129
    assert float(packed.max()) < 0.02 * 129


@pytest.mark.parametrize("hydration", [0.0, 0.03])
def test_derivatives_are_those_of_finite_differences(hydration: float) -> None:
    curve = saxs([0.02, 0.3], "GYDP", hydration=hydration)
    x = chains(1, 4).requires_grad_()
    assert torch.autograd.gradcheck(curve, x, eps=1e-6, atol=1e-3, rtol=1e-6)


def test_turning_and_shifting_change_nothing_but_a_mirror_image_does() -> None:
    x, curve = chains(), saxs([0.1, 0.3], SEQUENCE)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64))[0]
    turn = turn * torch.linalg.det(turn)
    torch.testing.assert_close(curve(x @ turn.T + 3.0), curve(x), rtol=1e-9, atol=0)
    assert not torch.allclose(curve(-x), curve(x), rtol=1e-4, atol=0)


def test_d_residues_are_the_mirror_image_of_l_residues() -> None:
    """A chain of both, seen in a mirror, is that of the other hand; also where all letters but one are small."""
    x = chains(3, 8)
    mirror = torch.tensor([1.0, 1.0, -1.0])
    there, back = (saxs([0.1, 0.3], text)(at) for text, at in (("AwLyKeTF", x), ("aWlYkEtf", x * mirror)))
    assert torch.allclose(there, back, rtol=1e-5)
    assert not torch.allclose(there, saxs([0.1, 0.3], "AWLYKETF")(x), rtol=1e-3)
    with pytest.raises(LeastworkError, match="small letters are D residues: write L residues in capitals"):
        saxs([0.1], "awly")


def test_light_side_chains_are_warned_of() -> None:
    with pytest.warns(LeastworkWarning, match="scatter 0.45 electrons .* in gramicidin: compute it from all atoms"):
        saxs([0.1], "VGAlAvVvWlWlWlW")


def test_batches_units_and_precision_agree() -> None:
    x, curve = chains(50), saxs(Q, SEQUENCE)
    together = curve(x)
    torch.testing.assert_close(evaluate(curve, x, batch_size=7), together, rtol=1e-10, atol=0)
    with torch.no_grad():
        many = curve(x.expand(20, 50, 10, 3).reshape(-1, 10, 3))
    torch.testing.assert_close(many[-50:], together, rtol=1e-10, atol=0)
    torch.testing.assert_close(saxs(Q, SEQUENCE, unit="Å")(10 * x), together, rtol=1e-9, atol=0)
    torch.testing.assert_close(curve(x.float()).double(), together, rtol=1e-4, atol=0)
    assert curve(x.float()).dtype == torch.float32
    assert pickle.loads(pickle.dumps(curve)) == curve
    assert bool(curve(torch.zeros(2, 10, 3)).isfinite().all())


def test_alpha_carbons_are_picked_from_other_atoms() -> None:
    x = chains()
    among = torch.zeros(3, 30, 3, dtype=torch.float64)
    among[:, 1::3] = x
    picked = saxs(Q, SEQUENCE, ca=range(1, 30, 3))
    torch.testing.assert_close(picked(among), saxs(Q, SEQUENCE)(x))


def test_the_error_grows_with_q() -> None:
    assert saxs_error(torch.tensor([0.0, 0.15, 0.3])).tolist() == pytest.approx([0.0, 0.025, 0.1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q": []}, "there are no q"),
        ({"q": [3.0]}, "a q in 1/nm is ten times one"),
        ({"q": [float("nan")]}, "q = nan"),
        ({"q": [0.1, 0.1]}, "0.1 is given twice"),
        ({"sequence": "GXG"}, "one-letter codes"),
        ({"sequence": ""}, "at least one"),
        ({"hydration": -1.0}, "usually 0.03"),
        ({"unit": "pm"}, "nm or Å"),
        ({"ca": [0, 1]}, "2 Cα atoms for 3 residues"),
        ({"ca": [0, 1, 1]}, "a different one for each"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(change: dict, message: str) -> None:
    with pytest.raises(LeastworkError, match=message):
        saxs(**({"q": [0.1], "sequence": "GAG"} | change))


def test_other_structures_are_refused() -> None:
    with pytest.raises(LeastworkError, match="10 residues for a structure of 3 atoms"):
        saxs([0.1], SEQUENCE)(torch.zeros(1, 3, 3))
    with pytest.raises(LeastworkError, match="no structure"):
        saxs([0.1], SEQUENCE)(torch.zeros(1, 3))
