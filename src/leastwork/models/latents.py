"""Latent models: noise, guidance and work live in latents z, while functions of data see x = decode(z).

Samples of a model with an exact encoder are data x, since encode(decode(z)) = z finds their latents again. A decoder
without such an encoder, as that of an autoencoder is, leaves the samples latents: they are smaller than the data, and
functions of data decode them, in pieces and without a graph. A graph through the decoder is built only where a gradient
of such a function by z is asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from leastwork.errors import LeastworkError
from leastwork.geometry.state import EventShape, State, batch_size, cat, leaves, shapes, smap, take, writes
from leastwork.models.placement import evaluating
from leastwork.models.units import ToData
from leastwork.observables.function import Observable
from leastwork.support.text import brief

__all__ = [
    "Decoder",
    "OfDecoded",
    "check_decoder_gradient",
    "check_encoder",
    "data_shape",
    "latent_decoder",
    "of_data",
    "of_decoded",
    "pieces",
    "sees_decoded",
]

_PIECE = 16_384  # latent coordinates that are decoded at a time, those of one image of 64 × 64 × 4
_SAMPLES = 8  # samples on which an encoder is checked
_TOLERANCE = 0.01  # largest difference of decode(encode(x)) and x, relative to x

_Function = TypeVar("_Function", bound=Callable[..., Any])


def pieces(z: State) -> list[slice]:
    """The parts of a batch of latents that are decoded at a time."""
    size = max(1, _PIECE // max(sum(leaf[:1].numel() for leaf in leaves(z)), 1))
    return [slice(i, i + size) for i in range(0, max(batch_size(z), 1), size)]


@dataclass(frozen=True, eq=False)
class Decoder:
    """x = decode(z), evaluated in the decoder's own precision, on its own device and in evaluation mode.

    Args:
        decode: function of latents (B, *event) -> data (B, ...); a module is best, as its place is then known.

    >>> Decoder(lambda z: torch.cat([z, z**2], dim=1))(torch.tensor([[2.0]]))
    tensor([[2., 4.]])
    """

    decode: ToData

    def __call__(self, z: State) -> State:
        """Data of latents, (B, ...), in the precision of z.

        Raises:
            LeastworkError: the decoder fails, or returns another number of samples, or no tensors.
        """
        if torch.is_grad_enabled() and any(leaf.requires_grad for leaf in leaves(z)):
            return self._decoded(z)
        with torch.no_grad():
            parts = [self._decoded(take(z, piece)) for piece in pieces(z)]
        return parts[0] if len(parts) == 1 else cat(parts)

    def _decoded(self, z: State) -> State:
        first = leaves(z)[0]
        parameters = self.decode.parameters() if isinstance(self.decode, nn.Module) else iter(())
        own = next((p for p in parameters if p.is_floating_point()), first)
        before = writes(z)
        try:
            with evaluating(self.decode):
                x = self.decode(smap(lambda leaf: leaf.to(own.device, own.dtype), z))
        except (LeastworkError, torch.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:
            raise LeastworkError(
                f"the decoder raised {type(error).__name__} ({brief(error) or 'no message'}) for latents of shape "
                f"{tuple(first.shape)}: mend it, or event_shape"
            ) from error
        if writes(z) != before:
            raise LeastworkError("the decoder changes its latents in place: let it work on a copy, z = z.clone()")
        parts = x if isinstance(x, tuple) else (x,)
        if not all(isinstance(part, Tensor) for part in parts) or (isinstance(x, tuple) and len(x) == 1):
            remedy = (
                "such as y[0]"
                if isinstance(x, tuple)
                else "torch.from_numpy(y)"
                if type(x).__name__ == "ndarray"
                else "such as output.sample"
            )
            raise LeastworkError(f"the decoder returns a {type(x).__name__}: return a tensor, {remedy}")
        wrong = next((part for part in parts if part.ndim == 0 or len(part) != len(first)), None)
        if wrong is not None:
            raise LeastworkError(
                f"the decoder returns shape {tuple(wrong.shape)} for {len(first)} latents of shape "
                f"{tuple(first.shape[1:])}: return one decoded sample for each latent, the batch first"
            )
        return smap(lambda part: part.to(first) if part.is_floating_point() else part.to(first.device), x)


@dataclass(frozen=True, eq=False)
class OfDecoded:
    """A function of data as a function of latents, fn(decode(z)), which holds few decoded samples at a time.

    Args:
        fn: function of data (B, ...) -> (B, ...).
        decoder: the decoder.
    """

    fn: Any
    decoder: Decoder

    @property
    def __name__(self) -> str:
        return getattr(self.fn, "__name__", type(self.fn).__name__)

    @property
    def definition(self) -> str:
        """The sentence that defines a region, if the function is a region that has one."""
        return self.fn.definition

    def __call__(self, z: State) -> Tensor:
        """fn of the decoded latents, (B, ...)."""
        if torch.is_grad_enabled() and any(leaf.requires_grad for leaf in leaves(z)):
            return self.fn(self.decoder(z))
        with torch.no_grad():
            parts = [self.fn(self.decoder(take(z, piece))) for piece in pieces(z)]
        whole = all(isinstance(part, Tensor) and part.ndim > 0 for part in parts)
        return torch.cat(parts) if whole else parts[0]  # what is wrong with it is said where the function is used


def latent_decoder(model: Any) -> Decoder | None:
    """The decoder of a model whose samples are latents, or None if its samples are data."""
    return getattr(model, "latent_decoder", None)


def of_data(fn: _Function, model: Any) -> _Function:
    """A function of data as a function of a model's samples: it decodes them if they are latents.

    Args:
        fn: an Observable, or a function of data (B, ...) -> (B, ...).
        model: the model that draws the samples.
    """
    return of_decoded(fn, latent_decoder(model))


def of_decoded(fn: _Function, decoder: Decoder | None) -> _Function:
    """A function of data as a function of latents; unchanged if there is no decoder, or if it decodes already.

    >>> of_decoded(len, None) is len
    True
    """
    if decoder is None or sees_decoded(fn):
        return fn
    seen: Any = replace(fn, fn=OfDecoded(fn.fn, decoder)) if isinstance(fn, Observable) else OfDecoded(fn, decoder)
    return seen


def sees_decoded(fn: Callable[..., Any]) -> bool:
    """Whether a function of latents decodes them, as those of :func:`of_data` do."""
    return isinstance(fn.fn if isinstance(fn, Observable) else fn, OfDecoded)


def data_shape(model: Any) -> EventShape:
    """Shape of one sample as functions of data see it."""
    decoder = latent_decoder(model)
    if decoder is None:
        return model.event_shape
    with torch.no_grad():
        zeros = tuple(torch.zeros(1, *shape) for shape in shapes(model.event_shape))
        x = decoder(zeros if isinstance(model.event_shape[0], tuple) else zeros[0])
    found = tuple(tuple(leaf.shape[1:]) for leaf in leaves(x))
    return found if isinstance(x, tuple) else found[0]


def check_encoder(model: Any, x: State) -> None:
    """Raise unless the encoder of a latent model finds the latents of samples again.

    Args:
        model: any model; one without an encoder passes.
        x: samples of the model, data units.

    Raises:
        LeastworkError: decode(encode(x)) is not x.
    """
    if getattr(model, "encode", None) is None:
        return
    x = take(x, slice(_SAMPLES))
    with torch.no_grad():
        again = model.to_data_units(model.to_network_units(x))
    for a, b in zip(leaves(x), leaves(again), strict=True):
        if a.shape != b.shape or not float((a - b).norm()) <= _TOLERANCE * float(a.norm()):
            raise LeastworkError(
                "encode is not the inverse of decode, as decode(encode(x)) is not x on samples of the model: leave "
                "encode out, and samples stay latents that observables and regions decode"
            )


def check_decoder_gradient(model: Any, x: State, method: str) -> None:
    """Raise unless the decoder can be differentiated, before a method that does so begins.

    Args:
        model: any model; one without a decoder passes.
        x: samples of the model, data units.
        method: the name of the method, for the message.

    Raises:
        LeastworkError: what the decoder returns has no graph from the latents.
    """
    decode = getattr(model, "decode", None)
    if decode is None:
        return
    with torch.enable_grad():
        z = smap(lambda leaf: leaf.detach().requires_grad_(), model.to_network_units(take(x, slice(2))))
        found = Decoder(decode)(z)
    if not any(leaf.requires_grad for leaf in leaves(found)):
        raise LeastworkError(
            f"method={method!r} differentiates the decoder, and this one has no gradient: take no_grad, detach and "
            "numpy out of it, or take method='least-work', which does not differentiate it"
        )
