"""Transformers and UNets of diffusers, tiny and random: tokens, two conditions in one call, autoencoders, guiders.

Sizes are those of the package's own tests, or smaller. Skipped without the package.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import leastwork as lw
from leastwork.adapters import as_guider, from_diffusers
from leastwork.adapters.registry import settings_from
from leastwork.guidance.learned import LearnedGuidance
from leastwork.models.latents import of_data
from leastwork.networks.value import ValueNetwork
from leastwork.sampling.noise import BlockNoise
from leastwork.support.tensor_files import write_tensors

diffusers = pytest.importorskip("diffusers", reason="needs the extra diffusers")
pytest.importorskip("transformers", reason="needs transformers, as by make test-diffusers")
pytestmark = pytest.mark.filterwarnings("ignore")
FLOW = {"num_train_timesteps": 1000}
Made = tuple[nn.Module, tuple[int, ...], dict[str, Any], dict[str, Any]]


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make().eval().requires_grad_(False)


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def text(seed: int, **widths: int) -> dict[str, Any]:
    """Embeddings of a prompt of three words."""
    return {name: noise(1, *((3, n) if name[0] == "e" else (n,)), seed=seed) for name, n in widths.items()}


def sd3() -> Made:
    net = seeded(
        lambda: diffusers.SD3Transformer2DModel(
            sample_size=4, patch_size=1, in_channels=4, out_channels=4, num_layers=1, attention_head_dim=8,
            num_attention_heads=2, joint_attention_dim=16, caption_projection_dim=16, pooled_projection_dim=16,
            pos_embed_max_size=8,
        )
    )  # fmt: skip
    prompts = [text(seed, encoder_hidden_states=16, pooled_projections=16) for seed in (1, 2)]
    return net, (4, 4, 4), *prompts


def flux() -> Made:
    net = seeded(
        lambda: diffusers.FluxTransformer2DModel(
            patch_size=1, in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=16, pooled_projection_dim=16, axes_dims_rope=(4, 4, 8),
        )
    )  # fmt: skip
    prompts = [text(seed, encoder_hidden_states=16, pooled_projections=16) for seed in (1, 2)]
    rows, columns = torch.meshgrid(torch.arange(2.0), torch.arange(3.0), indexing="ij")
    places = torch.stack([torch.zeros(6), rows.flatten(), columns.flatten()], dim=1)
    return net, (6, 4), prompts[0] | {"txt_ids": torch.zeros(3, 3), "img_ids": places}, prompts[1]


def dit() -> Made:
    net = seeded(
        lambda: diffusers.DiTTransformer2DModel(
            sample_size=8, num_layers=1, patch_size=2, attention_head_dim=8, num_attention_heads=2, in_channels=4,
            out_channels=8, attention_bias=True, activation_fn="gelu-approximate", num_embeds_ada_norm=1000,
            norm_type="ada_norm_zero", norm_elementwise_affine=False,
        )
    )  # fmt: skip
    return net, (4, 8, 8), {"class_labels": torch.tensor([3])}, {"class_labels": torch.tensor([1000])}


def unet(**more: Any) -> Made:
    net = seeded(
        lambda: diffusers.UNet2DConditionModel(
            sample_size=8, in_channels=4, out_channels=4, block_out_channels=(4, 8), layers_per_block=1,
            norm_num_groups=4, cross_attention_dim=8, attention_head_dim=2,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), **more,
        )
    )  # fmt: skip
    return net, (4, 8, 8), *(text(seed, encoder_hidden_states=8) for seed in (1, 2))


def sdxl() -> Made:
    """Two prompts of which the pooled embedding differs too, with sizes that are the same for both."""
    net, shape, *prompts = unet(
        addition_embed_type="text_time", addition_time_embed_dim=4, projection_class_embeddings_input_dim=32
    )
    sizes = torch.tensor([[64.0, 64, 0, 0, 64, 64]])
    added = [{"added_cond_kwargs": {"text_embeds": noise(1, 8, seed=seed), "time_ids": sizes}} for seed in (3, 4)]
    return net, shape, prompts[0] | added[0], prompts[1] | added[1]


def flow() -> Any:
    return diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)


def ddim(**more: Any) -> Any:
    return diffusers.DDIMScheduler(clip_sample=False, **more)


def repeated(context: Mapping[str, Any], n: int) -> dict[str, Any]:
    """A context as the package's own loops give it, for a batch."""
    return {
        key: value
        if key.endswith("_ids") and len(value) != 1
        else repeated(value, n)
        if isinstance(value, Mapping)
        else value.expand(n, *value.shape[1:])
        for key, value in context.items()
    }


KINDS = [(sd3, flow, 1.0), (flux, flow, 0.001), (dit, ddim, 1.0), (unet, ddim, 1.0), (sdxl, ddim, 1.0)]


@pytest.mark.parametrize(("make", "scheduler", "unit"), KINDS)
def test_a_prediction_is_the_networks_own_and_two_conditions_take_one_call(
    make: Callable[[], Made], scheduler: Callable[[], Any], unit: float
) -> None:
    net, shape, given, null = make()
    x, k = noise(5, *shape), 400.0
    own = scheduler()
    t = k / 1000 if "FlowMatch" in type(own).__name__ else (k + 1) / 1000

    def theirs(context: Mapping[str, Any]) -> Tensor:
        y = net(x, timestep=torch.full((5,), k * unit), **repeated(context, 5)).sample
        return y[:, : x.shape[1]]

    plain = from_diffusers(net, own, shape, context=given)
    torch.testing.assert_close(plain.predict(x, t), theirs(given))
    calls: list[int] = []
    hook = net.register_forward_pre_hook(lambda module, args: calls.append(len(args[0])))
    guided = from_diffusers(net, own, shape, context=given, null=null, guidance_scale=4.0)
    calls.clear()
    found = guided.predict(x, t)
    hook.remove()
    assert calls == [10]
    without, condition = theirs(given | null), theirs(given)
    torch.testing.assert_close(found, without + 4 * (condition - without), rtol=1e-4, atol=1e-4)
    assert lw.sample(guided, 3, steps=2).x.shape == (3, *shape)
    assert lw.sample(guided, 2, steps=2, dtype=torch.float64).x.dtype == torch.float64


@pytest.mark.parametrize(("make", "scheduler", "unit"), KINDS[:2])
def test_steps_are_those_of_the_packages_loop(
    make: Callable[[], Made], scheduler: Callable[[], Any], unit: float
) -> None:
    net, shape, given, _ = make()
    own = scheduler()
    model = from_diffusers(net, own, shape, context=given)
    own.set_timesteps(8)
    ours = lw.sample(model, 4, process="ode", solver="euler", t_grid=own.sigmas[:-1].double(), seed=3)
    x = BlockNoise(3, 0, 4, shape).draw()
    assert isinstance(x, Tensor)
    for k in own.timesteps:
        x = own.step(net(x, timestep=k.expand(4) * unit, **repeated(given, 4)).sample, k, x).prev_sample
    torch.testing.assert_close(ours.x, x, rtol=1e-4, atol=1e-4)


def autoencoder(channels: int, **more: Any) -> Any:
    return seeded(
        lambda: diffusers.AutoencoderKL(
            in_channels=3, out_channels=3, block_out_channels=(4, 8), latent_channels=channels, norm_num_groups=2,
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, **more,
        )
    )  # fmt: skip


BRIGHT = lw.Observable(lambda x: x.mean(dim=(1, 2, 3)), names=("brightness",))


def test_observables_see_the_images_of_an_autoencoder() -> None:
    net, shape, given, null = sd3()
    vae = autoencoder(4, scaling_factor=1.5, shift_factor=0.06)
    model = from_diffusers(net, flow(), shape, context=given, null=null, guidance_scale=2.0, vae=vae)
    ens = lw.sample(model, 6, steps=4)
    assert isinstance(ens.x, Tensor)
    with torch.no_grad():
        images = vae.decode(ens.x / 1.5 + 0.06).sample
    assert images.shape == (6, 3, 8, 8)
    torch.testing.assert_close(of_data(lambda x: x, model)(ens.x), images, rtol=1e-4, atol=1e-5)
    assert float(ens.mean(BRIGHT).value) == pytest.approx(float(images.mean()), rel=1e-4)
    data = lw.Experiment(BRIGHT, [float(images.mean())], errors=0.1)
    run = lw.guide_observables(model, data, "loss", samples=30, steps=3, certificate_samples=20)
    assert float(run.certificate.work.value) > 0


def test_the_page_on_latents_and_prompts_runs() -> None:
    """With a pipeline that has the parts of the real one, tiny and random."""
    net, _, given, null = sd3()
    embeddings = [
        context[name] for name in ("encoder_hidden_states", "pooled_projections") for context in (given, null)
    ]
    pipe = SimpleNamespace(
        transformer=net, scheduler=flow(), vae=autoencoder(4), encode_prompt=lambda *prompts: embeddings
    )
    page = Path(__file__).parents[2] / "docs" / "adapters" / "diffusers.md"
    (code,) = re.findall(r"```py\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(code.splitlines()) <= 10
    few = code.replace("values=[0.2]", "values=[own]").replace("samples=200", "samples=20").replace("=30", "=3")
    scope: dict[str, Any] = {"lw": lw, "pipe": pipe, "from_diffusers": from_diffusers, "own": -0.05}
    exec(compile(few, "diffusers.md", "exec"), scope)
    run = scope["run"]
    assert float(run.certificate.work.value) >= 0
    assert as_guider(run.guidance, run.model).num_conditions == 2


def test_a_folder_with_an_autoencoder_and_embeddings_is_read(tmp_path: Path) -> None:
    net, shape, given, null = sd3()
    parts = (("transformer", net), ("scheduler", flow()), ("vae", autoencoder(4)))
    for name, part in parts:
        part.save_pretrained(tmp_path / "pipe" / name)
    write_tensors(tmp_path / "text.safetensors", given | {f"null.{name}": value for name, value in null.items()})
    settings = {"adapter": "diffusers", "path": "pipe", "embeddings": "text.safetensors", "guidance_scale": 3.0}
    model = settings_from(settings).anchored(tmp_path).build()
    assert isinstance(model, lw.DiffusionModel)
    assert model.latent_decoder is not None
    same = from_diffusers(net, flow(), shape, context=given, null=null, guidance_scale=3.0)
    x = noise(2, *shape)
    torch.testing.assert_close(model.predict(x, 0.4), same.predict(x, 0.4))
    needed = list(settings_from(settings).needed("path", tmp_path / "pipe"))
    assert sorted({file.parent.name for file in needed}) == ["scheduler", "transformer", "vae"]
    plain = settings_from({**settings, "decode": False}).anchored(tmp_path).build()
    assert isinstance(plain, lw.DiffusionModel)
    assert plain.decode is None


def test_tokens_are_unpacked_into_latent_images() -> None:
    net, shape, given, _ = flux()
    vae = autoencoder(1)
    model = from_diffusers(net, flow(), shape, context=given, vae=vae)
    z = noise(5, *shape)
    theirs = diffusers.FluxPipeline._unpack_latents(z, height=4, width=6, vae_scale_factor=1)
    with torch.no_grad():
        images = vae.decode(theirs / vae.config.scaling_factor).sample
    torch.testing.assert_close(of_data(lambda x: x, model)(z), images, rtol=1e-4, atol=1e-5)
    del given["img_ids"]
    with pytest.raises(lw.ConfigError, match=r"6 tokens fill no 2 × 2 image.*'img_ids'"):
        from_diffusers(lambda x, k: x, flow(), shape, vae=vae)


def learned(model: lw.DiffusionModel, denoised: bool) -> LearnedGuidance:
    """A guidance that moves samples about as far as they are wide."""
    assert isinstance(model.event_shape[0], int)
    network = ValueNetwork(torch.Size(model.event_shape).numel(), denoised=denoised)  # pyright: ignore[reportArgumentType]
    torch.nn.init.normal_(network.head.weight, std=1.0, generator=torch.Generator().manual_seed(5))
    return LearnedGuidance(network.requires_grad_(False), model.schedule)


@pytest.mark.parametrize("denoised", [False, True])
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_the_loop_of_sd3_with_the_guider_draws_our_samples(scale: float, denoised: bool) -> None:
    from diffusers.modular_pipelines.stable_diffusion_3.denoise import StableDiffusion3DenoiseStep

    net, shape, given, null = sd3()
    scheduler = flow()
    model = from_diffusers(net, scheduler, shape, context=given, null=null, guidance_scale=scale)
    guidance = learned(model, denoised)
    pipe = StableDiffusion3DenoiseStep().init_pipeline()
    pipe.update_components(transformer=net, scheduler=scheduler, guider=as_guider(guidance, model))
    pipe.set_progress_bar_config(disable=True)
    scheduler.set_timesteps(8)
    prompt, other = repeated(given, 5), repeated(null, 5)
    negative = {
        "negative_prompt_embeds": other["encoder_hidden_states"],
        "negative_pooled_prompt_embeds": other["pooled_projections"],
    }
    call = {
        "latents": BlockNoise(3, 0, 5, shape).draw(), "timesteps": scheduler.timesteps, "num_inference_steps": 8,
        "prompt_embeds": prompt["encoder_hidden_states"], "pooled_prompt_embeds": prompt["pooled_projections"],
        "output": "latents",
    }  # fmt: skip
    theirs = pipe(**call, **(negative if scale != 1 else {}))
    choices: dict[str, Any] = {"process": "ode", "solver": "euler", "t_grid": scheduler.sigmas[:-1].double(), "seed": 3}
    torch.testing.assert_close(theirs, lw.sample(model, 5, guidance, **choices).x, rtol=1e-4, atol=1e-4)
    plain = lw.sample(model, 5, **choices).x
    assert isinstance(plain, Tensor)
    assert float((theirs - plain).norm()) > 0.3 * float(plain.norm())
    assert torch.is_grad_enabled()
    if scale != 1:
        with pytest.raises(lw.ConfigError, match="guidance_scale=4, but the pipeline has no negative prompt"):
            pipe(**call)


@pytest.mark.parametrize("denoised", [False, True])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_loop_of_sdxl_with_the_guider_draws_our_samples(kind: str, denoised: bool) -> None:
    from diffusers.modular_pipelines.stable_diffusion_xl.denoise import StableDiffusionXLDenoiseStep

    net, shape, given, null = sdxl()
    scheduler = ddim(prediction_type=kind, timestep_spacing="trailing")
    model = from_diffusers(net, scheduler, shape, context=given, null=null, guidance_scale=3.0)
    guidance = learned(model, denoised)
    pipe = StableDiffusionXLDenoiseStep().init_pipeline()
    pipe.update_components(unet=net, scheduler=scheduler, guider=as_guider(guidance, model))
    pipe.set_progress_bar_config(disable=True)
    scheduler.set_timesteps(8)
    conditions: dict[str, Any] = {}
    for sign, context in (("", given), ("negative_", null)):
        many = repeated(context, 5)
        conditions |= {
            f"{sign}prompt_embeds": many["encoder_hidden_states"],
            f"{sign}pooled_prompt_embeds": many["added_cond_kwargs"]["text_embeds"],
            f"{sign}add_time_ids": many["added_cond_kwargs"]["time_ids"],
        }
    theirs = pipe(
        latents=model.from_noise(BlockNoise(3, 0, 5, shape).draw()), timesteps=scheduler.timesteps,
        num_inference_steps=8, eta=0.0, denoiser_input_fields=conditions, output="latents",
    )  # fmt: skip
    grid = (scheduler.timesteps.double() + 1) / 1000
    ours = lw.sample(model, 5, guidance, process="ode", solver="exponential", t_grid=grid, seed=3)
    torch.testing.assert_close(theirs, ours.x, rtol=1e-3, atol=1e-3)  # their 1 − ᾱ is in float32


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"guidance_scale": 3.0}, "guidance_scale=3 needs null=, the context without condition"),
        ({"null": {"prompt": noise(1, 3, 16)}}, "null has 'prompt', which context has not"),
        ({"null": {"encoder_hidden_states": noise(1, 7, 16)}}, r"shape \(1, 7, 16\) in null and \(1, 3, 16\)"),
        ({"context": {}}, "cannot be called"),
    ],
)
def test_conditions_that_do_not_fit(more: dict[str, Any], words: str) -> None:
    net, shape, given, _ = sd3()
    with pytest.raises(lw.ConfigError, match=words):
        from_diffusers(net, flow(), shape, **{"context": given, **more})


def test_networks_whose_time_runs_the_other_way_and_foreign_models_are_refused() -> None:
    class LuminaNextDiT2DModel(nn.Module):
        def forward(self, x: Tensor, timestep: Tensor) -> Tensor:
            return x

    with pytest.raises(lw.ConfigError, match="LuminaNextDiT2DModel counts time from noise to data"):
        from_diffusers(LuminaNextDiT2DModel(), flow(), (4, 4, 4))
    reversed_ = LuminaNextDiT2DModel()
    model = from_diffusers(lambda x, timestep: -reversed_(x, 1 - timestep / 1000), flow(), (4, 4, 4))
    x = noise(2, 4, 4, 4)
    torch.testing.assert_close(model.velocity(x, 0.3), -x)
    model = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), "score", (4, 4, 4))
    with pytest.raises(lw.ConfigError, match="that from_diffusers made"):
        as_guider(learned(model, False), model)
