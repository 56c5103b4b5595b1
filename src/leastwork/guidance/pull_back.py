"""Jᵀv with J = ∂D/∂x: carries a direction v from the denoised estimate to the noisy state by one backward pass."""

import torch

from leastwork.errors import LeastworkError
from leastwork.geometry.state import State, leaves

__all__ = ["pull_back"]


def pull_back(end: State, x: State, direction: State) -> State:
    """Jᵀv, (B, *event).

    Args:
        end: D(x, t), or a smooth function of it, (B, *event), with its graph from x.
        x: the noisy state.
        direction: the direction v at ``end``.

    Raises:
        LeastworkError: there is no graph from x to ``end``.
    """
    if not any(leaf.requires_grad for leaf in leaves(end)):
        raise LeastworkError(
            "the network's output has no gradient with respect to x: take .detach(), numpy and no_grad out of the "
            "network, or guide by transported kernels, which need none"
        )
    pulled = torch.autograd.grad(
        leaves(end),
        leaves(x),
        leaves(direction),
        retain_graph=True,  # other terms of a sum may use the same graph
        materialize_grads=True,
    )
    return pulled if isinstance(x, tuple) else pulled[0]
