"""BioEmu itself, a small network of random weights: scores, both samplers, files (skipped without the package)."""

import copy
import functools
import hashlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

import leastwork as lw
from leastwork.adapters.bioemu import denoise, load_bioemu, wrap_bioemu, write_bioemu
from leastwork.adapters.bioemu_files import theirs
from leastwork.adapters.bioemu_tables import write_tables
from leastwork.geometry.frames import Frames, moved_rigidly
from leastwork.geometry.rotations import exp, log, uniform
from leastwork.models.frames import FrameModel
from leastwork.models.predictions import Moments
from leastwork.observables import Backbone, scalar_couplings
from leastwork.observables.frames import backbone_atoms, frames_of, on_frames
from leastwork.sampling.choices import Choices
from leastwork.sampling.noise import BlockNoise
from leastwork.schedules.angles import AngleSchedule
from leastwork.systems.frame_mixture import FrameMixture, two_poses

pytest.importorskip("bioemu", reason="needs the extra bioemu", exc_type=ImportError)
pytestmark = pytest.mark.slow

SEQUENCE = "YYDPETGTWY"
N = len(SEQUENCE)
SMALL = {"dim_model": 64, "dim_pair": 32, "num_layers": 2, "num_heads": 4, "dim_hidden": 128}
FULL = {"dim_model": 512, "dim_pair": 256, "num_layers": 8, "num_heads": 32, "dim_hidden": 1024}
SO3 = {"eps_t": 0.001, "num_sigma": 1000, "num_omega": 2000, "l_max": 2000, "sigma_min": 0.02, "sigma_max": 2.33}
CONFIG = {
    "score_model": {"_target_": "bioemu.shortcuts.DiGConditionalScoreModel", "dropout": 0.1, **SMALL},
    "sdes": {
        "node_orientations": {"_target_": "bioemu.shortcuts.DiGSO3SDE", "cache_dir": "~/sampling_so3_cache", **SO3},
        "pos": {"_target_": "bioemu.shortcuts.CosineVPSDE", "s": 0.008},
    },
}


def write_embeddings(folder: Path, sequence: str, length: int | None = None) -> None:
    key, length = hashlib.sha256(sequence.encode()).hexdigest(), length or len(sequence)
    random = np.random.default_rng(0)
    np.save(folder / f"{key}_single.npy", random.normal(size=(length, 384)).astype(np.float32))
    np.save(folder / f"{key}_pair.npy", random.normal(size=(length, length, 128)).astype(np.float32))


def network(**sizes: int) -> nn.Module:
    state = torch.get_rng_state()
    torch.manual_seed(0)
    net = theirs("models").DiGConditionalScoreModel(**(SMALL | sizes))
    torch.set_rng_state(state)
    return net


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint and the embeddings of the sequence."""
    folder = tmp_path_factory.mktemp("bioemu")
    torch.save(network().state_dict(), folder / "checkpoint.ckpt")
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    write_embeddings(folder, SEQUENCE)
    return folder


@pytest.fixture(scope="module")
def model(files: Path) -> FrameModel:
    return load_bioemu(SEQUENCE, files, files)


def net_of(model: FrameModel) -> Any:
    return model.net


def frames(n: int, seed: int = 0) -> Frames:
    random = torch.Generator().manual_seed(seed)
    shift, turn = (torch.randn(n, N, 3, generator=random) for _ in range(2))
    return shift, uniform(turn)


def batch_of(model: FrameModel, x: Frames) -> Any:
    from torch_geometric.data import Batch

    batch = Batch.from_data_list([net_of(model).graph] * len(x[0]))
    return batch.replace(pos=x[0].reshape(-1, 3), node_orientations=x[1].reshape(-1, 3, 3))


# Scores


@pytest.mark.parametrize("sizes", [{}, FULL], ids=["small", "full"])
@pytest.mark.parametrize("t", [0.001, 0.03, 0.5, 0.99])
def test_scores_are_those_of_get_score(model: FrameModel, sizes: dict[str, int], t: float) -> None:
    wrapped = wrap_bioemu(network(**sizes), net_of(model).sdes, net_of(model).graph, at_once=3) if sizes else model
    x = frames(5)
    with torch.no_grad():
        theirs_of = theirs("denoiser").get_score(
            batch_of(wrapped, x), net_of(wrapped).sdes, net_of(wrapped).score_model, torch.full((5,), t)
        )
        shift, turn = net_of(wrapped)(x, torch.tensor(t))
    torch.testing.assert_close(shift, theirs_of["pos"].view_as(shift), rtol=2e-5, atol=2e-5)
    torch.testing.assert_close(turn, theirs_of["node_orientations"].view_as(turn), rtol=2e-5, atol=2e-5)


def test_frames_of_scores_are_those_of_the_engine(model: FrameModel) -> None:
    """Shifts turn with the structure, turns do not, and neither sees where it is."""
    x = frames(4)
    q = exp(torch.tensor([0.4, -1.1, 0.8]))
    (shift, turn), (shift_there, turn_there) = model.score(x, 0.4), model.score(moved_rigidly(x, q, 2.0), 0.4)
    torch.testing.assert_close(shift_there, shift @ q.T, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(turn_there, turn, rtol=1e-3, atol=1e-4)
    assert model.residues == N
    assert model.angles == AngleSchedule(0.02, 2.33)


def test_the_network_has_no_dropout_and_no_gradients_but_of_states(model: FrameModel) -> None:
    net = network()
    assert net.training
    wrapped = wrap_bioemu(net, net_of(model).sdes, net_of(model).graph)
    assert not net.training
    assert not any(p.requires_grad for p in net.parameters())
    net_of(wrapped).train()
    assert not net.training
    x = frames(2)
    position = x[0].clone().requires_grad_()
    (slope,) = torch.autograd.grad(wrapped.score((position, x[1]), 0.3)[0].square().sum(), position)
    assert slope.abs().max() > 0


def test_noise_levels_are_those_of_the_package(model: FrameModel) -> None:
    pos, so3 = net_of(model).sdes["pos"], net_of(model).sdes["node_orientations"]
    for t in (0.001, 0.1, 0.5, 0.9, 0.99):
        time = torch.tensor([t], dtype=torch.float64)
        m = Moments.at(model.schedule, t)
        assert m.alpha == pytest.approx(float(pos._marginal_mean_coeff(time)), rel=1e-9)
        assert m.sigma == pytest.approx(float(pos.sigma(time)), rel=1e-9)
        assert float(model.angles.sigma(time)) == pytest.approx(float(so3._marginal_std(time)), rel=1e-9)
        assert float(model.angles.diffusion_squared(time)) == pytest.approx(float(so3.beta(time)) ** 2, rel=1e-9)
        assert -2 * float(model.schedule.alpha_dot(time)) / m.alpha == pytest.approx(float(pos.beta(time)), rel=1e-9)


def test_tables_are_those_of_the_package(tmp_path: Path) -> None:
    settings = {"eps_t": 1e-3, "num_sigma": 12, "num_omega": 300, "l_max": 300, "sigma_max": 2.33}
    make = theirs("so3_sde").DiGSO3SDE
    own = make(**settings)
    write_tables(tmp_path, settings)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    read = make(**settings, cache_dir=str(tmp_path))
    assert before == {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}  # found, and not made anew
    torch.testing.assert_close(read.score_function.score_scaling, own.score_function.score_scaling, rtol=1e-6, atol=0)
    torch.testing.assert_close(read.igso3.cdf_igso3, own.igso3.cdf_igso3, rtol=0, atol=1e-6)
    torch.testing.assert_close(read.uso3.cdf_igso3, own.uso3.cdf_igso3, rtol=0, atol=1e-6)


# Sampling


def their_loop(model: FrameModel, x: Frames, times: Tensor, noise_weight: float) -> Frames:
    """Steps of the package's predictor from given states."""
    denoiser, sdes = theirs("denoiser"), net_of(model).sdes
    steps = {k: denoiser.EulerMaruyamaPredictor(corruption=sde, noise_weight=noise_weight) for k, sde in sdes.items()}
    batch = batch_of(model, x)
    with torch.no_grad():
        for now, after in zip(times[:-1].float(), times[1:].float(), strict=True):
            t = now.expand(len(x[0]))
            score = denoiser.get_score(batch, sdes, net_of(model).score_model, t)
            new = {
                k: steps[k].update_given_score(x=batch[k], t=t, dt=after - now, batch_idx=batch.batch, score=score[k])[
                    0
                ]
                for k in sdes
            }
            batch = batch.replace(**new)
    return batch.pos.reshape(-1, N, 3), batch.node_orientations.reshape(-1, N, 3, 3)


def centred(x: Tensor) -> Tensor:
    return x - x.mean(dim=1, keepdim=True)


def test_the_flow_of_the_network_goes_where_theirs_goes(model: FrameModel) -> None:
    """From the same prior on the same grid, Euler steps of the ODE end within 10⁻⁴ of the size of the structure."""
    sampler = Choices(process="ode", steps=20).sampler(model)
    prior = sampler.process.prior(BlockNoise(3, 0, 6, model.noise_shape).draw())
    position, rotation = their_loop(model, prior, sampler.steps.times, 0.0)
    t = float(sampler.steps.times[-1])
    position, rotation = model.denoise((centred(position), rotation), t)  # the last step, which theirs leave out
    ens = lw.sample(model, 6, process="ode", steps=20, seed=3)
    assert (ens.x[0] - position).norm() < 1e-4 * position.norm()
    assert log(rotation.mT @ ens.x[1]).norm(dim=2).max() < 2e-3


class Exact(nn.Module):
    """The scores of a known law, scaled as the package's networks scale them."""

    def __init__(self, law: FrameMixture, sdes: dict[str, Any]) -> None:
        super().__init__()
        self.law, self.sdes = law, sdes

    def forward(self, batch: Any, t: Tensor) -> Any:
        pos, so3, time = self.sdes["pos"], self.sdes["node_orientations"], t[:1].double()
        alpha, sigma = float(pos._marginal_mean_coeff(time)), float(pos.sigma(time))
        x = batch.pos.reshape(-1, N, 3), batch.node_orientations.reshape(-1, N, 3, 3)
        shift, turn = self.law.score(x, alpha, sigma, float(so3._marginal_std(time)))
        scaling = so3.get_score_scaling(t[:1])
        return batch.replace(pos=(sigma * shift).reshape(-1, 3), node_orientations=(turn / scaling).reshape(-1, 3))


def known_law() -> FrameMixture:
    """Two centred poses, so that the law of the centroid is independent of all else."""
    law = two_poses(N, weight=0.35)
    positions = 0.2 * (law.positions - law.positions.mean(dim=1, keepdim=True))
    return FrameMixture(law.weights, positions, law.rotations, 0.1, 0.35)


def features(law: FrameMixture, x: Frames) -> Tensor:
    """Pose, size, and how far residues have turned from theirs, (n, 4)."""
    position = centred(x[0].double())
    share = law.responsibility((position, x[1].double()))
    away = (position - law.positions[share.argmax(dim=1)]).square().mean(dim=(1, 2)).sqrt()
    turned = log(law.rotations[share.argmax(dim=1)].mT @ x[1].double()).square().mean(dim=(1, 2)).sqrt()
    return torch.stack([share[:, 1], position.square().mean(dim=(1, 2)).sqrt(), away, turned], dim=1)


def compare(a: Tensor, b: Tensor) -> Tensor:
    """Differences of means, in standard errors."""
    return (a.mean(dim=0) - b.mean(dim=0)) / (a.var(dim=0) / len(a) + b.var(dim=0) / len(b)).sqrt()


@pytest.fixture(scope="module")
def exact(model: FrameModel) -> FrameModel:
    sdes = net_of(model).sdes
    return wrap_bioemu(Exact(known_law(), sdes), sdes, net_of(model).graph)


def test_samples_have_the_law_of_their_steps(exact: FrameModel) -> None:
    """The reverse SDE on one grid, in law: exact scores, so that it is also the known law (z = 5)."""
    law, count = known_law(), 1000
    sampler = Choices(steps=100).sampler(exact)
    ours = features(law, lw.sample(exact, count, seed=2, steps=100).x)
    prior = sampler.process.prior(BlockNoise(7, 0, count, exact.noise_shape).draw())
    state = torch.get_rng_state()
    torch.manual_seed(1)
    position, rotation = their_loop(exact, prior, sampler.steps.times, 1.0)
    torch.set_rng_state(state)
    last = exact.denoise((centred(position), rotation), float(sampler.steps.times[-1]))
    assert (compare(ours, features(law, last)).abs() < 5).all()
    assert (compare(ours, features(law, law.sample(20_000, torch.Generator().manual_seed(3)))).abs() < 5).all()


def test_samples_have_the_law_of_their_solver(exact: FrameModel) -> None:
    """DPM-Solver, their default, errs in rotations by 1/steps; two runs of one prior take that out (z = 5)."""
    law, count = known_law(), 500

    def solved(steps: int) -> Tensor:
        torch.manual_seed(1)
        batch = theirs("denoiser").dpm_solver(
            sdes=net_of(exact).sdes, batch=batch_of(exact, frames(count)), N=steps, max_t=0.99, eps_t=0.001,
            score_model=net_of(exact).score_model, device=torch.device("cpu"),
        )  # fmt: skip
        return features(law, (batch.pos.reshape(-1, N, 3), batch.node_orientations.reshape(-1, N, 3, 3)))

    state = torch.get_rng_state()
    coarse, fine = solved(50), solved(100)
    torch.set_rng_state(state)
    ours = features(law, lw.sample(exact, count, seed=2, steps=200).x)
    assert (compare(ours, 2 * fine - coarse).abs() < 5).all()
    assert compare(fine, coarse)[3] > 5  # the error is there


def test_measured_couplings_reweight_its_samples(exact: FrameModel) -> None:
    coupling = on_frames(scalar_couplings(Backbone.chain(N), [("3J(HN,HA)", 5)]), SEQUENCE)
    wanted = float(lw.sample(exact, 500, seed=5, steps=50).mean(coupling).value) + 0.3
    few = {"samples": 1000, "certificate_samples": 500, "steps": 50}
    run = lw.guide_observables(exact, lw.Experiment(coupling, [wanted], [0.0]), method="reweight", seed=0, **few)
    assert float(run.maxent.ess) > 0.2
    reached = run.sample(1000, seed=1).mean(coupling, under="target")
    assert abs(reached.value - wanted) < 5 * reached.stderr


def test_no_time_is_lost_on_the_way(model: FrameModel) -> None:
    """Outside of the network, where nothing can be saved, at most 5 % of the time that the full one takes."""
    wrapped = wrap_bioemu(network(**FULL), net_of(model).sdes, net_of(model).graph)
    inside = [0.0]
    forward = net_of(wrapped).score_model.forward

    def timed(*arguments: Any) -> Any:
        start = time.thread_time()
        result = forward(*arguments)
        inside[0] += time.thread_time() - start
        return result

    net_of(wrapped).score_model.forward = timed
    start = time.thread_time()
    lw.sample(wrapped, 8, steps=5)
    whole = time.thread_time() - start
    assert whole < 1.05 * inside[0]
    assert len(net_of(wrapped)._batches) == 2  # of one structure, at wrapping, and of eight


def test_large_batches_are_split_as_the_package_splits_them(model: FrameModel) -> None:
    wrapped = wrap_bioemu(net_of(model).score_model, net_of(model).sdes, net_of(model).graph, at_once=3)
    assert net_of(model).at_once == 1000
    x = frames(8)
    for one, other in zip(wrapped.score(x, 0.2), model.score(x, 0.2), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    assert {count for count, _ in net_of(wrapped)._batches} == {3, 2}


def test_states_of_double_precision_are_served_in_single(model: FrameModel) -> None:
    ens = lw.sample(model, 3, steps=3, dtype=torch.float64)
    assert ens.x[0].dtype == torch.float64
    assert next(net_of(model).parameters()).dtype == torch.float32


def test_it_serves_as_a_denoiser_of_the_package(model: FrameModel, files: Path) -> None:
    generate = functools.partial(
        theirs("sample").generate_batch, score_model=net_of(model).score_model, sequence=SEQUENCE,
        sdes=net_of(model).sdes, batch_size=4, cache_embeds_dir=files,
    )  # fmt: skip
    state = torch.get_rng_state()
    draws = [generate(seed=seed, denoiser=functools.partial(denoise, steps=4)) for seed in (7, 7, 8)]
    torch.set_rng_state(state)
    assert draws[0]["pos"].shape == (4, N, 3)
    assert draws[0]["node_orientations"].shape == (4, N, 3, 3)
    assert torch.equal(draws[0]["pos"], draws[1]["pos"])
    assert not torch.equal(draws[0]["pos"], draws[2]["pos"])
    torch.testing.assert_close(draws[0]["pos"], lw.sample(model, 4, steps=4, seed=7).x[0])


# Structures


def chain(n: int, seed: int = 0) -> Frames:
    """Residues on a gentle helix, 0.38 nm apart, each a little off its place."""
    random = torch.Generator().manual_seed(seed)
    s = torch.arange(N)
    place = torch.stack([0.23 * torch.cos(1.7 * s), 0.23 * torch.sin(1.7 * s), 0.15 * s], dim=1)
    shift = 0.003 * torch.randn(n, N, 3, generator=random)
    atoms = torch.stack(
        [place - 0.1 * torch.tensor([0.3, 0.1, 1.0]), place, place + 0.1 * torch.tensor([0.4, -0.2, 1.0])]
    )
    _, rotation = frames_of(atoms.transpose(0, 1).reshape(1, -1, 3))
    turn = exp(0.05 * torch.randn(n, N, 3, generator=random))
    return place + shift, rotation @ turn


def test_atoms_are_where_the_package_puts_them() -> None:
    sequence = "ARNDCQEGHILKMFPSTWYV"
    random = torch.Generator().manual_seed(2)
    position, rotation = torch.randn(1, 20, 3, generator=random), uniform(torch.randn(1, 20, 3, generator=random))
    atoms, _, _ = theirs("convert_chemgraph").get_atom37_from_frames(10 * position[0], rotation[0], sequence)
    ours = backbone_atoms((position, rotation), sequence).reshape(20, 3, 3)
    assert (ours - 0.1 * atoms[:, :3]).abs().max() < 1e-5


def test_files_are_those_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mdtraj

    monkeypatch.setattr("leastwork.adapters.bioemu_files._CHUNK", 3)
    x = chain(7)
    report = write_bioemu(x, SEQUENCE, tmp_path / "ours")
    assert sorted(file.name for file in (tmp_path / "ours").iterdir()) == ["samples.xtc", "topology.pdb"]
    (tmp_path / "theirs").mkdir()
    theirs("convert_chemgraph").save_pdb_and_xtc(
        *x, SEQUENCE, tmp_path / "theirs" / "topology.pdb", tmp_path / "theirs" / "samples.xtc", filter_samples=False
    )
    ours, package = (
        mdtraj.load(str(tmp_path / who / "samples.xtc"), top=str(tmp_path / who / "topology.pdb"))
        for who in ("ours", "theirs")
    )
    assert ours.n_frames == 7
    assert {atom.name for atom in ours.topology.atoms} == {"N", "CA", "C", "CB", "O"}
    assert ours.topology == package.topology
    assert np.abs(ours.xyz - package.xyz).max() < 0.0021  # both rounded to 0.001 nm
    assert (tmp_path / "ours" / "topology.pdb").read_text() == (tmp_path / "theirs" / "topology.pdb").read_text()
    filtered = theirs("convert_chemgraph").filter_unphysical_traj(package)
    assert int(report.physical.sum()) == filtered.n_frames


def test_unphysical_structures_are_counted_and_stay(tmp_path: Path) -> None:
    import mdtraj

    position, rotation = chain(6)
    position[1, 5:] += 0.3  # a broken chain
    position[4, 9] = position[4, 2] + 0.001  # a clash, which breaks the chain as well
    report = write_bioemu((position, rotation), SEQUENCE, tmp_path)
    met = report.meets
    assert met["Cα–Cα < 0.45 nm"].tolist() == [True, False, True, True, False, True]
    assert met["no clash < 0.10 nm"].tolist() == [True, True, True, True, False, True]
    assert mdtraj.load(str(tmp_path / "samples.xtc"), top=str(tmp_path / "topology.pdb")).n_frames == 6
    assert "6 structures, of which meet" in repr(report)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda p, r: (10 * p, r), "ten times too far: the lengths are in Å, divide them by ten"),
        (lambda p, r: (1000 * p, r), r"4 of 4 structures, the first at index 0, reach up to .* a PDB holds 99 nm"),
        (lambda p, r: (p.clone().fill_(math.nan), r), "structure 0 is NaN or infinite"),
        (lambda p, r: (p, 2 * r), "are no rotations"),
        (lambda p, r: (p[:, :5], r[:, :5]), "a sequence of 10 residues for 5 frames"),
        (lambda p, r: p, "has no frames to write"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, spoil: Callable[..., Any], words: str) -> None:
    with pytest.raises(lw.LeastworkError, match=words):
        write_bioemu(spoil(*chain(4)), SEQUENCE, tmp_path)
    assert not list(tmp_path.iterdir())


# What does not fit


def refused(words: str, call: Callable[[], object]) -> None:
    with pytest.raises(lw.ConfigError, match=words):
        call()


def test_embeddings_that_are_missing_or_of_another_sequence(files: Path, tmp_path: Path) -> None:
    refused(
        r"has no embeddings of this sequence \(.*_single.npy\), though of 1 other sequence: .*_embeds\('GYDP'",
        lambda: load_bioemu("GYDP", files, files),
    )
    write_embeddings(tmp_path, SEQUENCE, length=9)
    refused(
        r"is of shape \(9, 384\), and a sequence of 10 residues has", lambda: load_bioemu(SEQUENCE, files, tmp_path)
    )
    for file in tmp_path.iterdir():
        file.write_bytes(b"nothing")
    refused("cannot be read", lambda: load_bioemu(SEQUENCE, files, tmp_path))


def test_checkpoints_of_another_architecture(files: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    refused(r"has no checkpoint\.ckpt", lambda: load_bioemu(SEQUENCE, tmp_path, files))

    def give(weights: Any, **score_model: Any) -> None:
        torch.save(weights, tmp_path / "checkpoint.ckpt")
        described = copy.deepcopy(CONFIG)
        described["score_model"] |= score_model
        config.write_text(yaml.safe_dump(described), encoding="utf-8")

    def load() -> FrameModel:
        return load_bioemu(SEQUENCE, tmp_path, files)

    give(network(num_layers=3).state_dict())
    refused(r"another architecture than config.yaml describes: it lacks 0 tensors and has \d+ others", load)
    give(network(dim_pair=64).state_dict())
    refused(r"another architecture .* is \(64, .* and not \(32", load)
    give({"weights": 3})
    refused("holds no state_dict", load)
    give(network())  # a pickled module, which is not unpickled
    refused("cannot be read as weights alone", load)
    give(network().state_dict(), _target_="os.system")
    refused("names 'os.system' where BioEmu has DiGConditionalScoreModel", load)
    give(network().state_dict(), depth=3)
    refused("of this version of bioemu cannot be made of it", load)
    config.write_text("a: [", encoding="utf-8")
    refused("cannot be read", load)
    config.write_text("a: 1", encoding="utf-8")
    refused("has no score_model and sdes", load)


def test_weights_are_not_downloaded(files: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repo, file: None)
    refused("bioemu-v1.1 is not in the cache of Hugging Face: run bioemu.sample", lambda: load_bioemu(SEQUENCE))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repo, file: str(files / Path(file).name))
    assert load_bioemu(SEQUENCE, embeddings=files).residues == N


def test_what_cannot_be_wrapped(model: FrameModel) -> None:
    sdes, graph, net = net_of(model).sdes, net_of(model).graph, net_of(model).score_model
    refused("sdes are pos: CosineVPSDE: only", lambda: wrap_bioemu(net, {"pos": sdes["pos"]}, graph))
    refused(
        "chemgraph=Batch: give one|chemgraph=ChemGraphBatch", lambda: wrap_bioemu(net, sdes, batch_of(model, frames(2)))
    )
    refused(
        "has 3 residues, and its embeddings are of 10", lambda: wrap_bioemu(net, sdes, graph.replace(sequence="AAA"))
    )
    refused(r"cannot be called as score_model\(batch, t\)", lambda: wrap_bioemu(nn.Linear(2, 2), sdes, graph))
    refused("at_once=0", lambda: wrap_bioemu(net, sdes, graph, at_once=0))
    nothing = lambda batch, t: batch.replace(pos=0 / batch.pos.mul(0), node_orientations=batch.pos)  # noqa: E731
    refused("returns NaN or infinite scores", lambda: wrap_bioemu(nothing, sdes, graph))
