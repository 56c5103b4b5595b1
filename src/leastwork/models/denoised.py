"""The denoised state D(x, t) and its Jacobian J = ∂D/∂x, as two products: back, Jᵀv, and forward, Ju.

The product forward is that back, differentiated in v, in which it is linear: it asks of a network no more than that it
can be differentiated twice. Both are of tangents (:mod:`leastwork.geometry.tangents`), flat, (B, k).
"""

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.geometry.state import State, all_finite, leaves, smap, take
from leastwork.geometry.tangents import cotangent, direction, slope_along, tangent_along
from leastwork.models.base import Scored
from leastwork.support.random import generator

__all__ = ["PULL", "PUSH", "Denoised", "check_gradient", "denoised", "is_differentiable"]

PULL, PUSH = 1, 2
"""What a product back and one forward count, in evaluations of the network: as many passes through it."""

_TRIED = 8
_ALIKE = 1e-3  # of the size of D; float32 networks reach 10⁻⁵


@dataclass(frozen=True, eq=False)
class Denoised:
    """D at one batch of states, with the graph to it, which is freed with this object.

    Args:
        x: the noisy states, network units, (B, *event).
        y: what a step of the sampler takes, with its graph: D, or of frames D and the score of the rotations.
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
        """Jᵀv, (B, k): the slope at x of a function of D with slope v at D."""
        pulled = torch.autograd.grad(
            leaves(self.end), leaves(self.x), leaves(cotangent(self.state, slope)), retain_graph=True,
            materialize_grads=True,
        )  # fmt: skip
        return slope_along(self.x, pulled if isinstance(self.x, tuple) else pulled[0]).detach()

    def pushes(self, tangents: list[Tensor]) -> list[Tensor]:
        """Ju of several u, (B, k) each: how D moves when x moves along u."""
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
    """Whether V may see what the model sees; asked once, at the first batch.

    Args:
        model: what is guided, its network in evaluation mode.
        x: some of its samples, network units.

    Raises:
        LeastworkError: D does not depend on x, or one sample's D on the other samples of its batch.

    Warns:
        LeastworkWarning: there is no gradient, so that V has to see the noisy state itself.
    """
    schedule = model.schedule
    t = schedule.t_min + 0.3 * (schedule.t_max - schedule.t_min)
    some = take(x, slice(_TRIED))
    try:
        whole = denoised(model, some, t)
        if not _has_graph(model, whole.x, t):
            return _told("its output has no graph (it runs under no_grad, or is detached or computed outside torch)")
        shape = slope_along(whole.x, smap(torch.zeros_like, whole.end))
        (moved,) = whole.pushes([torch.randn(shape.shape, generator=generator(0, "differentiable")).to(shape)])
    except (RuntimeError, NotImplementedError) as error:
        return _told(f"differentiating it twice fails ({str(error).splitlines()[0][:120]})")
    if not bool(all_finite(moved).all()):
        return _told("its derivatives are not finite")
    if float(moved.abs().max()) == 0:
        raise LeastworkError(
            f"the network's denoised state does not depend on x (looked at t = {t:.3g}): check predicts=, and that "
            "the network uses its input"
        )
    alone = denoised(model, take(some, slice(_TRIED // 2)), t).state
    for one, all_of_them in zip(leaves(alone), leaves(whole.state), strict=True):
        if float((one - all_of_them[: len(one)]).abs().max()) > _ALIKE * float(all_of_them.abs().max()):
            raise LeastworkError(
                "the network's answer for one sample depends on the others of its batch (batch normalisation without "
                "running statistics?): make it treat samples one by one"
            )
    return True


def check_gradient(model: Scored, x: State) -> None:
    """Refuses guidance through a network that has no gradient; asked once, before anything is fitted.

    Args:
        model: what is guided, its network in evaluation mode.
        x: some of its samples, data units.

    Raises:
        LeastworkError: the network's output has no graph from x.
    """
    schedule = model.schedule
    some = take(model.to_network_units(x), slice(_TRIED))
    if not _has_graph(model, some, schedule.t_min + 0.3 * (schedule.t_max - schedule.t_min)):
        raise LeastworkError(
            "the network's output has no gradient with respect to x: take .detach(), numpy and no_grad out of the "
            "network, or take method='least-work', which then learns V on the noisy state"
        )


def _has_graph(model: Scored, x: State, t: float) -> bool:
    """Whether the network's own output has a graph to x; D contains x itself, so that its graph proves nothing."""
    with torch.enable_grad():
        x = smap(lambda leaf: leaf.detach().requires_grad_(), x)
        answer = model.predict(x, t)
    tracked = [leaf for leaf in leaves(answer) if leaf.requires_grad]
    return bool(tracked) and _reaches(tracked, leaves(x))


def _reaches(ends: list[Tensor], starts: tuple[Tensor, ...]) -> bool:
    """Whether there is a graph from any of the starts."""
    found = torch.autograd.grad([end.sum() for end in ends], starts, allow_unused=True, retain_graph=True)
    return any(part is not None for part in found)


def _told(why: str) -> bool:
    warnings.warn(
        f"the model's network cannot be differentiated, {why}: V is learned on the noisy state instead of the denoised "
        "one, which wastes more work; take no_grad, detach and numpy out of the network to avoid it",
        LeastworkWarning,
        stacklevel=4,
    )
    return False
