"""One call of the aligned kernel's score, against a decomposition of every pair: `python -m benchmarks.alignment`.

N = 256 samples, M = 1,000 guides, one thread. Three ways to ln k and its score, in turn in one process, the least of
ten rounds: the closed form (`AlignedKernel`), one singular value decomposition a pair with all the turned guides
held (N × M × A × 3 numbers, float32), and the two matrix products alone that any way needs (covariances, and the
weighted sum of turned guides), which is the floor. On cores shared with others the wall clock also counts waiting; the
seconds of processor time beside it do not. Memory: growth of the peak (resource.getrusage) in a fresh process each,
over a call with four samples and four guides. Far: samples as far from the guides as noise is, where half of the pairs
are nearer to a mirror image; near: all are variants of one structure.

Takes about two minutes on one core.
"""

import math
from typing import Any

from benchmarks.command import options
from benchmarks.two_ways import Way, judge, measure_memory, measure_time

N, M = 256, 1000
ROUNDS = 10


def problem(atoms: int, near: bool, n: int = N, m: int = M) -> tuple[Any, Any]:
    """Samples (n, A, 3) and guides (m, A, 3), float32."""
    import torch

    random = torch.Generator().manual_seed(0)
    x, y = (torch.randn(k, atoms, 3, generator=random) for k in (n, m))
    if near:
        base = torch.randn(1, atoms, 3, generator=random)
        return base + 0.2 * x, base + 0.2 * y
    return x, y


def ways() -> dict[str, Way]:
    """Each takes samples, guides and bandwidth; the first two return ln k and the score."""
    import torch

    from leastwork.kernels.aligned import AlignedKernel

    torch.set_num_threads(1)
    kernel = AlignedKernel()

    def closed_form(x: Any, y: Any, bandwidth: float) -> Any:
        return kernel.log_kernel_and_score(x, kernel.embed(y), bandwidth)

    def decomposition(x: Any, y: Any, bandwidth: float) -> Any:
        x, y = x - x.mean(dim=1, keepdim=True), y - y.mean(dim=1, keepdim=True)
        left, _, right = torch.linalg.svd(torch.einsum("nai,maj->nmij", x, y))
        left[..., 2] *= torch.linalg.det(left @ right).sign()[..., None]
        apart = x[:, None] - torch.einsum("nmij,maj->nmai", left @ right, y)
        exponent = -apart.square().sum(dim=(2, 3)) / (2 * bandwidth**2)
        weights = exponent.softmax(dim=1)
        return exponent.logsumexp(dim=1) - math.log(len(y)), -torch.einsum(
            "nm,nmai->nai", weights, apart
        ) / bandwidth**2

    def products(x: Any, y: Any, bandwidth: float) -> Any:
        x, y = (z.double().permute(1, 2, 0).reshape(z.shape[1], -1) for z in (x, y))
        for start in range(0, y.shape[1], 192):
            some = y[:, start : start + 192]
            torch.matmul(some, some.T @ x)

    return {"closed form": closed_form, "decomposition": decomposition, "products": products}


def time_of(atoms: int, near: bool) -> dict[str, list[float]]:
    return measure_time(ways(), *problem(atoms, near), 0.5 * math.sqrt(atoms), ROUNDS)


def memory_of(atoms: int, name: str) -> float:
    return measure_memory(ways()[name], problem(atoms, False, 4, 4), problem(atoms, False))


def main() -> None:
    options(__doc__).parse_args()
    print(f"{'atoms':>8} {'pairs':>5}  {'way':<14} {'ms':>7} {'cpu ms':>7} {'growth MiB':>11} of the products")
    for atoms in (10, 56):
        for near in (False, True):
            times = judge(atoms, near, time_of, memory_of, "products")
        flop = 2 * 2 * 9 * N * M * atoms
        rate = flop / times["products"][1] / 1e6
        print(f"{'':>16}the products are {flop / 1e9:.2f} GFLOP in float64, done at {rate:.1f} GFLOP/s")


if __name__ == "__main__":
    main()
