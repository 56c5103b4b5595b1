"""Toy stand-ins for packages that are not installed here, with just what their adapters touch.

They test that a run file's keys reach the package; that the packages are wrapped rightly is tested with the packages.
"""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import leastwork as lw


def install(monkeypatch: pytest.MonkeyPatch, **modules: dict[str, Any]) -> None:
    """Put modules into ``sys.modules``; two underscores in a name stand for a dot."""
    for name, contents in modules.items():
        dotted = name.replace("__", ".")
        module = ModuleType(dotted)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, dotted, module)


def flow_matching(monkeypatch: pytest.MonkeyPatch, folder: Path) -> nn.Module:
    class Scheduler:
        pass

    class CondOTScheduler(Scheduler):
        pass

    path = type("ProbPath", (), {})
    kinds = {name: type(name, (path,), {}) for name in ("AffineProbPath", "MixtureDiscreteProbPath")}
    known = {name: type(name, (Scheduler,), {}) for name in ("CosineScheduler", "VPScheduler")}
    schedulers = {"Scheduler": Scheduler, "CondOTScheduler": CondOTScheduler, **known}
    install(
        monkeypatch,
        flow_matching={},
        flow_matching__path={"ProbPath": path, **kinds},
        flow_matching__path__scheduler=schedulers,
    )
    return made(folder, "Net")


def torchcfm(monkeypatch: pytest.MonkeyPatch, folder: Path) -> nn.Module:
    class ConditionalFlowMatcher:
        def __init__(self, sigma: float) -> None:
            self.sigma = sigma

    class MLP(nn.Module):
        def __init__(self, dim: int, w: int, time_varying: bool) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(dim + time_varying, w), nn.SiLU(), nn.Linear(w, dim))

        def forward(self, x: Tensor) -> Tensor:
            return self.layers(x)

    others = ("VariancePreservingConditionalFlowMatcher", "TargetConditionalFlowMatcher")
    matchers = {name: type(name, (ConditionalFlowMatcher,), {}) for name in others}
    install(
        monkeypatch,
        torchcfm={},
        torchcfm__models={},
        torchcfm__models__models={"MLP": MLP},
        torchcfm__conditional_flow_matching={"ConditionalFlowMatcher": ConditionalFlowMatcher, **matchers},
    )
    return made(folder, "MLP", dim=2, w=128, time_varying=True)


def azula(monkeypatch: pytest.MonkeyPatch, folder: Path) -> nn.Module:
    class Schedule(nn.Module):
        def forward(self, t: Tensor) -> tuple[Tensor, Tensor]:
            return torch.cos(1.5 * t), torch.sin(1.5 * t) + 1e-3

    class VPSchedule(Schedule):
        pass

    class VESchedule(Schedule):
        pass

    class Denoiser(nn.Module):
        pass

    class KarrasDenoiser(Denoiser):
        def __init__(self, backbone: nn.Module, schedule: Schedule) -> None:
            super().__init__()
            self.backbone, self.schedule = backbone, schedule

        def forward(self, x: Tensor, t: Tensor) -> SimpleNamespace:
            return SimpleNamespace(mean=self.backbone(x, t))

    install(
        monkeypatch,
        azula={},
        azula__denoise={"Denoiser": Denoiser, "KarrasDenoiser": KarrasDenoiser},
        azula__noise={"Schedule": Schedule, "VPSchedule": VPSchedule, "VESchedule": VESchedule},
    )
    return made(folder, "make_denoiser")


def diffusers(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    class ModelMixin(nn.Module):
        @classmethod
        def from_pretrained(cls, path: Path, local_files_only: bool, use_safetensors: bool, **_: bool) -> "ModelMixin":
            assert local_files_only
            assert use_safetensors
            assert (path / "config.json").is_file()
            return cls()

    class UNet2DModel(ModelMixin):
        config = SimpleNamespace(in_channels=1, sample_size=4)

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            return x * t[:, None, None, None] / 500

    class SchedulerMixin:
        config = SimpleNamespace(num_train_timesteps=500, prediction_type="epsilon")

        @classmethod
        def from_pretrained(cls, path: Path, local_files_only: bool) -> "SchedulerMixin":
            return cls()

    class DDPMScheduler(SchedulerMixin):
        betas = torch.linspace(1e-4, 0.04, 500)
        alphas_cumprod = torch.cumprod(1 - betas, dim=0)

    parts = {"ModelMixin": ModelMixin, "UNet2DModel": UNet2DModel}
    install(monkeypatch, diffusers={**parts, "SchedulerMixin": SchedulerMixin, "DDPMScheduler": DDPMScheduler})
    for part, config, name in (
        ("unet", "config.json", "UNet2DModel"),
        ("scheduler", "scheduler_config.json", "DDPMScheduler"),
    ):
        (folder / "pipeline" / part).mkdir(parents=True)
        (folder / "pipeline" / part / config).write_text(f'{{"_class_name": "{name}"}}')


def bioemu(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """The loader itself stands for the package, with the arguments that it takes."""

    def load(sequence: str, checkpoint: Path, embeddings: Path, *, name: str, at_once: int | None) -> lw.FrameModel:
        assert (checkpoint, embeddings) == (folder / "checkpoint", folder / "embeddings")
        assert (name, at_once) == ("bioemu-v1.1", None)

        def scores(x: tuple[Tensor, Tensor], t: Tensor) -> tuple[Tensor, Tensor]:
            return -x[0], torch.zeros_like(x[0])

        return lw.FrameModel(scores, lw.VPSchedule(), lw.AngleSchedule(), len(sequence), subspace=lw.ZeroCentre())

    monkeypatch.setattr("leastwork.adapters.bioemu.load_bioemu", load)


def edm(monkeypatch: pytest.MonkeyPatch, folder: Path) -> nn.Module:
    """There is no package: the page's own network, untrained."""
    return made(folder, "Net")


def made(folder: Path, name: str, **options: Any) -> nn.Module:
    """The network that ``network.py`` in a folder defines."""
    names: dict[str, Any] = {}
    exec((folder / "network.py").read_text(encoding="utf-8"), names)
    return names[name](**options)


STAND_INS = {
    "flow_matching": flow_matching, "torchcfm": torchcfm, "azula": azula, "diffusers": diffusers, "bioemu": bioemu,
    "edm": edm,
}  # fmt: skip
