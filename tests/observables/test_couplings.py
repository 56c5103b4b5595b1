"""Scalar couplings against hand-computed values, mdtraj and finite differences; their covariance; what is refused."""

import math
import pickle

import pytest
import torch
from torch import Tensor

from leastwork.errors import ConfigError, LeastworkError
from leastwork.observables import (
    KARPLUS,
    KINDS,
    Backbone,
    Karplus,
    Observable,
    TwoTorsions,
    forward_model_covariance,
    karplus_set,
    scalar_couplings,
    torsions,
)

RESIDUES = 4
CHAIN = Backbone.chain(RESIDUES, end=True)
ALL = [(kind, residue) for kind in KINDS for residue in range(2, RESIDUES + 1)]
BONDS = (0.1329, 0.1458, 0.1525)  # nm: C-N, N-CA, CA-C
ANGLES = (2.035, 2.124, 1.937)  # rad: of the atom before N, CA and C


def structures(n: int = 5, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3 * RESIDUES + 1, 3, generator=random, dtype=torch.float64)


def built(phi: float, psi: float, residues: int = RESIDUES) -> Tensor:
    """A chain with φ and ψ of all residues in degrees, and ω = 180°, by placing atom after atom: (1, 3R + 1, 3)."""
    atoms = [torch.tensor(place, dtype=torch.float64) for place in ([0.0, 0.1, 0.0], [0.0, 0.0, 0.0], [0.15, 0.0, 0.0])]
    for k in range(3, 3 * residues + 1):
        turn = math.radians((psi, 180.0, phi)[k % 3])  # about the bond before the last: CA-C, C-N, N-CA
        bond, angle = BONDS[k % 3], ANGLES[k % 3]
        a, b, c = atoms[-3:]
        along = (c - b) / (c - b).norm()
        normal = torch.linalg.cross(b - a, along)
        normal = normal / normal.norm()
        aside = torch.linalg.cross(normal, along)
        step = [-math.cos(angle), math.sin(angle) * math.cos(turn), math.sin(angle) * math.sin(turn)]
        atoms.append(c + bond * (step[0] * along + step[1] * aside + step[2] * normal))
    return torch.stack(atoms)[None]


def test_the_torsions_of_a_backbone_are_the_ones_that_it_was_built_with() -> None:
    x = built(-60.0, 130.0)
    for residue in (2, 3, 4):
        angles = torsions([CHAIN.phi(residue), CHAIN.psi(residue)])(x).rad2deg()
        torch.testing.assert_close(angles, torch.tensor([[-60.0, 130.0]], dtype=torch.float64))
    assert CHAIN.phi(2) == (2, 3, 4, 5)
    assert CHAIN.psi(1) == (0, 1, 2, 3)
    assert CHAIN.psi(4) == (9, 10, 11, 12)


@pytest.mark.parametrize(
    ("name", "kind", "phi", "psi", "by_hand"),
    [
        ("vogeli2007", "3J(HN,HA)", -60.0, 0.0, 7.97 / 4 + 1.26 / 2 + 0.63),  # θ = −120°
        ("vogeli2007", "3J(HN,HA)", -120.0, 0.0, 7.97 + 1.26 + 0.63),  # θ = 180°
        ("vogeli2007", "3J(HN,HA)", 60.0, 0.0, 7.97 - 1.26 + 0.63),  # θ = 0
        ("vogeli2007", "3J(HN,CB)", -60.0, 0.0, 3.51 - 0.53 + 0.14),  # θ = 0
        ("vogeli2007", "3J(HN,C')", -60.0, 0.0, 4.12 / 4 + 1.10 / 2 + 0.11),  # θ = 120°
        ("vogeli2007", "3J(HA,C')", -60.0, 0.0, 3.72 / 4 - 2.18 / 2 + 1.28),  # θ = 60°
        ("vogeli2007-mdtraj", "3J(HN,HA)", -120.0, 0.0, 8.40 + 1.36 + 0.33),
        ("schmidt1999", "3J(HN,HA)", -120.0, 0.0, 7.90 + 1.05 + 0.65),
        ("schmidt1999", "3J(HA,C')", -60.0, 0.0, 3.76 / 4 - 1.63 / 2 + 0.89),
        ("schmidt1999", "3J(HN,CB)", -60.0, 0.0, 2.90 - 0.56 + 0.18),
        ("schmidt1999", "3J(HN,CB)", 30.0, 0.0, 0.18),  # θ = 90°
        ("schmidt1999", "3J(HN,C')", -60.0, 0.0, 4.41 / 4 + 1.36 / 2 + 0.24),
        ("schmidt1999", "3J(HN,C')", 90.0, 0.0, 0.24),
        ("hu1997", "3J(HN,HA)", -120.0, 0.0, 7.09 + 1.42 + 1.55),
        ("hu1997", "3J(HN,CB)", -60.0, 0.0, 3.06 - 0.74 + 0.13),
        ("hu1997", "3J(HN,C')", -60.0, 0.0, 4.29 / 4 + 1.01 / 2),
        *((name, "1J(N,CA)", -60.0, 180.0, 1.70 + 0.98 + 9.51) for name in KARPLUS),
        *((name, "2J(N,CA)", -60.0, 180.0, -0.66 + 1.52 + 7.85) for name in KARPLUS),
        *((name, "2J(N,CA)", -60.0, 90.0, 7.85) for name in KARPLUS),
        ("hu1997", "3J(HN,CA)", 90.0, 90.0, 0.54 + 0.07 + 0.08 - 0.14),
        ("hu1997", "3J(HN,CA)", 0.0, 90.0, 0.54 - 0.23 + 0.08 + 0.12),
        ("hu1997", "3J(HN,CA)", 90.0, 0.0, 0.54 + 0.07 - 0.20 - 0.08),
        ("hu1997", "3J(HN,CA)", 180.0, 180.0, 0.54 + 0.23 + 0.20 + 0.07),
    ],
)
def test_values_at_angles_where_they_can_be_computed_by_hand(name, kind, phi, psi, by_hand) -> None:
    value = scalar_couplings(CHAIN, [(kind, 3)], KARPLUS[name])(built(phi, psi))
    assert value.item() == pytest.approx(by_hand, abs=1e-12)


def test_the_residue_of_each_kind() -> None:
    """Turning one bond changes those couplings that see its torsion, and no others."""
    seen = {"phi 3": {(k, 3) for k in KINDS if k[0] == "3"}, "psi 3": {("1J(N,CA)", 3), ("2J(N,CA)", 4)}}
    seen["psi 3"].add(("3J(HN,CA)", 4))
    x = built(-75.0, 140.0)
    quadruples = {"phi 3": CHAIN.phi(3), "psi 3": CHAIN.psi(3)}
    for which, (_, b, c, d) in quadruples.items():
        axis = (x[0, c] - x[0, b]) / (x[0, c] - x[0, b]).norm()
        k = torch.linalg.cross(axis.expand(3, 3), torch.eye(3, dtype=x.dtype))
        turned = x.clone()
        turned[0, d:] = (x[0, d:] - x[0, c]) @ torch.linalg.matrix_exp(0.4 * k) + x[0, c]
        observable = scalar_couplings(CHAIN, ALL)
        changed = (observable(turned) - observable(x))[0].abs() > 1e-9
        assert {datum for datum, moved in zip(ALL, changed.tolist(), strict=True) if moved} == seen[which]


def test_hennigs_relation_has_its_known_extrema() -> None:
    """0.033 and 1.089 Hz, as found numerically by others who use these coefficients."""
    grid = torch.linspace(-math.pi, math.pi, 721, dtype=torch.float64)
    values = KARPLUS["hu1997"]["3J(HN,CA)"](*torch.meshgrid(grid, grid, indexing="ij"))
    assert values.min().item() == pytest.approx(0.0329976, abs=1e-4)
    assert values.max().item() == pytest.approx(1.08915, abs=1e-4)


def test_couplings_are_those_of_mdtraj() -> None:
    md = pytest.importorskip("mdtraj")
    x = structures(50)
    topology = md.Topology()
    chain = topology.add_chain()
    for i in range(RESIDUES):
        residue = topology.add_residue("ALA", chain, i + 1)
        for name, element in (("N", md.element.nitrogen), ("CA", md.element.carbon), ("C", md.element.carbon)):
            topology.add_atom(name, element, residue)
    frames = md.Trajectory(x[:, :-1].numpy(), topology)
    cases = [
        ("3J(HN,HA)", md.compute_J3_HN_HA, "Bax2007", "vogeli2007-mdtraj"),
        ("3J(HN,HA)", md.compute_J3_HN_HA, "Ruterjans1999", "schmidt1999"),
        ("3J(HN,HA)", md.compute_J3_HN_HA, "Bax1997", "hu1997"),
        ("3J(HN,CB)", md.compute_J3_HN_CB, "Bax2007", "vogeli2007-mdtraj"),
        ("3J(HN,C')", md.compute_J3_HN_C, "Bax2007", "vogeli2007-mdtraj"),
    ]
    for kind, compute, theirs, ours in cases:
        _, expected = compute(frames, model=theirs)
        found = scalar_couplings(CHAIN, [(kind, residue) for residue in (2, 3, 4)], KARPLUS[ours])(x)
        torch.testing.assert_close(found, torch.from_numpy(expected).double(), rtol=0, atol=1e-3)


def test_mdtraj_gives_the_other_sets_too_when_it_is_given_their_coefficients() -> None:
    """A, B and C of mdtraj's own function are those of the relations here, for any coefficients."""
    couplings = pytest.importorskip("mdtraj.nmr.scalar_couplings")
    angle = torch.linspace(-math.pi, math.pi, 37, dtype=torch.float64)
    for relations in KARPLUS.values():
        for relation in relations.values():
            if isinstance(relation, Karplus):
                a, b, c, delta = relation.a, relation.b, relation.c, math.radians(relation.delta)
                expected = torch.from_numpy(couplings._J3_function(angle.numpy(), a, b, c, delta))
                torch.testing.assert_close(relation(angle), expected, rtol=0, atol=1e-12)


def test_errors_of_relations_are_mdtrajs_or_larger() -> None:
    couplings = pytest.importorskip("mdtraj.nmr.scalar_couplings")
    hn_ha = couplings.J3_HN_HA_uncertainties
    assert KARPLUS["vogeli2007-mdtraj"]["3J(HN,HA)"].sigma == hn_ha["Bax2007"]
    assert KARPLUS["vogeli2007-mdtraj"]["3J(HN,CB)"].sigma == couplings.J3_HN_CB_uncertainties["Bax2007"]
    assert KARPLUS["vogeli2007-mdtraj"]["3J(HN,C')"].sigma == couplings.J3_HN_C_uncertainties["Bax2007"]
    assert KARPLUS["schmidt1999"]["3J(HN,HA)"].sigma > hn_ha["Ruterjans1999"]
    assert KARPLUS["hu1997"]["3J(HN,HA)"].sigma > hn_ha["Bax1997"]


@pytest.mark.parametrize("name", KARPLUS)
def test_every_set_has_every_kind_with_an_error_and_a_citation(name: str) -> None:
    relations = karplus_set(name)
    assert set(relations) == set(KINDS)
    for kind, relation in relations.items():
        assert relation.sigma > 0
        assert relation.citation[-4:].isdigit()
        assert isinstance(relation, TwoTorsions if kind == "3J(HN,CA)" else Karplus)


@pytest.mark.parametrize(
    ("name", "errors"),  # Hz, in the order of KINDS
    [
        ("vogeli2007", [0.42, 0.25, 0.31, 0.38, 0.10, 0.59, 0.50]),
        ("vogeli2007-mdtraj", [0.36, 0.22, 0.30, 0.38, 0.10, 0.59, 0.50]),
        ("schmidt1999", [0.35, 0.35, 0.35, 0.35, 0.10, 0.59, 0.50]),
        ("hu1997", [0.91, 0.39, 0.59, 0.38, 0.10, 0.59, 0.50]),
    ],
)
def test_the_errors_of_the_relations(name: str, errors: list[float]) -> None:
    assert [KARPLUS[name][kind].sigma for kind in KINDS] == errors


def test_what_a_set_lacks_is_filled_and_says_from_where() -> None:
    for name, paper in (("vogeli2007", "Vögeli"), ("vogeli2007-mdtraj", "Vögeli"), ("schmidt1999", "Schmidt")):
        cited = [KARPLUS[name][kind].citation.split()[0].rstrip(",") for kind in KINDS]
        assert cited == [paper] * 3 + ["Schmidt" if paper == "Schmidt" else "Hu", "Hennig", "Wirmer", "Ding"]
    assert {KARPLUS["hu1997"][kind].citation[:8] for kind in KINDS[:4]} == {"Hu & Bax"}


@pytest.mark.parametrize("name", KARPLUS)
def test_derivatives_are_those_of_finite_differences(name: str) -> None:
    observable = scalar_couplings(CHAIN, ALL, KARPLUS[name])
    x = structures(2).requires_grad_()
    assert torch.autograd.gradcheck(observable, x)


def test_the_second_derivatives_of_all_kinds() -> None:
    observable = scalar_couplings(CHAIN, [(kind, 3) for kind in KINDS])
    assert torch.autograd.gradgradcheck(observable, built(-75.0, 145.0).requires_grad_())


def test_couplings_are_smooth_where_an_angle_jumps() -> None:
    observable = scalar_couplings(CHAIN, [(kind, 3) for kind in KINDS])
    both = torch.cat([built(180.0 - 1e-7, 180.0 - 1e-7), built(-180.0 + 1e-7, -180.0 + 1e-7)]).requires_grad_()
    values = observable(both)
    (slope,) = torch.autograd.grad(values.sum(), both)
    torch.testing.assert_close(values[0], values[1], rtol=0, atol=1e-7)
    assert bool(slope.isfinite().all())


def test_motion_changes_nothing_but_a_mirror_does() -> None:
    x = built(-60.0, 130.0)
    observable = scalar_couplings(CHAIN, ALL)
    q = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).Q
    q = q * torch.linalg.det(q)
    torch.testing.assert_close(observable(x @ q + 7.0), observable(x), rtol=0, atol=1e-12)
    mirrored = x * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    torch.testing.assert_close(observable(mirrored), observable(built(60.0, -130.0)), rtol=0, atol=1e-12)
    change = (observable(mirrored) - observable(x))[0, : RESIDUES - 1]  # 3J(HN,HA), φ of −60° and 60°
    torch.testing.assert_close(change, torch.full_like(change, 7.34 - 3.2525), rtol=0, atol=1e-12)
    unseen = [column for column, (kind, _) in enumerate(ALL) if kind == "1J(N,CA)"]  # even in ψ
    torch.testing.assert_close(observable(mirrored)[:, unseen], observable(x)[:, unseen])


def test_columns_are_in_the_order_of_the_data_and_named() -> None:
    x = structures(3)
    shuffled = [ALL[i] for i in torch.randperm(len(ALL), generator=torch.Generator().manual_seed(2)).tolist()]
    observable = scalar_couplings(CHAIN, shuffled)
    assert observable.names == tuple(f"{kind} {residue}" for kind, residue in shuffled)
    assert set(observable.units) == {"Hz"}
    each = torch.cat([scalar_couplings(CHAIN, [datum])(x) for datum in shuffled], dim=1)
    torch.testing.assert_close(observable(x), each, rtol=0, atol=1e-12)
    assert observable(x.float()).dtype == torch.float32
    assert pickle.loads(pickle.dumps(observable)) == observable


def test_a_backbone_within_a_larger_structure() -> None:
    """Atoms anywhere, and residues numbered as in the protein."""
    x = structures(3)
    order = torch.randperm(x.shape[1], generator=torch.Generator().manual_seed(3))
    at = order.argsort().tolist()
    scattered = Backbone(
        tuple(at[i] for i in CHAIN.n),
        tuple(at[i] for i in CHAIN.ca),
        tuple(at[i] for i in CHAIN.c),
        end=at[-1],
        first=11,
    )
    data = [(kind, residue + 10) for kind, residue in ALL]
    torch.testing.assert_close(scalar_couplings(scattered, data)(x[:, order]), scalar_couplings(CHAIN, ALL)(x))
    with pytest.raises(LeastworkError, match="there is no residue 4: the chain has residues 11 to 14"):
        scalar_couplings(scattered, [("1J(N,CA)", 4)])


def test_a_set_of_ones_own() -> None:
    flat = {"3J(HN,HA)": Karplus(0.0, 0.0, 5.0, 0.0, 0.3, "own")}
    assert scalar_couplings(CHAIN, [("3J(HN,HA)", 2)], flat)(structures(1)).item() == 5.0
    with pytest.raises(LeastworkError, match=r"the Karplus set has no relation for 1J\(N,CA\): it has 3J\(HN,HA\)"):
        scalar_couplings(CHAIN, [("1J(N,CA)", 2)], flat)
    with pytest.raises(LeastworkError, match="has no relation for"):
        forward_model_covariance(["1J(N,CA)"], flat)


def test_errors_of_one_kind_are_shared_and_of_two_are_not() -> None:
    kinds = ["3J(HN,HA)", "1J(N,CA)", "3J(HN,HA)", "2J(N,CA)"]
    sigma = KARPLUS["hu1997"]["3J(HN,HA)"].sigma
    covariance = forward_model_covariance(kinds, KARPLUS["hu1997"], shared=0.3)
    expected = torch.diag(torch.tensor([sigma**2, 0.59**2, sigma**2, 0.5**2], dtype=torch.float64))
    expected[0, 2] = expected[2, 0] = 0.3 * sigma**2
    torch.testing.assert_close(covariance, expected)
    assert torch.equal(forward_model_covariance(kinds, shared=0.0), forward_model_covariance(kinds).diag().diag())
    torch.testing.assert_close(
        forward_model_covariance(kinds), forward_model_covariance(kinds, KARPLUS["vogeli2007"], shared=0.5)
    )


@pytest.mark.parametrize("name", KARPLUS)
@pytest.mark.parametrize("shared", [0.0, 0.5, 1.0])
def test_the_covariance_is_positive_semidefinite(name: str, shared: float) -> None:
    values = torch.linalg.eigvalsh(forward_model_covariance([kind for kind, _ in ALL], KARPLUS[name], shared=shared))
    assert values[0] > -1e-12
    rank = int((values > 1e-9).sum())
    assert rank == (len(KINDS) if shared == 1 else len(ALL))


@pytest.mark.parametrize("shared", [-0.1, 1.1, math.nan])
def test_a_correlation_is_from_0_to_1(shared: float) -> None:
    with pytest.raises(LeastworkError, match=r"shared = .*: give a correlation from 0, errors of their own, to 1"):
        forward_model_covariance(["3J(HN,HA)"], shared=shared)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "there are no couplings: give"),
        ([("3J(HN,HA)", 5)], "there is no residue 5: the chain has residues 1 to 4"),
        ([("3J(HN,HA)", 0)], "there is no residue 0: the chain has residues 1 to 4"),
        ([("3J(HN,HB)", 2)], r"there is no relation for a coupling '3J\(HN,HB\)': known are 3J\(HN,HA\), "),
        (
            [("3J(HN,HA)", 1)],
            r"3J\(HN,HA\) of residue 1, the first, is undefined, for it depends on its phi: leave it out",
        ),
        ([("3J(HN,CA)", 1)], r"3J\(HN,CA\) of residue 1, the first, is undefined, for it depends on its phi"),
        (
            [("2J(N,CA)", 1)],
            r"2J\(N,CA\) of residue 1, the first, is undefined, for it depends on the psi of a residue befo",
        ),
        ([("1J(N,CA)", 2), ("1J(N,CA)", 2)], r"1J\(N,CA\) of residue 2 stands twice among the couplings: keep one"),
    ],
)
def test_couplings_that_are_none(data, message: str) -> None:
    with pytest.raises(LeastworkError, match=message):
        scalar_couplings(CHAIN, data)


def test_the_last_residue_needs_the_terminal_oxygen_for_psi_only() -> None:
    bare = Backbone.chain(RESIDUES)
    x = structures(2)[:, :-1]
    with pytest.raises(
        LeastworkError, match=r"1J\(N,CA\) of residue 4, the last, is undefined without the terminal ox"
    ):
        scalar_couplings(bare, [("1J(N,CA)", 4)])
    with pytest.raises(LeastworkError, match="psi of residue 4, the last, is undefined without the terminal oxygen"):
        bare.psi(4)
    with pytest.raises(LeastworkError, match="phi of residue 1, the first, is undefined: no C' comes before its N"):
        bare.phi(1)
    others = [datum for datum in ALL if datum != ("1J(N,CA)", 4)]
    torch.testing.assert_close(scalar_couplings(bare, others)(x), scalar_couplings(CHAIN, others)(structures(2)))
    assert isinstance(scalar_couplings(bare, [("1J(N,CA)", 1)]), Observable)


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (((0, 3), (1, 4), (2,)), "the residues of a backbone have one N, CA and C each, not 2 atoms N, 2 atoms CA, 1 "),
        (((), (), ()), "a backbone without residues has no torsions"),
        (((0,), (1,), (1,)), "are not 3 different atoms"),
        (((0,), (1,), (-2,)), "are not 3 different atoms"),
        (((0,), (1,), (2,), 2), "are not 4 different atoms"),
        (((0,), (1,), (2,), -1), "are not 4 different atoms"),
    ],
)
def test_backbones_that_are_none(atoms, message: str) -> None:
    with pytest.raises(LeastworkError, match=message):
        Backbone(*atoms)


def test_a_structure_that_is_too_small() -> None:
    with pytest.raises(LeastworkError, match="a structure of 12 atoms has no atom 12"):
        scalar_couplings(CHAIN, [("1J(N,CA)", 4)])(structures(1)[:, :-1])


def test_an_unknown_set_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="there is no Karplus set 'bax': known are vogeli2007, vogeli2007-mdtraj, "):
        karplus_set("bax")
