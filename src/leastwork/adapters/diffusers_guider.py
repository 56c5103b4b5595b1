"""A guidance as a guider of the Modular pipelines of ``diffusers``, inside their loop and with their scheduler.

    y′ = y + σ²/(α p) · h(x, t, D)        D = p y + q x

The guider changes the network's prediction y, of whatever kind, as h shifts D; classifier-free guidance comes first,
with the scale of the model that the guidance was fitted to. The last step is not guided, as here. The steps of
``FlowMatchEulerDiscreteScheduler`` are then those of ``lw.sample(..., process="ode", solver="euler")``, and those of
``DDIMScheduler`` the ones of ``solver="exponential"``, at the scheduler's own times.
"""

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from leastwork.adapters.diffusers_network import AtTimestep
from leastwork.adapters.wrapping import package
from leastwork.errors import ConfigError
from leastwork.guidance.base import Guidance
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.predictions import Moments, data_weights, to_data

__all__ = ["as_guider"]

_STATES = ("hidden_states", "sample")  # names of the state among the arguments of a network


def as_guider(guidance: Guidance, model: DiffusionModel) -> Any:
    """A ``diffusers.guiders.BaseGuidance`` that guides as ``guidance`` does.

    Args:
        guidance: h, such as ``run.guidance``.
        model: the model that it guides, from :func:`leastwork.adapters.from_diffusers`.

    Returns:
        BaseGuidance: for ``pipe.update_components(guider=...)``, where the pipeline has the network, the scheduler and
        the conditions of the model. It holds the guidance itself, so that the pipeline's files leave it out.

    Raises:
        ConfigError: the package is missing, or the model came from elsewhere.
    """
    kind = _guider_class()
    if not isinstance(model.net, AtTimestep):
        raise ConfigError(
            "pipelines of diffusers take the guidance of a model that from_diffusers made, not with a scheduler "
            "of EDM: fit one to such a model"
        )
    return kind(guidance, model, model.net)


class _Guiding:
    """The methods of the guider, which a pipeline calls before, around and after the network."""

    if TYPE_CHECKING:
        _step: int
        _num_inference_steps: int
        _timestep: Tensor
        _count_prepared: int
        _enabled: bool

        def register_to_config(self) -> None: ...
        def _prepare_batch(self, data: dict[str, Any], tuple_index: int, identifier: str) -> Any: ...
        def _prepare_batch_from_block_state(
            self, input_fields: dict[str, Any], data: Any, tuple_index: int, identifier: str
        ) -> Any: ...

    def __init__(self, guidance: Guidance, model: DiffusionModel, net: AtTimestep) -> None:
        super().__init__()
        self.register_to_config()
        self.guidance, self.model, self.net = guidance, model, net
        self.state: Tensor | None = None
        self.hooks: list[Any] = []

    @property
    def is_conditional(self) -> bool:
        return self._count_prepared == 1

    @property
    def num_conditions(self) -> int:
        return 1 if self.net.null is None else 2

    def prepare_inputs(self, data: dict[str, Any]) -> list[Any]:
        self._check_conditions(data.values())
        return [self._prepare_batch(data, i, name) for i, name in enumerate(_PREDICTIONS[: self.num_conditions])]

    def prepare_inputs_from_block_state(self, data: Any, input_fields: dict[str, Any]) -> list[Any]:
        fields = (field for field in input_fields.values() if isinstance(field, tuple))
        self._check_conditions(tuple(getattr(data, name, None) for name in field) for field in fields)
        names = _PREDICTIONS[: self.num_conditions]
        return [self._prepare_batch_from_block_state(input_fields, data, i, name) for i, name in enumerate(names)]

    def _check_conditions(self, pairs: Iterable[Any]) -> None:
        """Check that a pipeline has the two conditions of classifier-free guidance."""
        if self.num_conditions == 2 and not any(isinstance(pair, tuple) and pair[1] is not None for pair in pairs):
            raise ConfigError(
                f"the model has guidance_scale={self.net.guidance_scale:g}, but the pipeline has no negative prompt: "
                "pass negative_prompt_embeds, the null= of the model"
            )

    def prepare_models(self, denoiser: nn.Module) -> None:
        """Note the state that the network is about to take, with a graph from it if the guidance needs one."""
        self._count_prepared += 1
        self.hooks = [
            denoiser.register_forward_pre_hook(self._before, with_kwargs=True),
            denoiser.register_forward_hook(_grad_mode_of(torch.is_grad_enabled()), always_call=True),
        ]

    def cleanup_models(self, denoiser: nn.Module) -> None:
        for hook in self.hooks:
            hook.remove()

    @property
    def guides(self) -> bool:
        """Whether this step is guided."""
        return self._enabled and self._step < self._num_inference_steps - 1

    def _before(self, module: nn.Module, args: tuple[Any, ...], given: dict[str, Any]) -> Any:
        name = next((name for name in _STATES if name in given), None)
        x = args[0] if name is None else given[name]
        if tuple(x.shape[1:]) != self.model.event_shape:
            raise ConfigError(
                f"the pipeline has states of shape {tuple(x.shape[1:])}, and the model that is guided has "
                f"{self.model.event_shape}: give the pipeline the height and width of the model"
            )
        if self._count_prepared == 1:
            self.state = x.detach().requires_grad_(self.guides and self.guidance.through_network)
        if not self.guides or not self.guidance.through_network:
            return None
        torch.set_grad_enabled(True)
        return (args, {**given, name: self.state}) if name else ((self.state, *args[1:]), given)

    def forward(self, pred_cond: Tensor, pred_uncond: Tensor | None = None) -> Any:
        """The prediction of the guided model."""
        output = package("diffusers.guiders.guider_utils", "diffusers").GuiderOutput
        with torch.set_grad_enabled(self.guides and self.guidance.through_network):
            y = pred_cond
            if pred_uncond is not None:
                y = pred_uncond + self.net.guidance_scale * (pred_cond - pred_uncond)
            y = self._guided(y) if self.guides else y
        rest = None if pred_uncond is None else pred_uncond.detach()
        return output(pred=y.detach().to(pred_cond.dtype), pred_cond=pred_cond.detach(), pred_uncond=rest)

    def _guided(self, y: Tensor) -> Tensor:
        x, kind = self.state, self.model.predicts
        assert x is not None
        t = self.net.time_of(float(self._timestep))
        m = Moments.at(self.model.schedule, t)
        if m.alpha <= 0:
            return y  # the state has no information on the data there, and h vanishes with α
        y = y[:, : x.shape[1]] if y.shape[1] == 2 * x.shape[1] else y
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        end = self.model.project(to_data(kind, y.to(wide), wide, m))
        h = self.model.project(self.guidance(x if wide is x else wide, t, end))
        assert isinstance(h, Tensor)
        return y + m.sigma**2 / (m.alpha * data_weights(kind, m)[0]) * h.detach().to(y)


_PREDICTIONS = ("pred_cond", "pred_uncond")


def _grad_mode_of(enabled: bool) -> Any:
    """A hook that puts the mode of gradients back, also where the network fails."""

    def after(module: nn.Module, args: Any, output: Any) -> None:
        torch.set_grad_enabled(enabled)

    return after


@cache
def _guider_class() -> Any:
    """The guider's class, which derives from one of the package's."""
    base = package("diffusers.guiders", "diffusers").BaseGuidance
    return type("Guider", (_Guiding, base), {"_input_predictions": list(_PREDICTIONS)})
