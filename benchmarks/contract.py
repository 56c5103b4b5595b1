"""What looking at the network's output costs a run of 10,000 samples: `python -m benchmarks.contract`.

Every output is compared with x in shape, precision and device, the first step of all is looked at for coordinates that
are never denoised, and parameters for half precision. The smallest bundled models, whose network costs least, 100
steps, batches of 1024, one thread. Processor time of the same call with the contract and with nothing in its place, in
turn; and the number of calls of its functions times what each takes in a loop of its own, over the time of the whole,
which is known far better than the difference of two runs. So are the first step's own looks: the network's answer for
one state in other company, which is one more evaluation of the first batch, and its slope against the noise.

Takes about three minutes on one core.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch

import leastwork as lw
from benchmarks.command import options
from benchmarks.timing import cost, in_turn, ratio
from leastwork.models import diffusion
from leastwork.sampling import choices, stepping

SAMPLES, REPEATS = 10_000, 7
PARTS = ((diffusion, "answered"), (stepping, "said"), (choices, "refuse_half"))


@contextmanager
def replaced(change: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """The functions of the contract, each changed."""
    originals = [getattr(place, name) for place, name in PARTS]
    for (place, name), function in zip(PARTS, originals, strict=True):
        setattr(place, name, change(function))
    try:
        yield
    finally:
        for (place, name), function in zip(PARTS, originals, strict=True):
            setattr(place, name, function)


def nothing(function: Callable[..., Any]) -> Callable[..., Any]:
    """What is left where the contract is not: the network's own output, and no words."""
    return (lambda x, y, *_: y) if function is diffusion.answered else lambda *_: ""


def share(call: Callable[[], object]) -> float:
    """Number of calls of each function of the contract times its cost alone, over the least cost of the whole call."""
    heard: dict[Callable[..., Any], list[tuple[Any, ...]]] = {}
    first: list[tuple[Any, ...]] = []

    def kept(*arguments: Any) -> Any:
        first.append(arguments)
        return stepping.evaluate(*arguments)

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            given = tuple(list(one) if isinstance(one, Iterator) else one for one in arguments)
            heard.setdefault(function, []).append(given)
            return function(*given)

        return run

    with replaced(counted), patch.object(stepping, "_first", kept):
        call()
    inside = sum(len(given) * alone(function, given[-1]) for function, given in heard.items())
    looks = sum(alone(stepping._first, given, 20) - alone(stepping.evaluate, given, 20) for given in first)
    return (inside + looks) / min(cost(call).cpu for _ in range(3))


def alone(function: Callable[..., Any], given: tuple[Any, ...], times: int = 500) -> float:
    """Seconds of one call, by many in a loop: the least of five loops."""

    def loop() -> None:
        for _ in range(times):
            function(*given)

    return min(cost(loop).cpu for _ in range(5)) / times


def main() -> None:
    options(__doc__).parse_args()
    torch.set_num_threads(1)
    print(f"{'model':<14} {'with s':>7} {'with / without':>16} {'its calls':>12}")
    for name in ("prinz", "muller-brown"):
        model = lw.load_model(name)

        def call(model: Any = model) -> object:
            return lw.sample(model, SAMPLES, seed=1)

        def without(call: Callable[[], object] = call) -> float:
            with replaced(nothing), patch.object(stepping, "_first", stepping.evaluate):
                return cost(call).cpu

        call()
        bare, looked = in_turn([without, lambda call=call: cost(call).cpu], REPEATS)
        print(f"{name:<14} {min(looked):>7.3f} {ratio(bare, looked)!s:>16} {share(call):>12.4%}", flush=True)


if __name__ == "__main__":
    main()
