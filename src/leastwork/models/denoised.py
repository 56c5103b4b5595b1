"""The denoised state D(x, t), and the products Jᵀv (backward) and Ju (forward) with its Jacobian J = ∂D/∂x.

The forward product is the derivative of the backward product by v, in which that is linear. So the network only has to
be differentiable twice. u and v are flat tangents, (B, k) (:mod:`leastwork.geometry.tangents`).
"""

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.geometry.state import State, all_finite, leaves, smap, take
from leastwork.geometry.tangents import cotangent, direction, slope_along, tangent_along
from leastwork.models.base import Scored
from leastwork.models.contract import NetworkError
from leastwork.support.random import generator

__all__ = ["PULL", "PUSH", "Denoised", "check_gradient", "denoised", "is_differentiable"]

PULL, PUSH = 1, 2
"""Costs of a backward and of a forward product, counted as network evaluations."""

_SAMPLES = 8  # samples on which a network is checked
_TOLERANCE = 1e-3  # smallest difference of D that counts, relative to its size; float32 networks reach 10⁻⁵


@dataclass(frozen=True, eq=False)
class Denoised:
    """D at one batch of states, with its graph, which is freed with this object.

    Args:
        x: the noisy states, network units, (B, *event).
        y: the prediction that a step of the sampler uses, with its graph: D, or for frames D and the score of the
            rotations.
        end: D with its graph.
    """

    x: State
    y: State
    end: State

    @property
    def state(self) -> State:
        """D, without a graph."""
        return smap(Tensor.detach, self.end)

    def pull(self, slope: Tensor) -> Tensor:
        """Jᵀv, (B, k): the gradient by x of a function whose gradient by D is v."""
        pulled = torch.autograd.grad(
            leaves(self.end), leaves(self.x), leaves(cotangent(self.state, slope)), retain_graph=True,
            materialize_grads=True,
        )  # fmt: skip
        return slope_along(self.x, pulled if isinstance(self.x, tuple) else pulled[0]).detach()

    def pushes(self, tangents: list[Tensor]) -> list[Tensor]:
        """Ju for several u, (B, k) each: the derivative of D along u."""
        free = [torch.zeros_like(leaf).requires_grad_() for leaf in leaves(self.end)]
        pulled = torch.autograd.grad(
            leaves(self.end), leaves(self.x), free, create_graph=True, materialize_grads=True
        )  # fmt: skip
        found: list[Tensor] = []
        for tangent in tangents:
            moved = torch.autograd.grad(
                pulled, free, leaves(direction(self.x, tangent)), retain_graph=True, materialize_grads=True
            )  # fmt: skip
            found.append(tangent_along(self.state, moved if isinstance(self.x, tuple) else moved[0]).detach())
        return found


def denoised(model: Scored, x: State, t: float) -> Denoised:
    """D with its Jacobian at network-unit states, (B, *event)."""
    with torch.enable_grad():
        x = smap(lambda leaf: leaf.detach().requires_grad_(), x)
        y = model.estimate(x, t)
        end = model.endpoint(x, y, t)
    return Denoised(x, y, end)


def is_differentiable(model: Scored, x: State) -> bool:
    """Whether V may take the denoised state; checked once, on the first batch.

    Args:
        model: the model that is guided, with its network in evaluation mode.
        x: some samples of the model, network units.

    Raises:
        LeastworkError: D does not depend on x, or D of a sample depends on the other samples of its batch.

    Warns:
        LeastworkWarning: there is no gradient, so that V has to take the noisy state.
    """
    schedule = model.schedule
    t = schedule.t_min + 0.3 * (schedule.t_max - schedule.t_min)
    some = take(x, slice(_SAMPLES))
    try:
        whole = denoised(model, some, t)
        if not _has_graph(model, whole.x, t):
            return _warn_not_differentiable(
                "its output has no graph (it runs under no_grad, or is detached or computed outside torch)"
            )
        shape = slope_along(whole.x, smap(torch.zeros_like, whole.end))
        (moved,) = whole.pushes([torch.randn(shape.shape, generator=generator(0, "differentiable")).to(shape)])
    except (RuntimeError, NotImplementedError, NetworkError) as error:
        return _warn_not_differentiable(f"differentiating it twice fails ({str(error).splitlines()[0][:120]})")
    if not bool(all_finite(moved).all()):
        return _warn_not_differentiable("its derivatives are not finite")
    if float(moved.abs().max()) == 0:
        raise LeastworkError(
            f"the network's denoised state does not depend on x (checked at t = {t:.3g}): check predicts=, and that "
            "the network uses its input"
        )
    alone = denoised(model, take(some, slice(_SAMPLES // 2)), t).state
    for one, all_of_them in zip(leaves(alone), leaves(whole.state), strict=True):
        if float((one - all_of_them[: len(one)]).abs().max()) > _TOLERANCE * float(all_of_them.abs().max()):
            raise LeastworkError(
                "the network's output for one sample depends on the others of its batch (batch normalisation without "
                "running statistics?): make it treat samples one by one"
            )
    return True


def check_gradient(model: Scored, x: State) -> None:
    """Raise an error if a network has no gradient, before guidance through it is fitted.

    Args:
        model: the model that is guided, with its network in evaluation mode.
        x: some samples of the model, data units.

    Raises:
        LeastworkError: the network's output has no graph from x.
    """
    schedule = model.schedule
    some = take(model.to_network_units(x), slice(_SAMPLES))
    if not _has_graph(model, some, schedule.t_min + 0.3 * (schedule.t_max - schedule.t_min)):
        raise LeastworkError(
            "the network's output has no gradient with respect to x: take .detach(), numpy and no_grad out of the "
            "network, or take method='least-work', which then learns V on the noisy state"
        )


def _has_graph(model: Scored, x: State, t: float) -> bool:
    """Whether the network's own output has a graph from x; D always has one, since it contains x itself."""
    with torch.enable_grad():
        x = smap(lambda leaf: leaf.detach().requires_grad_(), x)
        answer = model.predict(x, t)
    tracked = [leaf for leaf in leaves(answer) if leaf.requires_grad]
    return bool(tracked) and _reaches(tracked, leaves(x))


def _reaches(ends: list[Tensor], starts: tuple[Tensor, ...]) -> bool:
    """Whether there is a graph from any of the ``starts`` to the ``ends``."""
    found = torch.autograd.grad([end.sum() for end in ends], starts, allow_unused=True, retain_graph=True)
    return any(part is not None for part in found)


def _warn_not_differentiable(why: str) -> bool:
    warnings.warn(
        f"the model's network cannot be differentiated, {why}: V is learned on the noisy state instead of the denoised "
        "one, which wastes more work; take no_grad, detach and numpy out of the network to avoid it",
        LeastworkWarning,
        stacklevel=4,
    )
    return False
