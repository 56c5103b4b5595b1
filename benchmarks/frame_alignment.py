"""One call of the frames' kernel and its score, against a decomposition of every pair.

`python -m benchmarks.frame_alignment`. N = 256 samples, M = 1,000 guides, float32, one thread: ln k and its tangent
score, positions and orientations after one common rigid motion. Two ways, in turn in one process: the closed form
(`FrameKernel`, checking and embedding the guides included), and one singular value decomposition a pair with all the
turned guides held. Times are the least of the repeats; on cores shared with others the wall clock also counts waiting,
the seconds of processor time beside it do not. Memory: growth of the peak (resource.getrusage) in a fresh process each,
over a call with four samples and four guides. Far: positions and orientations have nothing to do with the guides';
near: all are variants of one structure.

Takes about three minutes on one core.
"""

import math
from typing import Any

from benchmarks.command import options
from benchmarks.two_ways import Way, judge, measure_memory, measure_time

N, M = 256, 1000
LENGTH, WEIGHT = 0.5, 2.0
ROUNDS = 10


def problem(residues: int, near: bool, n: int = N, m: int = M) -> tuple[Any, Any]:
    """Samples and guides: positions (n, A, 3) and rotations (n, A, 3, 3), float32."""
    import torch

    random = torch.Generator().manual_seed(0)

    def turns(count: int, size: float) -> Any:
        w = size * torch.randn(count, residues, 3, generator=random)
        rows = torch.linalg.cross(w[..., None, :], torch.eye(3).expand(*w.shape, 3), dim=-1)
        return torch.linalg.matrix_exp(rows.mT)

    base, still = torch.randn(1, residues, 3, generator=random), turns(1, 4.0)
    size = 0.2 if near else 4.0

    def frames(count: int) -> Any:
        positions = torch.randn(count, residues, 3, generator=random)
        return (base + size * positions if near else positions), still @ turns(count, size)

    return frames(n), frames(m)


def ways() -> dict[str, Way]:
    """Each takes samples, guides and bandwidth, and returns ln k, forces and torques."""
    import torch

    from leastwork.kernels.frames import FrameKernel

    torch.set_num_threads(1)
    kernel = FrameKernel(LENGTH, WEIGHT)

    def closed_form(x: Any, y: Any, bandwidth: float) -> Any:
        log_k, (force, torque) = kernel.log_kernel_and_score(x, kernel.embed(y), bandwidth)
        return log_k, force, torque

    def decomposition(x: Any, y: Any, bandwidth: float) -> Any:
        (p, R), (q, S) = ((z[0] - z[0].mean(dim=1, keepdim=True), z[1]) for z in (x, y))
        C = torch.einsum("nai,maj->nmij", p, q) / LENGTH**2 + 0.5 * WEIGHT * torch.einsum("naik,majk->nmij", R, S)
        left, _, right = torch.linalg.svd(C)
        left[..., 2] *= torch.linalg.det(left @ right).sign()[..., None]
        Q = left @ right
        apart = p[:, None] - torch.einsum("nmij,maj->nmai", Q, q)
        twisted = R[:, None] - torch.einsum("nmij,majk->nmaik", Q, S)
        squared = apart.square().sum(dim=(2, 3)) / LENGTH**2 + 0.5 * WEIGHT * twisted.square().sum(dim=(2, 3, 4))
        exponent = -squared / (2 * bandwidth**2)
        weights = exponent.softmax(dim=1)
        force = -torch.einsum("nm,nmai->nai", weights, apart) / (LENGTH * bandwidth) ** 2
        seen = -0.5 * WEIGHT / bandwidth**2 * R.mT @ torch.einsum("nm,nmaik->naik", weights, twisted)
        torque = torch.stack([(seen - seen.mT)[..., i, j] for i, j in ((2, 1), (0, 2), (1, 0))], dim=-1)
        return exponent.logsumexp(dim=1) - math.log(len(q)), force, torque

    return {"closed form": closed_form, "decomposition": decomposition}


def time_of(residues: int, near: bool) -> dict[str, list[float]]:
    return measure_time(ways(), *problem(residues, near), 0.5 * math.sqrt(residues), ROUNDS)


def memory_of(residues: int, name: str) -> float:
    return measure_memory(ways()[name], problem(residues, False, 4, 4), problem(residues, False))


def main() -> None:
    options(__doc__).parse_args()
    print(f"{'residues':>8} {'pairs':>5}  {'way':<14} {'ms':>7} {'cpu ms':>7} {'growth MiB':>11} of closed form")
    for residues in (10, 56):
        for near in (False, True):
            judge(residues, near, time_of, memory_of, "closed form")


if __name__ == "__main__":
    main()
