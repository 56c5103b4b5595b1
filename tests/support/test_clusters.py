"""Dask as an executor; with real processes in tests/reliability."""

import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import leastwork as lw
from leastwork.support import clusters, executors, extras
from leastwork.support.clusters import cluster, job_script, wanted
from leastwork.support.executors import on_workers
from leastwork.support.sent import Sent


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """A scheduler with two workers in threads of this process."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=None, silence_logs=50
    ) as started:
        yield started.scheduler_address


@pytest.mark.filterwarnings("ignore")  # Dask's own
def test_a_scheduler_that_is_there_draws_the_same_samples(scheduler: str) -> None:
    said: list[str] = []
    model = lw.load_model("prinz")
    with cluster(wanted(scheduler), said.append) as executor:
        found = lw.sample(model, 70, steps=5, batch_size=8, seed=3, executor=executor)
        with pytest.raises(lw.LeastworkError, match="not finite at step 1 of 5"):
            lw.sample(lw.DiffusionModel(diverging, lw.VPSchedule(), "score", (1,)), 8, steps=5, executor=executor)
    assert torch.equal(found.x, lw.sample(model, 70, steps=5, batch_size=8, seed=3).x)
    assert said[0].startswith(f"Dask at {scheduler} with 2 workers; dashboard: ")


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        (None, r"a worker on '.*' has no leastwork"),
        ({"__init__.py": ""}, r"a worker on '.*' has another leastwork in .*/leastwork/__init__\.py"),
        (
            {"__init__.py": "", "support/same_code.py": "def source_here():\n    return 'another'\n"},
            r"a worker on '.*' has another leastwork in .*",
        ),
    ],
)
def test_a_worker_with_another_leastwork_refuses_a_piece_that_it_could_not_unpack(
    theirs: dict[str, str] | None, said: str, tmp_path: Path
) -> None:
    """A worker dies of a class that it does not know, and Dask would wait for the next."""
    cloudpickle = pytest.importorskip("cloudpickle")
    (tmp_path / "cloudpickle").symlink_to(Path(cloudpickle.__file__).parent)
    for name, text in (theirs or {}).items():
        file = tmp_path / "leastwork" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    begin = "import pickle, sys; fn, args = pickle.load(sys.stdin.buffer); fn(*args)"
    answer = subprocess.run(
        [sys.executable, "-S", "-c", begin],
        input=cloudpickle.dumps((clusters._of_no_module(), ("this", b"what cannot be unpacked"))),
        env={"PYTHONPATH": str(tmp_path)}, cwd=tmp_path, capture_output=True,
    )  # fmt: skip
    assert re.search(f"ImportError: {said}$", answer.stderr.decode().strip())


def named(_: None, i: int) -> str:
    from distributed import get_worker

    return get_worker().address


@pytest.mark.filterwarnings("ignore")
def test_the_first_pieces_go_to_all_workers(scheduler: str) -> None:
    with cluster(wanted(scheduler)) as executor:
        for _ in range(3):
            assert len({address for _, address in on_workers(executor, named, None, [(0, 0), (1, 1)])}) == 2


def diverging(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return x / 0


@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(clusters, "_SECONDS_TO_CONNECT", 0.2)
    with (
        pytest.raises(lw.ConfigError, match=r"no scheduler answers at tcp://127\.0\.0\.1:1 .*: start one by dask sch"),
        cluster(wanted("tcp://127.0.0.1:1")),
    ):
        pass


@pytest.mark.filterwarnings("ignore")  # Dask's own
def test_workers_that_others_started_with_another_python(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "python_version", lambda: "3.99.1")
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(distributed.Client, "run", lambda *_, **__: {"tcp://a:1": "3.99.7", "tcp://b:1": "3.9.1"})
    with (
        pytest.raises(lw.ConfigError, match=r"worker at tcp://b:1 has Python 3\.9\.1, and this is 3\.99\.1: start w"),
        cluster(wanted(scheduler)),
    ):
        pytest.fail("the cluster was taken")


@pytest.mark.parametrize("where", ["tcp://host", "http://host:1", "tcp://host:abc", "tcp:/host:1", "host:8786"])
def test_an_address_that_is_none(where: str) -> None:
    with pytest.raises(lw.ConfigError, match=r"no address of a scheduler such as tcp://HOST:PORT"):
        wanted(where)
    assert wanted("tcp://[::1]:8786").is_address


def test_an_address_with_encryption_takes_certificates() -> None:
    pytest.importorskip("distributed")
    with pytest.raises(lw.ConfigError, match=r"takes certificates: name them in Dask's"), cluster(wanted("tls://a:1")):
        pass


def test_dask_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(name: str) -> Any:
        raise ImportError(name=name)

    monkeypatch.setattr(extras, "import_module", without)
    with pytest.raises(lw.LeastworkError, match=r"pip install 'leastwork\[cluster\]'"), cluster(wanted("local")):
        pass


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "has no kind: write one of local, slurm"),
        ("{kind: slurn}", "kind 'slurn': did you mean 'slurm'?"),
        ("{kind: slurm, worker: 3}", "'worker' is no key of a cluster: did you mean 'workers'?"),
        ("{kind: slurm, workers: 0}", "workers is 0: give a whole number from 1 on"),
        ("{kind: slurm, options: [1]}", "options are .*: give keywords of dask_jobqueue's SLURMCluster"),
    ],
)
def test_a_file_of_a_cluster_that_cannot_be_used(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "queue.yaml"
    file.write_text(text)
    with pytest.raises(lw.ConfigError, match=message):
        wanted(str(file))


def test_names_of_clusters(tmp_path: Path) -> None:
    with pytest.raises(lw.ConfigError, match=r"is no YAML file, .*did you mean 'slurm'"):
        wanted("slrum")
    with pytest.raises(lw.ConfigError, match="there is no such file of a cluster"):
        wanted(str(tmp_path / "queue.yaml"))
    with pytest.raises(lw.ConfigError, match="has no queue and so no job script"):
        job_script(wanted("local"))
    (tmp_path / "queue.yaml").write_text("{kind: pbs, workers: 8}")
    assert (wanted(str(tmp_path / "queue.yaml")).most, wanted(str(tmp_path / "queue.yaml"), 3).most) == (8, 3)


@pytest.mark.filterwarnings("ignore")
def test_the_script_of_a_job(tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue")
    file = tmp_path / "queue.yaml"
    file.write_text(
        "{kind: slurm, options: {queue: gpu, cores: 1, memory: 16GB, walltime: '04:00:00', "
        "job_extra_directives: ['--gres=gpu:1'], scheduler_options: {dashboard_address: null}}}"
    )
    script = job_script(wanted(str(file)))
    for line in ("#SBATCH -p gpu", "#SBATCH --mem=15G", "#SBATCH -t 04:00:00", "#SBATCH --gres=gpu:1"):
        assert line in script.splitlines()
    assert "distributed.cli.dask_worker" in script
    file.write_text("{kind: slurm, options: {memory: 16GB, scheduler_options: {dashboard_address: null}}}")
    with pytest.raises(lw.ConfigError, match=r"dask_jobqueue says .*cores.*: put such options into a FILE\.yaml"):
        job_script(wanted(str(file)))


class Elsewhere:
    """An executor whose only worker answers with what it is given."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def submit(self, fn: Any, /, *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(self.error)
        return future


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModuleNotFoundError("No module named 'leastwork'"), "another version of leastwork, or none .*: install"),
        (ImportError("a worker on 'x' has another leastwork in y"), "^a worker on 'x' has another .* in y: install"),
        (AttributeError("module 'leastwork.support' has no attribute 'x'"), "another version of leastwork"),
        (type("Closed", (Exception,), {"__module__": "distributed.scheduler"})("died"), "worker .* ended"),
    ],
)
def test_workers_that_do_not_fit(error: Exception, message: str) -> None:
    with pytest.raises(lw.LeastworkError, match=message):
        list(on_workers(Elsewhere(error), pow, 2, [(0, 1)]))  # pyright: ignore[reportArgumentType]


class KilledWorker(Exception):
    """As Dask's, which tells that a piece was given up."""

    allowed_failures = 9
    last_worker = SimpleNamespace(address="tcp://node:1")


KilledWorker.__module__ = "distributed.scheduler"


class Preempting(ThreadPoolExecutor):
    """Gives up some pieces, so many times each; knows how many were at work when a piece came back."""

    def __init__(self, times: dict[int, int]) -> None:
        super().__init__(1)
        self.times, self.tried = dict(times), list[list[int]]()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        numbers = list(args[2].value)
        self.tried.append(numbers)
        lost = [i for i in numbers if self.times.get(i, 0)]
        for i in lost:
            self.times[i] -= 1
        if not lost:
            return super().submit(fn, *args, **kwargs)
        future: Future[Any] = Future()
        future.set_exception(KilledWorker())
        return future


@pytest.mark.parametrize("times", [{3: 1}, {3: 2, 5: 2, 8: 1}, dict.fromkeys(range(20), 1), {19: 1, 0: 1}])
def test_pieces_that_preemption_took_are_tried_again(times: dict[int, int]) -> None:
    with Preempting(times) as pool:
        found = dict(on_workers(pool, pow, 2, ((i, i) for i in range(20))))
    assert found == {i: 2**i for i in range(20)}


def test_a_piece_that_kills_its_workers_is_named_when_all_others_are_there() -> None:
    found: list[int] = []
    message = r"piece 3 ended every worker that tried, .* \(10 workers died, the last at tcp://node:1\): give workers"
    with Preempting({3: 99, 4: 1}) as pool, pytest.raises(lw.LeastworkError, match=message):
        found.extend(i for i, _ in on_workers(pool, pow, 2, ((i, i) for i in range(600))))
    assert sorted(found) == [i for i in range(600) if i != 3]
    assert pool.tried[-1] == [3]


class Forgetful(ThreadPoolExecutor):
    """Never carries out the pieces that it is given first, as Dask where all workers had ended for a while."""

    def __init__(self) -> None:
        super().__init__(1)
        self.shared = 0

    def share(self, value: bytes) -> object:
        self.shared += 1
        return value

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        return Future() if self.shared == 1 else super().submit(fn, *args, **kwargs)

    def most_pending(self) -> int:
        return 3

    def why_idle(self) -> str:
        return ""

    def why_lost(self) -> str:
        return ""

    def is_stranded(self) -> bool:
        return self.shared == 1


def test_pieces_that_the_engine_forgets_are_submitted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "_SECONDS_TO_WONDER", 0.05)
    with Forgetful() as pool:
        assert dict(on_workers(pool, pow, 2, ((i, i) for i in range(20)))) == {i: 2**i for i in range(20)}


def test_a_worker_of_another_version() -> None:
    task = executors._Task(pow, "key", "leastwork 0.0.1 with torch 1.0", ("elsewhere", 1))
    with pytest.raises(
        lw.LeastworkError, match=r"has leastwork .* in .*, and this is leastwork 0\.0\.1 with torch 1\.0"
    ):
        executors._carry_out(task, Sent(2), Sent([3]))


def test_quick_pieces_travel_together() -> None:
    sent = 0

    class Counting(ThreadPoolExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            nonlocal sent
            sent += 1
            return super().submit(fn, *args, **kwargs)

    with Counting(2) as pool:
        found = dict(on_workers(pool, pow, 3, ((i, i % 7) for i in range(3000))))
    assert found == {i: 3 ** (i % 7) for i in range(3000)}
    assert sent < 1500
