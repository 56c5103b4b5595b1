"""Jᵀv with J = ∂D/∂x: a direction at the denoised estimate as one at the noisy state, by one pass back through D."""

import torch

from leastwork.errors import LeastworkError
from leastwork.geometry.state import State, leaves

__all__ = ["pull_back"]


def pull_back(end: State, x: State, direction: State) -> State:
    """Jᵀv, (B, *event).

    Args:
        end: D(x, t), or a smooth function of it, (B, *event), with the graph from x.
        x: the noisy state.
        direction: v, at ``end``.

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
        retain_graph=True,  # other terms of a sum may go through it too
        materialize_grads=True,
    )
    return pulled if isinstance(x, tuple) else pulled[0]
