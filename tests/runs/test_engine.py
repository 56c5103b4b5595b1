"""The workers that a command asks for: processes, GPUs of a machine, a cluster."""

import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import leastwork as lw
from leastwork.cli import app
from leastwork.runs import engine as engines
from leastwork.runs.carry_out import run
from leastwork.runs.engine import check_gpus, engine, on_gpus, see_gpus
from leastwork.runs.load import load_config
from leastwork.support import processes as pools
from leastwork.support.processes import processes

SMALL = ("fit.samples=300", "fit.fit_samples=64", "sampling.steps=4", "sampling.batch_size=16", "method=scheduled")


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        ("cuda:0,cuda:1", "torch can use 0 GPUs of this machine: leave it out for the CPU"),
        ("all", "this machine has no GPU that torch can use: leave it out for the CPU"),
        ("cuda:0,cuda:0", "give 'all', or each GPU once, such as cuda:0,cuda:1"),
        ("cpu", "give 'all', or each GPU once"),
    ],
)
def test_gpus_that_are_not_there(devices: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(lw.ConfigError, match=message), engine(None, devices, None):
        pass
    result = CliRunner().invoke(app, ["run", "prinz", "--devices", devices])
    assert (result.exit_code, result.stdout) == (2, "")
    assert message.split(":")[0] in result.stderr


def test_gpus_beside_other_workers_are_refused() -> None:
    with (
        pytest.raises(lw.ConfigError, match=r"one process for each .* leave out --workers"),
        engine(2, "all", None),
    ):
        pass


def test_each_process_sees_one_gpu_and_calls_it_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6,7,8")
    assert see_gpus("all") == 4
    with pytest.raises(lw.ConfigError, match="torch can use 4 GPUs of this machine: name those below cuda:4"):
        see_gpus("cuda:4")
    assert see_gpus("cuda:1,cuda:3") == 2
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "6,8"
    assert pools.gpu_names(range(2)) == ["6", "8"]
    config = load_config("prinz", [])
    assert on_gpus(config) == ["device=cuda:0"]
    check_gpus(config, None)
    with pytest.raises(lw.ConfigError, match=r"prinz was carried out on the CPU, .*: leave out --devices"):
        check_gpus(config, "all")


def seen_gpu(_: int) -> str:
    return os.environ.get("CUDA_VISIBLE_DEVICES", "")


@pytest.mark.slow
def test_processes_take_their_gpus() -> None:
    with processes(2, [0, 3]) as executor:
        assert executor is not None
        assert set(executor.map(seen_gpu, range(40))) <= {"0", "3"}


@pytest.mark.usefixtures("blank_pages")
def test_a_run_draws_and_fits_on_its_workers(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []

    @contextmanager
    def threads(count: int, gpus: Any = ()) -> Iterator[Executor | None]:
        used.append(count)
        with ThreadPoolExecutor(count) as pool:
            yield pool

    config = load_config("prinz", [*SMALL, "sampling.n=40"])
    monkeypatch.setattr("leastwork.runs.carry_out.processes", threads)
    run(config, tmp_path / "two", workers=2)
    assert used == [2]
    for name in ("ensemble.zarr/x/0.0", "ensemble.zarr/log_weight/2", "fit/model.zarr/x/0.0"):
        assert (begun / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_command_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def said(*words: str) -> str:
        result = CliRunner().invoke(app, list(words))
        assert result.exit_code == 2, result
        assert len(result.stderr.splitlines()) == 1
        return result.stderr

    assert "name it by --cluster slurm or FILE.yaml" in said("run", "prinz", "--job-script")
    assert "did you mean 'local'" in said("run", "prinz", "--cluster", "locl")
    assert "there is no such folder" in said("sample", "nowhere", "--workers", "2")
    assert "nowhere/log.jsonl: No such file" in said("run", "prinz", "--log-json", "nowhere/log.jsonl")
    assert engines.FIRST == "cuda:0"
