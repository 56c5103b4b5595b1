"""Samples drawn on the workers of an executor are those of one process."""

import pickle
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
import torch

import leastwork as lw
from leastwork.support import executors


class Distant(Executor):
    """Executes at once, on workers in turn that get all by pickle and each keep their own."""

    def __init__(self, workers: int, breaks_at: int = -1) -> None:
        self.kept: list[dict[str, Any]] = [{} for _ in range(workers)]
        self.calls, self.breaks_at, self.sent = 0, breaks_at, 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        worker, self.calls = self.calls % len(self.kept), self.calls + 1
        if self.calls == self.breaks_at:
            future.cancel()
            future.set_running_or_notify_cancel()
            return future
        here = executors._kept
        try:
            packed = pickle.dumps((fn, args))
            self.sent += len(packed)
            executors._kept = self.kept[worker]
            there, given = pickle.loads(packed)
            future.set_result(there(*given))
        except Exception as error:
            future.set_exception(error)
        finally:
            executors._kept = here
        return future


@pytest.fixture(scope="module")
def expected() -> lw.Ensemble:
    return lw.sample(lw.load_model("prinz"), 70, steps=5, batch_size=8, seed=3)


@pytest.mark.parametrize("workers", [1, 3, 7])
def test_any_number_of_workers_gives_the_same_samples(workers: int, expected: lw.Ensemble, tmp_path: Path) -> None:
    model = lw.load_model("prinz")
    there = Distant(workers)
    found = lw.sample(model, 70, steps=5, batch_size=8, seed=3, executor=there)
    assert torch.equal(found.x, expected.x)
    assert torch.equal(found.log_weight, expected.log_weight)
    stored = lw.sample(model, 70, steps=5, batch_size=8, seed=3, executor=Distant(workers), out=tmp_path / "a.zarr")
    assert torch.equal(stored.load().x, expected.x)
    assert there.sent < (workers + 4) * len(pickle.dumps(model))  # the model is not sent with every batch


def test_a_lost_worker_costs_its_batch(expected: lw.Ensemble, tmp_path: Path) -> None:
    model, out = lw.load_model("prinz"), tmp_path / "a.zarr"
    with pytest.raises(lw.LeastworkError, match=r"a worker of the executor ended .*: see to its memory"):
        lw.sample(model, 70, steps=5, batch_size=8, seed=3, executor=Distant(2, breaks_at=5), out=out)
    stored = lw.sample(model, 70, steps=5, batch_size=8, seed=3, executor=Distant(2), out=out, resume=True)
    assert torch.equal(stored.load().x, expected.x)


def test_what_cannot_be_sent_is_refused_and_threads_take_it() -> None:
    held = Lock()  # which neither pickle nor cloudpickle takes
    model = lw.DiffusionModel(lambda x, t: -x if held else x, lw.VPSchedule(), predicts="score", event_shape=(2,))
    with pytest.raises(lw.LeastworkError, match=r"cannot be sent to other processes .*or pass a ThreadPoolExecutor"):
        lw.sample(model, 70, steps=5, executor=Distant(2))
    with ThreadPoolExecutor(2) as pool:
        found = lw.sample(model, 70, steps=5, batch_size=8, executor=pool)
    assert torch.equal(found.x, lw.sample(model, 70, steps=5, batch_size=8).x)
    assert not executors._kept


def _on_no_device(error: Exception) -> None:
    raise error


class OfAGpu:
    """What only a worker with a GPU can unpickle."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return _on_no_device, (self.error,)


@pytest.mark.parametrize(
    "error", [RuntimeError("No CUDA GPUs are available"), AssertionError("Torch not compiled with CUDA enabled")]
)
def test_a_worker_without_a_gpu_is_named(error: Exception) -> None:
    with pytest.raises(
        lw.LeastworkError, match=r"a worker on '.*' cannot hold the model \(.* CUDA .*\): start workers"
    ):
        list(executors.on_workers(Distant(1), pow, OfAGpu(error), [(0, 1)]))


class Answering(Executor):
    """Does not do what it is asked."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(3)
        return future


class AtOnce(Executor):
    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)


def closed() -> Executor:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    return pool


def failing() -> None:
    raise RuntimeError("no licence")


@pytest.mark.parametrize(
    ("executor", "message"),
    [
        (lambda: 4, r"executor is of type int: pass a concurrent\.futures\.Executor"),
        (lambda: ThreadPoolExecutor, r"executor is the class ThreadPoolExecutor: pass"),
        (
            closed,
            r"the executor, of type ThreadPoolExecutor, takes no work \(cannot schedule .*shutdown\): pass one that is",
        ),
        (Answering, r"of type Answering, answered with 3 in place of what was asked"),
        (AtOnce, r"of type AtOnce, returned _Done.* and not a Future: pass"),
        (
            lambda: ThreadPoolExecutor(1, initializer=failing),
            r"a worker of the executor ended .*: see to its memory and",
        ),
    ],
)
def test_executors_that_cannot_be_used(executor: Callable[[], Any], message: str) -> None:
    with pytest.raises(lw.LeastworkError, match=message):
        lw.sample(lw.load_model("prinz"), 70, steps=2, batch_size=8, executor=executor())


def test_a_callback_needs_this_process() -> None:
    with pytest.raises(lw.LeastworkError, match="leave out callback or executor"):
        lw.sample(lw.load_model("prinz"), 8, executor=Distant(1), callback=print)


def test_a_sample_that_is_not_finite_is_named() -> None:
    def net(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.where(x > 2, torch.nan, -x)

    model = lw.DiffusionModel(net, lw.VPSchedule(), predicts="score", event_shape=(2,))
    with ThreadPoolExecutor(1) as pool, pytest.raises(lw.NonFiniteError, match="sample"):
        lw.sample(model, 200, steps=5, executor=pool)


@pytest.mark.slow
def test_processes_of_their_own(expected: lw.Ensemble) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        found = lw.sample(lw.load_model("prinz"), 70, steps=5, batch_size=8, seed=3, executor=pool)
    torch.testing.assert_close(found.x, expected.x, rtol=0, atol=1e-5)
