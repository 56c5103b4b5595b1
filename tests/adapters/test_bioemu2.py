"""The score model of BioEmu2, tiny and with random weights: its scores, its own sampler in distribution, its sessions.

Skipped without the package. ``make test-bioemu2`` makes an environment for all of it, with Python 3.12. Before that
Python, as by ``make test-boltz``, its modules are imported file by file beside stand-ins for those that cannot be read
or need chemistry; score model and sampler are the package's own, and what needs the whole package is skipped.
"""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from closed_form import same_law
from torch import Tensor, nn

import leastwork as lw
from leastwork.adapters import from_bioemu2
from leastwork.adapters.wrapping import on_device
from leastwork.sampling.solvers.churn import Churn

try:
    PLACE = Path(str(distribution("bioemu2").locate_file("")))
except PackageNotFoundError:
    pytest.skip("needs bioemu2, as by make test-boltz", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore")
WHOLE = sys.version_info >= (3, 12)
needs_all = pytest.mark.skipif(not WHOLE, reason="needs Python 3.12 and all of bioemu2, as by make test-bioemu2")
ATOMS, TOKENS, S, Z = 16, 4, 16, 8


class Named:
    """In place of a class that only annotates."""

    def __class_getitem__(cls, item: Any) -> type:
        return cls


STAND_INS: dict[str, dict[str, Any]] = {
    "bioemu2": {"HAS_TRITON": False},
    "bioemu2.structure": {"BatchAllAtomStructure": Named},
    "bioemu2.structure.batch": {"REQUIRES_MSA_PADDING": ()},
    "bioemu2.structure.inference_inputs": {"broadcast_multiplicity": lambda x, m: x.repeat_interleave(m, dim=0)},
    "bioemu2.data_interface": {},
    "bioemu2.data_interface.const": {"NUM_TOKENS": 33},
    "bioemu2.denoising": {},
    "bioemu2.model": {"InferenceModel": Named},
    "bioemu2.context_parallel.models.score_model": {"CPTrunkEmbeddings": Named},
}


@pytest.fixture(scope="module", autouse=True)
def _package() -> Iterator[None]:
    """The package's modules beside the stand-ins, where it cannot be imported whole."""
    if WHOLE:
        yield
        return
    for name, values in STAND_INS.items():
        module = ModuleType(name)
        module.__path__ = [str(PLACE.joinpath(*name.split(".")))]
        module.__dict__.update(values)
        sys.modules[name] = module
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "bioemu2"]:
        del sys.modules[name]


def score_model(window: int = 8) -> Any:
    """The package's own score model without a trunk, with random weights, none of them zero."""
    from bioemu2.biomoa.models.edm_schedule import EDMSchedule
    from bioemu2.biomoa.models.score_model import BioMoaCModel
    from bioemu2.biomoa.modules.diffusion import DualStreamDiffusionModule

    found: Any = BioMoaCModel.__new__(BioMoaCModel)
    nn.Module.__init__(found)
    found.structure_module = DualStreamDiffusionModule(
        token_s=S, token_z=Z, atom_s=16, atom_z=8, s_input_dim=S, num_layers=2, atoms_per_window_queries=window,
        atoms_per_window_keys=4 * window if window > 8 else 16, dim_fourier=16, atom_attention_heads=2,
        token_attention_heads=2,
    )  # fmt: skip
    found.edm_schedule = EDMSchedule()
    for name, parameter in found.named_parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
        else:
            nn.init.normal_(parameter, mean=float(name.endswith("weight")), std=0.1)
    return found


class Loaded(nn.Module):
    """What ``load_model`` returns, around the package's own score model."""

    def __init__(self) -> None:
        super().__init__()
        self.score_model = score_model()
        self.edm_schedule = self.score_model.edm_schedule

    def compute_static_context(self, batch: Any, trunk_embeddings: Any, multiplicity: int) -> Any:
        return self.score_model.structure_module.compute_static_context(
            s_trunk=trunk_embeddings.single, z_trunk=trunk_embeddings.pair, feats=batch.feats,
            relative_position_encoding=trunk_embeddings.relative_position_encoding,
        )  # fmt: skip

    def denoise(self, context: Any, trunk_embeddings: Any, coords: Tensor, sigmas: Tensor) -> Any:
        return self.score_model.denoise(context, trunk_embeddings, coords, sigmas)


def made(real: int = ATOMS) -> tuple[Loaded, Any, Any]:
    """A model, the batch of one system of four tokens of four atoms, ``real`` of them no padding, and embeddings."""
    from bioemu2.biomoa.models.score_model import TrunkEmbeddings

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Loaded()
        there = (torch.arange(ATOMS) < real)[None]
        feats = {
            "template_coords": torch.randn(1, ATOMS, 3),
            "charge": torch.zeros(1, ATOMS),
            "element": torch.randint(1, 9, (1, ATOMS)),
            "name_encoding": torch.randint(0, 60, (1, ATOMS, 4)),
            "ref_space_uid": (torch.arange(ATOMS) // 4)[None],
            "atom_pad_mask": there,
            "atom_mask": there,
            "token_pad_mask": torch.ones(1, TOKENS, dtype=torch.bool),
            "token_idx_at_atom": (torch.arange(ATOMS) // 4)[None],
            "token_center_atom_index": (4 * torch.arange(TOKENS))[None],
        }
        pair = torch.randn(2, 1, TOKENS, TOKENS, Z)
        single = torch.randn(2, 1, TOKENS, S)
        embeddings = TrunkEmbeddings(single[0], single[1], pair[0], pair[1], torch.zeros(1))
    return model.eval().requires_grad_(False), SimpleNamespace(feats=feats), embeddings


@pytest.mark.parametrize("real", [ATOMS, 14])
def test_scores_are_the_packages_own(real: int) -> None:
    model, batch, embeddings = made(real)
    ours = from_bioemu2(model, batch, embeddings, scale=0.1)
    context = model.compute_static_context(batch, embeddings, 1)
    assert ours.event_shape == (real, 3)
    for sigma in (0.01, 1.0, 30.0, 2000.0):
        noise = torch.randn(5, real, 3, generator=torch.Generator().manual_seed(1))
        x = torch.zeros(5, ATOMS, 3)
        x[:, :real] = (16.0**2 + sigma**2) ** 0.5 * (noise - noise.mean(dim=1, keepdim=True))
        theirs = model.denoise(context, embeddings, x, torch.full((5,), sigma)).denoised_coords[:, :real]
        theirs = theirs - theirs.mean(dim=1, keepdim=True)
        t = float(lw.EDMSchedule(0.0004 * 16, 160 * 16, 16.0).times([sigma])[0])
        end = ours.to_data_units(ours.denoise(x[:, :real] / (16.0**2 + sigma**2) ** 0.5, t))
        assert isinstance(end, Tensor)
        torch.testing.assert_close(10 * end, theirs, rtol=1e-3, atol=1e-3)


def test_conditions_move_with_the_states() -> None:
    model, batch, embeddings = made()
    context = model.compute_static_context(batch, embeddings, 1)
    moved, others = on_device((context, embeddings), torch.device("meta"))
    assert moved.z.device == moved.atom_encoder_context.p.device == others.single.device == torch.device("meta")
    assert type(moved) is type(context)
    assert context.z.device == torch.device("cpu")


def test_what_is_not_of_bioemu2_is_refused() -> None:
    model, batch, embeddings = made()
    with pytest.raises(lw.ConfigError, match=r"Linear has no compute_static_context: pass what bioemu2's samplers"):
        from_bioemu2(nn.Linear(2, 2), batch, embeddings)
    batch.feats = {name: value.repeat_interleave(2, dim=0) for name, value in batch.feats.items()}
    twice = type(embeddings)(*(part.repeat_interleave(2, dim=0) for part in vars(embeddings).values()))
    with pytest.raises(lw.ConfigError, match="the batch is of 2 systems: pass that of one"):
        from_bioemu2(model, batch, twice)


def distances(x: Tensor) -> Tensor:
    """Some distances and the size, in units of 16 Å, which no rigid motion changes."""
    pairs = torch.tensor([[0, 5], [3, 15], [8, 12]])
    spread = (x - x.mean(dim=1, keepdim=True)).square().sum(dim=(1, 2)).div(ATOMS).sqrt()
    return torch.cat([(x[:, pairs[:, 0]] - x[:, pairs[:, 1]]).norm(dim=2), spread[:, None]], dim=1) / 16


@pytest.mark.slow
def test_its_own_sampler_is_reproduced_in_distribution() -> None:
    """A false alarm in 10⁶."""
    from bioemu2.denoising.edm import edm_sampler

    model, batch, embeddings = made()
    n, levels = 800, 20
    given = SimpleNamespace(
        coords=torch.zeros(1, ATOMS, 3), atom_mask=torch.ones(1, ATOMS, dtype=torch.bool), feats=batch.feats
    )
    given.replace = _replacing(given)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        theirs = edm_sampler(
            batch=given, num_steps=levels, score_model=model, trunk_embeddings=embeddings, step_scale=1.0,
            noise_scale=1.0, multiplicity=n, alignment_reverse_diff=False,
        )  # fmt: skip
    solver = Churn(gamma=0.8, gamma_min=1.0, noise_scale=1.0, motions=True)
    ours = lw.sample(
        from_bioemu2(model, batch, embeddings), n, solver=solver, steps=levels - 1, t_grid="karras", seed=4
    )
    assert isinstance(ours.x, Tensor)
    assert same_law(distances(ours.x), distances(theirs.coords))


def _replacing(batch: SimpleNamespace) -> Any:
    def replaced(coords: Tensor) -> SimpleNamespace:
        other = SimpleNamespace(**{**vars(batch), "coords": coords})
        other.replace = _replacing(other)
        return other

    return replaced


@pytest.mark.slow
def test_a_guided_distance_is_on_target() -> None:
    """Within 0.15 standard deviations, 5 standard errors of 2000 samples and of the fit."""
    model = from_bioemu2(*made())
    along = lw.Observable(lambda x: (x[:, 0, 0] - x[:, 5, 0]) / 16, names=("distance along x",))
    own = lw.sample(model, 1000, steps=12, t_grid="karras").mean(along)
    spread = float(own.stderr) * 1000**0.5
    data = lw.Experiment(along, values=[float(own.value) + 0.3 * spread], errors=[0.0])
    run = lw.guide_observables(
        model, data, seed=1, samples=4000, budget=250_000, iterations=600, steps=12, t_grid="karras"
    )
    ens = run.sample(2000, seed=2)
    assert abs(float(ens.mean(along).value - data.values[0])) < 0.15 * spread
    assert float(run.certify(ens).efficiency.value) > 0.6


def session_model(tokens: int) -> tuple[Any, Any]:
    """The package's own inference model, without a trunk, and embeddings of a system of some tokens."""
    from bioemu2.biomoa.models.score_model import TrunkEmbeddings
    from bioemu2.model import _InferenceModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = _InferenceModel(score_model(32), 0, None, "").eval().requires_grad_(False)
        single, pair = torch.randn(2, 1, tokens, S), torch.randn(2, 1, tokens, tokens, Z)
    return model, TrunkEmbeddings(single[0], single[1], pair[0], pair[1], torch.zeros(1))


@needs_all
def test_the_page_catches_what_a_session_gives_its_sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's lines up to the model, on a system of the package; weights and entry are not downloaded."""
    import bioemu2
    from bioemu2.inference import EmuSession

    model, embeddings = session_model(10)
    system = bioemu2.System.from_description(proteins=["YYDPETGTWY"])
    monkeypatch.setattr(bioemu2, "load_model", lambda: model)
    monkeypatch.setattr(bioemu2.System, "from_pdb_id", lambda name: system)
    monkeypatch.setattr(EmuSession, "_get_embedding", lambda self: embeddings)
    page = Path(__file__).parents[2] / "docs" / "adapters" / "bioemu2.md"
    (code,) = re.findall(r"```py\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    scope: dict[str, Any] = {"from_bioemu2": from_bioemu2}
    with torch.random.fork_rng():
        exec(code[: code.index("ensemble = ")], scope)
    ours, given = scope["model"], scope["given"]
    count = given["batch"].atom_mask.sum()
    assert ours.event_shape == (int(count), 3)
    context = model.compute_static_context(given["batch"], embeddings, 1)
    for sigma in (0.1, 30.0):
        noise = torch.randn(2, int(count), 3, generator=torch.Generator().manual_seed(1))
        z = noise - noise.mean(dim=1, keepdim=True)
        x = torch.zeros(2, context.atom_mask.shape[1], 3)
        x[:, context.atom_mask[0].bool()] = (16.0**2 + sigma**2) ** 0.5 * z
        theirs = model.denoise(context, embeddings, x, torch.full((2,), sigma)).denoised_coords
        theirs = theirs[:, context.atom_mask[0].bool()]
        t = float(lw.EDMSchedule(0.0004 * 16, 160 * 16, 16.0).times([sigma])[0])
        end = ours.to_data_units(ours.denoise(z, t))
        torch.testing.assert_close(end, theirs - theirs.mean(dim=1, keepdim=True), rtol=1e-3, atol=1e-3)
    motions = Churn(gamma_min=1.0, noise_scale=1.0, motions=True)
    ensemble = lw.sample(ours, 2, solver=motions, t_grid="karras", steps=4)
    assert ensemble.ledger.log_weight is not None
