"""The diffusion modules of Boltz-2 and Boltz-1, tiny and with random weights: scores, samplers, a guided distance.

Skipped without the package; ``make test-boltz`` makes an environment for it.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from closed_form import same_law
from torch import Tensor, nn

import leastwork as lw
from leastwork.adapters import from_boltz
from leastwork.guidance.learned import LearnedGuidance
from leastwork.networks.value import sees_denoised
from leastwork.sampling.solvers.churn import Churn

pytest.importorskip("boltz", reason="needs boltz, as by make test-boltz")
pytestmark = pytest.mark.filterwarnings("ignore")
ATOMS, TOKENS, WINDOW = 24, 6, {"atoms_per_window_queries": 8, "atoms_per_window_keys": 32}
SIZES = {
    "atom_encoder_depth": 1, "atom_encoder_heads": 2, "token_transformer_depth": 1, "token_transformer_heads": 2,
    "atom_decoder_depth": 1, "atom_decoder_heads": 2, **WINDOW,
}  # fmt: skip


def random_weights(module: nn.Module) -> nn.Module:
    """Weights from torch's generator alone, none of them zero: the package takes some from that of numpy."""
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
        else:
            nn.init.normal_(parameter, mean=float(name.endswith("weight")), std=0.1)
    return module.eval().requires_grad_(False)


def made(real: int = ATOMS) -> tuple[Any, dict[str, Any]]:
    """A module and the conditions of six residues of four atoms, of which ``real`` atoms are no padding."""
    from boltz.model.modules.diffusion_conditioning import DiffusionConditioning
    from boltz.model.modules.diffusionv2 import AtomDiffusion

    with torch.random.fork_rng():
        torch.manual_seed(0)
        diffusion = random_weights(AtomDiffusion({"token_s": 16, "atom_s": 16, **SIZES}, step_scale=1.0))
        conditioning = random_weights(
            DiffusionConditioning(16, 8, 16, 4, atom_feature_dim=132, use_no_atom_char=True, **SIZES)
        )
        mask = (torch.arange(ATOMS) < real).float()[None]
        feats = {
            "ref_pos": torch.randn(1, ATOMS, 3),
            "ref_charge": torch.zeros(1, ATOMS),
            "ref_element": torch.eye(128)[torch.randint(1, 9, (1, ATOMS))],
            "ref_space_uid": (torch.arange(ATOMS) // 4)[None],
            "atom_pad_mask": mask,
            "atom_to_token": torch.eye(TOKENS)[torch.arange(ATOMS) // 4][None] * mask[..., None],
            "token_pad_mask": torch.ones(1, TOKENS),
        }
        s, z = torch.randn(2, 1, TOKENS, 16), torch.randn(2, 1, TOKENS, TOKENS, 8)
        names = ("q", "c", "to_keys", "atom_enc_bias", "atom_dec_bias", "token_trans_bias")
        found = conditioning(s[0], z[0], z[1], feats)
    return diffusion, {
        "s_trunk": s[0], "s_inputs": s[1], "feats": feats,
        "diffusion_conditioning": dict(zip(names, found, strict=True)),
    }  # fmt: skip


def made_of_boltz1() -> tuple[Any, dict[str, Any]]:
    """The same of Boltz-1, whose module encodes its conditions itself and has the names of atoms among them."""
    from boltz.model.modules.diffusion import AtomDiffusion

    _, conditions = made()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        sizes = {"token_s": 16, "token_z": 8, "atom_s": 16, "atom_z": 4, "atom_feature_dim": 389, "dim_fourier": 16}
        diffusion = random_weights(AtomDiffusion({**sizes, **SIZES}, step_scale=1.0))
        z = torch.randn(2, 1, TOKENS, TOKENS, 8)
        names = torch.eye(64)[torch.randint(0, 64, (1, ATOMS, 4))]
        s_inputs = torch.randn(1, TOKENS, 87)  # 16, and one-hot residues, profiles and pockets
    feats = {**conditions["feats"], "ref_atom_name_chars": names}
    return diffusion, {
        "s_trunk": conditions["s_trunk"], "s_inputs": s_inputs, "feats": feats, "z_trunk": z[0],
        "relative_position_encoding": z[1],
    }  # fmt: skip


def denoised(diffusion: Any, conditions: Mapping[str, Any], x: Tensor, sigma: float) -> Tensor:
    found = diffusion.preconditioned_network_forward(
        x, sigma, network_condition_kwargs={**conditions, "multiplicity": len(x)}
    )
    return found[0] if isinstance(found, tuple) else found


@pytest.mark.parametrize(("make", "real"), [(made, ATOMS), (lambda: made(21), 21), (made_of_boltz1, ATOMS)])
def test_scores_are_the_packages_own(make: Callable[[], tuple[Any, dict[str, Any]]], real: int) -> None:
    diffusion, conditions = make()
    model = from_boltz(diffusion, conditions, scale=0.1)
    assert model.event_shape == (real, 3)
    for sigma in (0.01, 1.0, 30.0, 2000.0):
        noise = torch.randn(5, real, 3, generator=torch.Generator().manual_seed(1))
        x = torch.zeros(5, ATOMS, 3)
        x[:, :real] = (16.0**2 + sigma**2) ** 0.5 * (noise - noise.mean(dim=1, keepdim=True))
        theirs = denoised(diffusion, conditions, x, sigma)[:, :real]
        theirs = theirs - theirs.mean(dim=1, keepdim=True)
        t = float(lw.EDMSchedule(0.0004 * 16, 160 * 16, 16.0).times([sigma])[0])
        z = x[:, :real] / (16.0**2 + sigma**2) ** 0.5
        ours = model.to_data_units(model.denoise(z, t))
        assert isinstance(ours, Tensor)
        torch.testing.assert_close(10 * ours, theirs, rtol=1e-3, atol=1e-3)


def test_the_page_catches_the_conditions_of_a_prediction() -> None:
    """The first lines of the page, up to the model, with a stand-in for the trunk."""
    diffusion, conditions = made()

    class Boltz:
        structure_module = diffusion

        def __call__(self, features: None, num_sampling_steps: int) -> None:
            off = dict.fromkeys(("fk_steering", "physical_guidance_update", "contact_guidance_update"), False)
            diffusion.sample(
                atom_mask=torch.ones(1, ATOMS), num_sampling_steps=num_sampling_steps, steering_args=off, **conditions
            )

    page = Path(__file__).parents[2] / "docs" / "adapters" / "boltz.md"
    (code,) = re.findall(r"```py\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = code.splitlines()
    assert len(lines) <= 10
    scope: dict[str, Any] = {"boltz": Boltz(), "features": None, "from_boltz": from_boltz}
    with torch.random.fork_rng():
        exec("\n".join(lines[:5]), scope)
    assert scope["model"].event_shape == (ATOMS, 3)


def test_what_is_not_of_boltz_is_refused() -> None:
    diffusion, conditions = made()
    with pytest.raises(lw.ConfigError, match="conditions lack s_trunk: pass the structure_module of a Boltz"):
        from_boltz(diffusion, {name: value for name, value in conditions.items() if name != "s_trunk"})
    with pytest.raises(lw.ConfigError, match="Linear has no score_model"):
        from_boltz(nn.Linear(2, 2), conditions)
    two = {**conditions, "feats": {**conditions["feats"], "atom_pad_mask": torch.ones(2, ATOMS)}}
    with pytest.raises(lw.ConfigError, match="of 2 complexes"):
        from_boltz(diffusion, two)


def distances(x: Tensor) -> Tensor:
    """Some distances and the size, in units of 16 Å, which no rigid motion changes."""
    pairs = torch.tensor([[0, 5], [3, 20], [8, 12]])
    spread = (x - x.mean(dim=1, keepdim=True)).square().sum(dim=(1, 2)).div(ATOMS).sqrt()
    return torch.cat([(x[:, pairs[:, 0]] - x[:, pairs[:, 1]]).norm(dim=2), spread[:, None]], dim=1) / 16


@pytest.mark.slow
def test_its_own_sampler_is_reproduced_in_distribution() -> None:
    """A false alarm in 10⁶."""
    diffusion, conditions = made()
    n, levels = 1500, 30
    off = dict.fromkeys(("fk_steering", "physical_guidance_update", "contact_guidance_update"), False)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(3)
        theirs = diffusion.sample(torch.ones(1, ATOMS), levels, n, steering_args=off, **conditions)
    model = from_boltz(diffusion, conditions)
    solver = Churn(gamma=0.8, gamma_min=1.0, noise_scale=1.003, step_scale=1.0, motions=True)
    ours = lw.sample(model, n, solver=solver, steps=levels - 1, t_grid="karras", seed=4)
    assert isinstance(ours.x, Tensor)
    assert same_law(distances(ours.x), distances(theirs["sample_atom_coords"]))


@pytest.mark.slow
def test_a_guided_distance_is_on_target() -> None:
    """Within 0.15 standard deviations, 5 standard errors of 2000 samples and of the fit.

    Random weights do not denoise what they draw: the run says so, and V takes the noisy state.
    """
    diffusion, conditions = made()
    model = from_boltz(diffusion, conditions)
    along = lw.Observable(lambda x: (x[:, 0, 0] - x[:, 5, 0]) / 16, names=("distance along x",))
    own = lw.sample(model, 1000, steps=12, t_grid="karras").mean(along)
    spread = float(own.stderr) * 1000**0.5
    data = lw.Experiment(along, values=[float(own.value) + 0.3 * spread], errors=[0.0])
    with pytest.warns(lw.LeastworkWarning, match=r"their slope on its denoised state is 0\.1.*V takes the noisy state"):
        run = lw.guide_observables(
            model, data, seed=1, samples=4000, budget=250_000, iterations=600, steps=12, t_grid="karras"
        )
    assert isinstance(run.guidance, LearnedGuidance)
    assert not sees_denoised(run.guidance.network)
    ens = run.sample(2000, seed=2)
    assert abs(float(ens.mean(along).value - data.values[0])) < 0.15 * spread
    assert float(run.certify(ens).efficiency.value) > 0.7
