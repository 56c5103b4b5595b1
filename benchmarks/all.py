"""Every benchmark in turn, each in a process of its own: `python benchmarks/all.py` (`make bench`).

Prints the table of each and, at the end, how long each took; what a table means is said in its own file.
"""

import subprocess
import sys
import time
from pathlib import Path

BENCHMARKS = (
    "maxent",
    "gaussian_ladder",
    "solvers",
    "multistep",
    "sampling_speed",
    "scheduled_fit",
    "least_work",
    "learning",
    "scaling",
    "latents",
    "cnf",
    "comparison",
    "alignment",
    "frame_alignment",
    "adapters",
    "churn",
    "path_guidance",
    "free_energy_cost",
    "moons_panels",
    "path_sensitivity",
    "chignolin_model",
    "chignolin_stability",
    "chignolin_transition",
    "ala5_model",
    "ala5_couplings",
)


def main() -> int:
    """0 if all of them ran."""
    ran = []
    for name in BENCHMARKS:
        print(f"== {name} ==", flush=True)
        begin = time.perf_counter()
        code = subprocess.run([sys.executable, Path(__file__).with_name(f"{name}.py")], check=False).returncode
        ran.append((name, time.perf_counter() - begin, code))
        print(flush=True)
    print(f"{'benchmark':<18}{'s':>7}  exit")
    for name, seconds, code in ran:
        print(f"{name:<18}{seconds:>7.0f}  {code}")
    return int(any(code for _, _, code in ran))


if __name__ == "__main__":
    sys.exit(main())
