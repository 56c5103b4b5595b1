"""Small network for the two scores of rigid frames:

    (s_p, s_R) = W (p, R) + b + MLP((p, R), t)

The linear part W alone gives the score of a Gaussian. Positions and the entries of rotations are plain inputs, so the
network has no symmetry.
"""

from typing import Any

import torch
from torch import Tensor, nn

from leastwork.networks.perceptron import Perceptron

__all__ = ["FramePerceptron"]


class FramePerceptron(nn.Module):
    """A network of the scores of N frames, for :class:`leastwork.FrameModel`.

    Args:
        residues: number N of frames.
        width: number of units in each hidden layer.
        depth: number of hidden layers.
        time_features: number of frequencies in the time embedding.

    >>> net = FramePerceptron(3, width=8, depth=2)
    >>> shift, turn = net((torch.zeros(5, 3, 3), torch.eye(3).expand(5, 3, 3, 3)), torch.tensor(0.5))
    >>> shift.shape, turn.shape
    (torch.Size([5, 3, 3]), torch.Size([5, 3, 3]))
    """

    def __init__(self, residues: int, width: int = 128, depth: int = 3, time_features: int = 16) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "residues": residues,
            "width": width,
            "depth": depth,
            "time_features": time_features,
        }
        self.perceptron = Perceptron(12 * residues, width, depth, time_features)
        self.perceptron.last = nn.Linear(width, 6 * residues)
        self.straight = nn.Linear(12 * residues, 6 * residues)

    def forward(self, x: tuple[Tensor, Tensor], t: Tensor) -> tuple[Tensor, Tensor]:
        """The scores of positions, in the world's frame, and of rotations, in the residue's own, (B, N, 3) each.

        x: positions (B, N, 3) and rotations (B, N, 3, 3); t: scalar, or (B,) for a time per sample as in training.
        """
        flat = torch.cat([part.flatten(1) for part in x], dim=1)
        shift, turn = (self.straight(flat) + self.perceptron(flat, t)).chunk(2, dim=1)
        return shift.unflatten(1, (-1, 3)), turn.unflatten(1, (-1, 3))
