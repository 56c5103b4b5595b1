"""Networks of ``diffusers`` as functions of x and t: timesteps by name, conditions of a batch, and decoded latents.

    y = y_null + s (y_condition − y_null)        classifier-free guidance (Ho, Salimans, arXiv:2207.12598)

Guided so, the network is the model: its score is that of no density, but the chain that it drives has work and weights
like any other. Both predictions come from one call, of a batch twice as large.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from leastwork.adapters.wrapping import Wrapped
from leastwork.errors import ConfigError
from leastwork.models.context import arguments

__all__ = ["AtTimestep", "Pixels", "check_channels", "check_null", "token_grid"]

_UNIT_TIME = ("Chroma", "Flux", "LongCatImage", "OvisImage", "QwenImage")  # these multiply their timestep by 1000
_REVERSED = ("Lumina", "ZImage")  # time from noise to data
_OF_NO_SAMPLE = ("img_ids", "txt_ids")  # places of tokens, which have no axis of samples


class AtTimestep(Wrapped):
    """``net(x, timestep=t·count − offset, **context)``; a variance that the network predicts too is left out.

    Args:
        net: the network.
        count: number of timesteps of the training.
        offset: offset of the timestep.
        null: the context without condition, with the keys that differ from those of the context, or None.
        guidance_scale: s of classifier-free guidance; without effect if ``null`` is None.
        sign: −1 for a network that predicts the negative, else 1.

    Raises:
        ConfigError: the network counts time from noise to data.
    """

    def __init__(
        self,
        net: Callable[..., Any],
        count: int,
        offset: float,
        null: Mapping[str, Any] | None = None,
        guidance_scale: float = 1.0,
        sign: int = 1,
    ) -> None:
        super().__init__(net)
        self.sign = sign
        inner = getattr(net, "_orig_mod", net)  # of torch.compile
        name = type(inner).__name__
        if name.startswith(_REVERSED):
            raise ConfigError(
                f"{name} counts time from noise to data, with the velocity reversed: pass a function of x and timestep "
                "that returns -net(x, 1 - timestep/1000, ...)"
            )
        unit = count if name.startswith(_UNIT_TIME) else 1
        self.timesteps, self.behind = count, offset  # in units of the scheduler
        self.count, self.offset = count / unit, offset / unit
        called = inner.forward if isinstance(inner, nn.Module) else inner
        self.by_name = "timestep" in inspect.signature(called).parameters
        self.null, self.guidance_scale = null if guidance_scale != 1 else None, guidance_scale

    def forward(self, x: Tensor, t: Tensor, **context: Any) -> Tensor:
        if self.null is None:
            return self._call(x, t, context)
        without = context | arguments({key: value for key, value in self.null.items() if key in context}, x)
        both = {key: _joined(without[key], given, key) for key, given in context.items()}
        y = self._call(torch.cat([x, x]), t if t.ndim == 0 else torch.cat([t, t]), both)
        y_null, y_condition = y.chunk(2)
        return y_null + self.guidance_scale * (y_condition - y_null)

    def time_of(self, timestep: float) -> float:
        """t of a timestep of the scheduler."""
        return (timestep + self.behind) / self.timesteps

    def _call(self, x: Tensor, t: Tensor, context: Mapping[str, Any]) -> Tensor:
        timestep = (t * self.count - self.offset).expand(len(x))
        y = self.net(x, timestep=timestep, **context) if self.by_name else self.net(x, timestep, **context)
        y = y if isinstance(y, Tensor) else y[0]  # the first field of an output object
        y = y[:, : x.shape[1]] if y.ndim > 1 and y.shape[1] == 2 * x.shape[1] else y
        return y if self.sign > 0 else -y


def _joined(null: Any, given: Any, key: str) -> Any:
    """Two conditions, each of a batch, as one of a batch twice as large."""
    if isinstance(given, Mapping):
        return {name: _joined(null[name], part, name) for name, part in given.items()}
    if not isinstance(given, Tensor) or key in _OF_NO_SAMPLE or given.ndim == 0:
        return given
    return torch.cat([null, given])


def check_null(
    null: Mapping[str, Any] | None, context: Mapping[str, Any], guidance_scale: float
) -> Mapping[str, Any] | None:
    """The context without condition, after a check that it fits the context with it.

    Raises:
        ConfigError: a scale without ``null``, or parts of ``null`` that the context has not, or in another shape.
    """
    if null is None:
        if guidance_scale != 1:
            raise ConfigError(
                f"guidance_scale={guidance_scale:g} needs null=, the context without condition, such as the embedding "
                "of an empty prompt"
            )
        return None
    for key, value in null.items():
        given = context.get(key)
        if key not in context or isinstance(value, Tensor) != isinstance(given, Tensor):
            raise ConfigError(f"null has {key!r}, which context has not: give it in both, with and without condition")
        if isinstance(value, Tensor) and isinstance(given, Tensor) and value.shape[1:] != given.shape[1:]:
            raise ConfigError(
                f"{key!r} has shape {tuple(value.shape)} in null and {tuple(given.shape)} in context: both are "
                "evaluated in one call, so pad them to one shape"
            )
    return null


def check_channels(net: Callable[..., Any], event_shape: tuple[int, ...]) -> None:
    """Check the order of the channels of an event; those of tokens, (L, C), come last.

    Raises:
        ConfigError: the channels come last in an image, or their number is not that of the network.
    """
    channels = getattr(getattr(net, "config", None), "in_channels", None)
    tokens = len(event_shape) == 2 and event_shape[-1] == channels
    if channels is None or not event_shape or event_shape[0] == channels or tokens:
        return
    if event_shape[-1] == channels:
        first = (channels, *event_shape[:-1])
        raise ConfigError(
            f"event_shape={event_shape} has its channels last, but the network takes {channels} channels first: pass "
            f"event_shape={first}, and samples in that order"
        )
    raise ConfigError(f"event_shape={event_shape} has {event_shape[0]} channels, but the network takes {channels}")


class Pixels(nn.Module):
    """Images of latents, ``vae.decode(z · std/scaling + mean or shift)``; tokens of 2 × 2 latent pixels are unpacked.

    Args:
        vae: an autoencoder of the package.
        grid: rows and columns of tokens, or None where latents are images, (C, H, W).
    """

    def __init__(self, vae: nn.Module, grid: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.vae, self.grid = vae, grid
        config: Any = vae.config
        self.scale = 1 / (getattr(config, "scaling_factor", None) or 1.0)
        self.shift = getattr(config, "shift_factor", None) or 0.0
        mean, std = (getattr(config, name, None) for name in ("latents_mean", "latents_std"))
        if mean is not None and std is not None:
            self.shift, self.scale = torch.tensor(mean), torch.tensor(std) * self.scale

    def forward(self, z: Tensor) -> Tensor:
        """Images, (B, channels, height, width)."""
        if self.grid is not None:
            rows, columns = self.grid
            z = z.unflatten(1, (rows, columns)).unflatten(3, (-1, 2, 2))
            z = z.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
        shift, scale = (
            part.to(z).reshape(1, -1, *[1] * (z.ndim - 2)) if isinstance(part, Tensor) else part
            for part in (self.shift, self.scale)
        )
        found: Any = self.vae.decode(z * scale + shift)  # pyright: ignore[reportCallIssue]  (a method of the autoencoder)
        return found if isinstance(found, Tensor) else found[0]


def token_grid(event_shape: tuple[int, ...], context: Mapping[str, Any]) -> tuple[int, int] | None:
    """Rows and columns of tokens (L, C), by their places ``img_ids`` in the context; None for images.

    Raises:
        ConfigError: the tokens do not fill a rectangle.
    """
    if len(event_shape) != 2:
        return None
    count, places = event_shape[0], context.get("img_ids")
    if isinstance(places, Tensor) and places.shape[-1] == 3 and bool((places[..., 1:] != 0).any()):
        rows, columns = (int(places[..., axis].max()) + 1 for axis in (1, 2))
    else:
        rows = columns = round(count**0.5)
    if rows * columns != count:
        raise ConfigError(
            f"{count} tokens fill no {rows} × {columns} image, so vae= cannot decode them: give their places as "
            "context={'img_ids': ...}"
        )
    return rows, columns
