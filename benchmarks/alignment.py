"""One call of the aligned kernel's score, against a decomposition of every pair: `python benchmarks/alignment.py`.

N = 256 samples, M = 1,000 guides, one thread. Three ways to ln k and its score, in turn in one process, the least of
many repeats each: the closed form (`AlignedKernel`), one singular value decomposition a pair with all the turned guides
held (N × M × A × 3 numbers, float32), and the two matrix products alone that any way needs (covariances, and the
weighted sum of turned guides), which is the floor. On cores shared with others the wall clock also counts waiting; the
seconds of processor time beside it do not. Memory: growth of the peak (resource.getrusage) in a fresh process each,
over a call with four samples and four guides. Far: samples as far from the guides as noise is, where half of the pairs
are nearer to a mirror image; near: all are variants of one structure.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

N, M = 256, 1000
REPEATS = {"closed form": 40, "decomposition": 5, "products": 40}


def problem(atoms: int, near: bool, n: int = N, m: int = M) -> tuple[Any, Any]:
    """Samples (n, A, 3) and guides (m, A, 3), float32."""
    import torch

    random = torch.Generator().manual_seed(0)
    x, y = (torch.randn(k, atoms, 3, generator=random) for k in (n, m))
    if near:
        base = torch.randn(1, atoms, 3, generator=random)
        return base + 0.2 * x, base + 0.2 * y
    return x, y


def ways() -> dict[str, Callable[[Any, Any, float], Any]]:
    """Each takes samples, guides and bandwidth; the first two return ln k and the score."""
    import torch

    from leastwork.guidance.kernels import AlignedKernel

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
            some @ (some.T @ x)

    return {"closed form": closed_form, "decomposition": decomposition, "products": products}


def measure_time(atoms: int, near: bool) -> dict[str, list[float]]:
    """Least wall and processor time of each way, ms, and how far the first two differ, relative to the largest."""
    x, y = problem(atoms, near)
    bandwidth = 0.5 * math.sqrt(atoms)
    found: dict[str, list[float]] = {}
    results = {}
    for name, way in ways().items():
        results[name] = way(x, y, bandwidth)
        walls, processor = [], []
        for _ in range(REPEATS[name]):
            begin, used = time.perf_counter(), time.process_time()
            way(x, y, bandwidth)
            processor.append(time.process_time() - used)
            walls.append(time.perf_counter() - begin)
        found[name] = [1e3 * min(walls), 1e3 * min(processor)]
    pairs = zip(results["closed form"], results["decomposition"], strict=True)
    found["difference"] = [float((a - b).abs().max() / b.abs().max()) for a, b in pairs]
    return found


def measure_memory(atoms: int, name: str) -> float:
    """Growth of the peak, MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    way, (x, y) = ways()[name], problem(atoms, near=False)
    way(*problem(atoms, False, 4, 4), 1.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    way(x, y, 1.0)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / unit


def in_fresh_process(kind: str, *arguments: object) -> Any:
    """What one of the two functions above returns there; this process imports nothing large, since peaks inherit."""
    command = [sys.executable, __file__, "--measure", kind, json.dumps(arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args().measure
    if chosen:
        kind, arguments = chosen
        print(json.dumps({"time": measure_time, "memory": measure_memory}[kind](*json.loads(arguments))))
        return
    print(f"{'atoms':>5} {'pairs':>5}  {'way':<14} {'ms':>7} {'cpu ms':>7} {'growth MiB':>11} {'of the floor':>13}")
    for atoms in (10, 56):
        flop = 2 * 2 * 9 * N * M * atoms
        for near in (False, True):
            times = in_fresh_process("time", atoms, near)
            difference = times.pop("difference")
            for name, (wall, processor) in times.items():
                growth = f"{in_fresh_process('memory', atoms, name):.0f}" if not near else ""
                factor = processor / times["products"][1]
                where = "near" if near else "far"
                print(
                    f"{atoms:>5} {where:>5}  {name:<14} {wall:>7.1f} {processor:>7.1f} {growth:>11} {factor:>13.1f}",
                    flush=True,
                )
            print(f"      ln k and score agree to {difference[0]:.0e} and {difference[1]:.0e} of the largest")
        rate = flop / times["products"][1] / 1e6
        print(f"      the products are {flop / 1e9:.2f} GFLOP in float64, done at {rate:.1f} GFLOP/s")


if __name__ == "__main__":
    main()
