"""Guides and regions from files: what is read, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from leastwork.errors import ConfigError
from leastwork.kernels.region import Ball
from leastwork.runs.load import load_config
from leastwork.runs.path.config import GuidesConfig, PathConfig
from leastwork.runs.path.guide_points import read_points
from leastwork.runs.path.inputs import build_path_inputs
from leastwork.runs.path.regions import BallConfig, MembershipConfig, SlabConfig
from leastwork.runs.path.truth import known_region
from leastwork.systems.muller_brown import SADDLE, muller_brown
from leastwork.systems.thin_region import moons_gap

GRID = torch.cartesian_prod(*[torch.linspace(-2, 2, 41)] * 2)


def csv(tmp_path: Path, text: str) -> GuidesConfig:
    (tmp_path / "points.csv").write_text(text)
    return GuidesConfig(csv=tmp_path / "points.csv")


def npy(tmp_path: Path, array: np.ndarray) -> GuidesConfig:
    np.save(tmp_path / "points.npy", array)
    return GuidesConfig(npy=tmp_path / "points.npy")


@pytest.mark.parametrize(
    "text", ["1,2\n3, 4\n", "x,y\n1,2\n\n3,4\n", "# made by hand\na b,c\n1.0,2e0\n# another\n3,4", "\ufeff1,2\n3,4\n"]
)
def test_rows_with_or_without_names_are_guides(text: str, tmp_path: Path) -> None:
    assert read_points(csv(tmp_path, text), (2,)).tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_structures_are_flattened_rows_or_arrays(tmp_path: Path) -> None:
    array = np.arange(24.0).reshape(4, 2, 3)
    flat = "\n".join(",".join(map(str, row)) for row in array.reshape(4, 6).tolist())
    expected = torch.from_numpy(array)
    assert torch.equal(read_points(csv(tmp_path, flat), (2, 3)), expected)
    assert torch.equal(read_points(npy(tmp_path, array.astype(np.float32)), (2, 3)), expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n3\n", r"points\.csv, line 2: 1 numbers, but a state has 2: give one flattened state a row"),
        ("1,2,3\n4,5,6\n", r"points\.csv, line 1: 3 numbers, but a state has 2"),
        ("x,y\n1,2\n3,four\n", r"points\.csv, line 3: 'four' is not a number"),
        ("1,y\n1,2\n", r"points\.csv, line 1: 'y' is not a number"),
        ("x,y\n1,2\n3,nan\n", "guide 1 is NaN or infinite: mend it"),
        ("x,y\n1,2\n", "holds 1 guides: give two at least"),
        ("", "holds 0 guides: give two at least"),
    ],
)
def test_rows_that_are_no_guides(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read_points(csv(tmp_path, text), (2,))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([{"x": 1}, {"x": 2}]), "is not a plain numpy array of numbers"),
        (np.array([["a", "b"], ["c", "d"]]), "not numbers: write one array of floats"),
        (np.zeros((4, 3)), r"has shape \(4, 3\): give guides of the model's event shape, \(M, 2\)"),
        (np.zeros(2), r"has shape \(2,\): give guides of the model's event shape, \(M, 2\)"),
    ],
)
def test_arrays_that_are_no_guides(array: np.ndarray, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        read_points(npy(tmp_path, array), (2,))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file of guides, give its path relative to the run file"):
        read_points(GuidesConfig(csv=tmp_path / "none.csv"), (2,))
    (tmp_path / "text.npy").write_text("1,2\n")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not a plain numpy array"):
        read_points(GuidesConfig(npy=tmp_path / "text.npy"), (2,))
    with pytest.raises(ConfigError, match="is no text"):
        read_points(GuidesConfig(csv=tmp_path / "bytes.csv"), (2,))
    with pytest.raises(ConfigError, match="has several parts"):
        read_points(GuidesConfig(csv=tmp_path / "bytes.csv"), ((2,), (3,)))


def test_regions_are_what_they_say(tmp_path: Path) -> None:
    ball = BallConfig(kind="ball", centre=(0.5, -1.0), radius=0.7).build((2,))
    huge = BallConfig(kind="ball", centre=(0.5, -1.0), radius=1e308).build((2,))
    assert huge(torch.randn(5, 2)).all()  # guide_path then says that it holds all of the model's samples
    assert torch.equal(ball(GRID), ((GRID - GRID.new_tensor([0.5, -1.0])) ** 2).sum(dim=1) <= 0.7**2)
    assert ball.definition == "A = {x: |x − (0.5, −1)| ≤ 0.7}"
    slab = SlabConfig(kind="interval", index=1, lower=-1.0, upper=0.0).build((1, 2))
    assert torch.equal(slab(GRID[:, None]), (GRID[:, 1] >= -1) & (GRID[:, 1] <= 0))
    assert slab.definition == "A = {x: −1 ≤ x_2 ≤ 0}"
    (tmp_path / "r.py").write_text("def inside(x):\n    return x[:, 0] > 0\n")
    mine = MembershipConfig(kind="python", file=tmp_path / "r.py", function="inside").build((2,))
    assert torch.equal(mine(GRID), GRID[:, 0] > 0)
    assert mine.definition == "A = {x: inside in r.py is true}"


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (BallConfig(kind="ball", centre=(1.0,), radius=1.0), "the centre has 1 number and a state 2: give one a coord"),
        (SlabConfig(kind="interval", index=2, lower=0.0), "a state has 2 numbers, so index 2 does not exist"),
        (SlabConfig(kind="interval"), "the interval has no ends"),
        (SlabConfig(kind="interval", lower=1.0, upper=0.0), "lower = 1 is not below upper = 0"),
        (MembershipConfig(kind="python", file=Path("none.py"), function="f"), "no such file of membership tests"),
    ],
)
def test_regions_that_fit_no_state(region, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        region.build((2,))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "return x[:, 0]",
            r"inside in r\.py gave torch\.float32 of shape \(8,\) for 8 states: return one bool for each",
        ),
        ("return x > 0", r"gave torch\.bool of shape \(8, 2\)"),
        ("return True", "gave bool for 8 states"),
        ("return x[:, 7] > 0", r"r\.py, line 2: IndexError"),
    ],
)
def test_a_users_test_of_membership_is_tried_at_once(code: str, message: str, tmp_path: Path, path_case) -> None:
    file = path_case(tmp_path)
    (tmp_path / "r.py").write_text(f"def inside(x):\n    {code}\n")
    config = load_config(file, ["region={kind: python, file: r.py, function: inside}"])
    assert isinstance(config, PathConfig)
    with pytest.raises(ConfigError, match=message):
        build_path_inputs(config)


def test_the_bundled_guides_are_those_of_their_systems() -> None:
    """And this is how their files were made, with six decimals."""
    x = muller_brown().sample(40_000, torch.Generator().manual_seed(0))
    made = {"moons": moons_gap().guides(15, seed=0), "muller-brown": x[Ball(SADDLE, 0.1)(x)][:12]}
    for name, points in made.items():
        config = load_config(name)
        assert isinstance(config, PathConfig)
        found = build_path_inputs(config)
        assert torch.allclose(found.points.double(), points, rtol=0, atol=1e-6)
        if found.region is not None:
            assert bool(found.region(found.points).all())


def test_a_known_region_is_known_by_quadrature_and_draws_lie_in_it() -> None:
    """The disc's probability in polar coordinates, p(A) = ∫∫ p(c + r e_φ) r dr dφ, to the last digit."""
    disc = Ball((0.62, 0.03), 0.25)
    known = known_region("muller-brown", disc)
    assert known is not None
    nodes, weights = np.polynomial.legendre.leggauss(40)
    r, phi = torch.from_numpy(0.125 * (nodes + 1)), torch.arange(64) * (2 * torch.pi / 64)
    x = torch.stack([0.62 + r[:, None] * phi.cos(), 0.03 + r[:, None] * phi.sin()], dim=2).reshape(-1, 2)
    p = muller_brown().log_prob(x).exp().reshape(40, 64).mean(dim=1) * 2 * torch.pi
    exact = float((torch.from_numpy(0.125 * weights) * r * p).sum())
    assert known.log_probability == pytest.approx(np.log(exact), abs=2e-3)  # the edge is resolved by the grid
    draws = known.sample(4000, torch.Generator().manual_seed(0))
    assert draws.shape == (4000, 2)
    assert bool(disc(draws).all())
    assert known_region("moons", Ball((9.0, 9.0), 0.1)) is None
