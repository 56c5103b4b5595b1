"""Every benchmark can be started, says what it asks and how long it takes, and stays a script of one question."""

import ast
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

import leastwork as lw
from leastwork.sampling.choices import Choices
from leastwork.systems.gaussian import Gaussian
from leastwork.systems.mixtures import GaussianMixture

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # benchmarks are started from there, and not installed
benchmarks = import_module("benchmarks.all").benchmarks
all_of_them = benchmarks()
peers = [f"peers.{name}" for name in ("all", *benchmarks(ROOT / "benchmarks" / "peers"))]
timing, table = import_module("benchmarks.timing"), import_module("benchmarks.table")


def test_the_list_is_that_of_the_folder() -> None:
    assert len(all_of_them) > 20
    assert {"before_after", "comparison", "maxent"} <= set(all_of_them)
    assert not {"all", "problems", "timing", "table"} & set(all_of_them)
    assert {"peers.calibration", "peers.posterior"} <= set(peers)
    assert not {"peers.given", "peers.products"} & set(peers)


@pytest.mark.parametrize("name", ["all", *all_of_them, *peers])
def test_it_says_what_it_asks_and_how_long_it_takes(name: str, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as end:
        import_module(f"benchmarks.{name}").main()
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert f"python -m benchmarks.{name}" in said
    assert "Takes " in said


def test_a_question_is_asked_by_nobody_else() -> None:
    for name in all_of_them:
        tree = ast.parse((ROOT / f"benchmarks/{name}.py").read_text(encoding="utf-8"))
        used = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not used & {f"benchmarks.{other}" for other in all_of_them}, name


def test_a_ratio_ignores_rounds_that_were_disturbed() -> None:
    found = timing.ratio([1.0, 1.0, 1.0, 1.0, 9.0], [1.1, 1.2, 1.0, 1.1, 1.1])
    assert found.value == 1.1
    assert found.of_least == 1.0
    assert found.stderr == pytest.approx(1.2533 * 1.4826 * 0.1 / 5**0.5)


def test_calls_alternate() -> None:
    order: list[str] = []
    calls = [lambda name=name: timing.cost(lambda: order.append(name)) for name in "ab"]
    assert [len(costs) for costs in timing.in_turn(calls, 3)] == [3, 3]
    assert "".join(order) == "abbaab"


def test_a_table_goes_between_its_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- one -->\nold\n<!-- end one -->\nafter\n", encoding="utf-8")
    table.insert(page, "one", table.markdown(("a", "b"), [("1", r"\d")]))
    table.insert(page, "another", "nothing")
    expected = "before\n<!-- one -->\n| a | b |\n|---|---|\n| 1 | \\d |\n<!-- end one -->\nafter\n"
    assert page.read_text(encoding="utf-8") == expected


def test_rows_of_other_commands_stay(tmp_path: Path) -> None:
    page, head = tmp_path / "page.md", ("a", "b")
    page.write_text("<!-- one -->\n<!-- end one -->\n", encoding="utf-8")
    for rows in ([("x", "1"), ("y", "1")], [("y", "2"), ("z", "2")]):
        table.merge(page, "one", table.markdown(head, rows))
    expected = table.markdown(head, [("x", "1"), ("y", "2"), ("z", "2")])
    assert page.read_text(encoding="utf-8") == f"<!-- one -->\n{expected}\n<!-- end one -->\n"


def test_the_commands_of_the_peers_are_those_of_the_page() -> None:
    commands = import_module("benchmarks.peers.all").commands()
    assert {f"peers.{command[0]}" for command in commands} < set(peers)
    assert len(commands) == len(set(commands)) > 5


def test_moves_of_four_particles_leave_their_energy_as_it_is() -> None:
    wells, random = import_module("benchmarks.peers.double_well"), torch.Generator().manual_seed(0)
    x = 2 * torch.randn(50, wells.DIM, generator=random, dtype=torch.float64)
    at = wells.particles(x)
    assert at.mean(dim=1).abs().max() < 1e-12
    torch.testing.assert_close(at.square().sum(dim=(1, 2)), x.square().sum(dim=1))
    pairs = [(at[:, i] - at[:, j]).norm(dim=1) - 4 for i in range(4) for j in range(i)]
    torch.testing.assert_close(wells.energy(x), sum(0.9 * d**4 - 4 * d**2 for d in pairs))
    other = wells.moved(x, random)
    assert (other - x).abs().max() > 1
    torch.testing.assert_close(wells.energy(other), wells.energy(x))


def test_networks_of_four_particles_turn_and_exchange_as_they_do() -> None:
    wells, networks = (import_module(f"benchmarks.peers.{name}") for name in ("double_well", "dw4_network"))
    random = torch.Generator().manual_seed(0)
    x, u = 2 * torch.randn(2, 50, wells.DIM, generator=random, dtype=torch.float64)
    net, alpha, sigma = networks.PairNetwork(), torch.tensor(0.8), torch.tensor(0.6)
    net = lw.load_model(ROOT / "benchmarks/peers/dw4_model", net=net).net.double()
    value = networks.value_of_pairs(net).double()
    for parameter in value.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=random)

    def moved(at: torch.Tensor) -> torch.Tensor:
        return wells.moved(at, torch.Generator().manual_seed(3))

    t = torch.tensor(0.3)
    torch.testing.assert_close(net(moved(x), t), moved(net(x, t)))
    torch.testing.assert_close(net(x, t.expand(50)), net(x, t))
    before, slope = value.value_and_gradient(x, alpha, sigma)
    after, turned = value.value_and_gradient(moved(x), alpha, sigma)
    torch.testing.assert_close(after, before)
    torch.testing.assert_close(turned, moved(slope))
    at = x.requires_grad_()
    torch.testing.assert_close(slope, torch.autograd.grad(value(at, alpha, sigma).sum(), at)[0])
    seen, c = value.view(x, alpha.reshape(1, 1), sigma.reshape(1, 1)), u.flip(0)
    torch.testing.assert_close((value.view.pull(seen, c) * u).sum(1), (c * value.view.push(seen, u)).sum(1))


def test_the_model_of_four_particles_has_their_energy() -> None:
    """Mean E of 1024 samples within 1 of the chains' −19.5; the standard error is 0.1, the model's own 0.1 off."""
    wells, networks = (import_module(f"benchmarks.peers.{name}") for name in ("double_well", "dw4_network"))
    model = lw.load_model(ROOT / "benchmarks/peers/dw4_model", net=networks.PairNetwork())
    x = lw.sample(model, 1024, solver="exponential", t_grid="balanced", steps=50, seed=1).x
    assert abs(float(wells.energy(x.double()).mean()) + 19.5) < 1


def test_a_table_is_constant_beyond_its_ends() -> None:
    products = import_module("benchmarks.peers.products")
    table = products.Tabled({0.5: torch.linspace(-3.0, 3.0, 31)}, 2.0)
    h, slope = table.look(torch.tensor([[-5.0, 0.5, 2.5]]), 0.5)
    torch.testing.assert_close(h, torch.tensor([[-3.0, 0.75, 3.0]]))
    torch.testing.assert_close(slope, torch.tensor([[0.0, 1.5, 0.0]]))


def test_chains_forget_where_they_began() -> None:
    """The mean energy at T = 1, and by weights from T = 2; five standard errors, a false alarm in 1.7 million."""
    wells = import_module("benchmarks.peers.double_well")
    cold, warm = (wells.chains(400, t, 60, seed=1, every=30).x for t in (1.0, 2.0))
    mean = lw.Estimate.from_samples(wells.energy(cold))
    weighted = lw.Estimate.from_log_weights(wells.energy(warm), -0.5 * wells.energy(warm))
    assert abs(mean.value - weighted.value) < 5 * (mean.stderr**2 + weighted.stderr**2) ** 0.5


def test_a_given_tilt_has_lambda_minus_one() -> None:
    """ln Z of a·x under N(m, s²) is a·m + ½ a² s²; five standard errors give a false alarm in 1.7 million."""
    given = import_module("benchmarks.peers.given")
    model = Gaussian(0.5, 0.6, 1).model(lw.VPSchedule())
    given_tilt = given.given_tilt(lambda x: 0.7 * x[:, 0])
    with pytest.warns(lw.LeastworkWarning, match="far from the model"):
        run = lw.guide_observables(model, given_tilt, "reweight", samples=4000, steps=20)
    assert float(run.lambdas.value[0]) == pytest.approx(-1, abs=1e-6)


def test_the_stationary_chain_keeps_a_standard_normal() -> None:
    """a² + c² = 1, and the shift is that of the best step, e = c²/ρ."""
    products = import_module("benchmarks.peers.products")
    model = Gaussian(0.0, 1.0, 1).model(lw.VPSchedule())
    steps = Choices(solver=products.Stationary(), steps=10).sampler(model).steps
    torch.testing.assert_close(steps.a.square() + steps.c.square(), torch.ones(10, dtype=torch.float64))
    torch.testing.assert_close(steps.e, steps.c.square() / steps.a)


def test_the_posterior_of_one_gaussian_is_exact() -> None:
    """One coordinate of N(m, s²), measured with noise τ: mean (m/s² + y/τ²)/(1/s² + 1/τ²)."""
    posterior = import_module("benchmarks.peers.posterior")
    prior = GaussianMixture([1.0], [[2.0, -1.0]], 0.5)
    one = posterior.Measured(prior, torch.eye(2, dtype=torch.float64)[:1], torch.tensor([3.0], dtype=torch.float64))
    x = one.posterior(20_000, torch.Generator().manual_seed(0))
    precision = torch.tensor([4 + 1 / 0.09, 4], dtype=torch.float64)
    mean = torch.tensor([(8 + 3 / 0.09) / precision[0], -1], dtype=torch.float64)
    assert bool(((x.mean(0) - mean).abs() < 5 / (20_000 * precision).sqrt()).all())  # z = 5
    torch.testing.assert_close(x.var(0), 1 / precision, rtol=0.05, atol=0)  # five standard errors of a variance
