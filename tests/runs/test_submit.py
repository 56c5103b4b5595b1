"""Job arrays: the file for sbatch, what is asked of the queue, and tasks that end as one process does."""

import os
import pickle
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import leastwork as lw
from leastwork.cli import app
from leastwork.runs.submit import Queue, ShardTask, minutes_of, queue_settings, sbatch_file, submit
from leastwork.runs.top_up import draw_shard, more_samples
from leastwork.sampling.shares import Share

pytest.importorskip("submitit")

GOLDEN = """\
#!/bin/bash

# Parameters
#SBATCH --account=me
#SBATCH --array=0-3%4
#SBATCH --constraint=a100
#SBATCH --cpus-per-task=2
#SBATCH --error=PLACE/small/slurm/%A_%a/%A_%a_0_log.err
#SBATCH --gpus-per-task=1
#SBATCH --job-name=leastwork-small
#SBATCH --mem=16GB
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output=PLACE/small/slurm/%A_%a/%A_%a_0_log.out
#SBATCH --partition=gpu
#SBATCH --requeue
#SBATCH --signal=USR2@90
#SBATCH --time=240
#SBATCH --wckey=submitit

# setup
module load cuda
export OMP_NUM_THREADS=2

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output PLACE/small/slurm/%A_%a/%A_%a_%t_log.out \
--error PLACE/small/slurm/%A_%a/%A_%a_%t_log.err PYTHON -u -m submitit.core._submit PLACE/small/slurm/%j
"""


def plainly(text: str, begun: Path) -> str:
    return text.replace(str(begun.parent), "PLACE").replace(sys.executable, "PYTHON")


def test_the_file_for_sbatch(begun: Path, tmp_path: Path) -> None:
    """Options go before defaults; nothing is written."""
    (tmp_path / "gpu.yaml").write_text(
        "partition: cpu\naccount: me\nconstraint: a100\ncpus_per_task: 2\nmemory: 16GB\nsetup: [module load cuda]\n"
    )
    asked = ["--tasks", 4, "--gpus-per-task", 1, "--time", "4:00:00", "--partition", "gpu"]
    command = ["submit", begun, "--n", 400, *asked, "--defaults", tmp_path / "gpu.yaml", "--dry-run"]
    before = sorted(begun.rglob("*"))
    result = CliRunner().invoke(app, list(map(str, command)))
    assert (result.exit_code, result.stderr) == (0, "")
    assert plainly(result.stdout, begun) == GOLDEN
    assert sorted(begun.rglob("*")) == before


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_file_is_the_one_that_submitit_submits(
    begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a sbatch that only keeps it."""
    for name in ("srun", "sbatch"):
        (tmp_path / name).write_text(
            f'#!/bin/sh\n[ -n "$1" ] && cp "$1" {tmp_path}/kept\necho Submitted batch job 77\n'
        )
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    there = Path(shutil.copytree(begun, tmp_path / "a run"))
    for queue in (Queue(tasks=50, partition="gpu", memory="4GB", setup=("module load cuda",)), Queue(qos="high")):
        submit(there, 400, queue)
        assert (tmp_path / "kept").read_text() == sbatch_file(there, 400, queue)


def test_there_are_no_more_tasks_than_blocks(begun: Path) -> None:
    said: list[str] = []
    assert "#SBATCH --array=0-24%25\n" in sbatch_file(begun, 400, Queue(tasks=50), said.append)
    assert said == ["400 samples are 25 blocks of 16, so there are 25 tasks"]
    assert "--array" not in sbatch_file(begun, 400, Queue())


def test_what_cannot_be_asked(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(lw.ConfigError, match=r"srun was not found.*--n 400 --shard 1/4 and so on"):
        submit(begun, 400, Queue(tasks=4))
    with pytest.raises(lw.ConfigError, match="holds 40 samples already, and n=40 asks for no more"):
        sbatch_file(begun, 40, Queue())
    with pytest.raises(lw.ConfigError, match="there is no such folder"):
        sbatch_file(tmp_path / "nothing", 40, Queue())
    for options, words in (
        ({"time": "4:00"}, "submit: 'time' is '4:00': give a time in quotes"),
        ({"tasks": 0}, "submit: 'tasks' is 0: give the number of tasks"),
        ({"memory": "much"}, "'memory' is 'much': give memory of a task, such as 16GB"),
    ):
        with pytest.raises(lw.ConfigError, match=words):
            queue_settings(None, options)
    (tmp_path / "a.yaml").write_text("time: 4:00:00\ntask: 3\n")
    with pytest.raises(lw.ConfigError, match=r"'time' is 14400: give a time in quotes(.|\n)*unknown key 'task'"):
        queue_settings(tmp_path / "a.yaml", {})


def test_times_are_those_of_slurm() -> None:
    assert [minutes_of(one) for one in ("0:00:01", "24:00:00", "1-00:00:00", "3-12", "15")] == [1, 1440, 1440, 5040, 15]


def test_a_task_is_put_into_the_queue_again_as_it_was(begun: Path) -> None:
    task = ShardTask(begun, 400, Share(2, 4))
    assert pickle.loads(pickle.dumps(task)) == task
    assert task.checkpoint().function == task


def results(jobs: Any, seconds: float = 240.0) -> list[str]:
    until = time.monotonic() + seconds
    while not all(job.done() for job in jobs) and time.monotonic() < until:
        time.sleep(0.2)
    return [job.result() for job in jobs]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_tasks_on_this_machine_leave_the_store_of_one_process(begun: Path, tmp_path: Path) -> None:
    """One of them is preempted in between, by the signal that the queue sends."""
    wanted, found = (Path(shutil.copytree(begun, tmp_path / name)) for name in ("wanted", "found"))
    more_samples(wanted, 6_000)
    jobs = submit(found, 6_000, Queue(tasks=3, time="30"), here=True)
    marks = found / "ensemble.zarr.partial" / "finished"
    until = time.monotonic() + 120  # for the first block that the second task draws
    while not (marks / "64.npy").exists() and time.monotonic() < until:
        time.sleep(0.05)
    for task in Path(f"/proc/{jobs[1].job_id}/task/{jobs[1].job_id}/children").read_text().split():
        os.kill(int(task), signal.SIGUSR2)
    said = results(jobs)
    assert "Requeued job" in jobs[1].stdout() + jobs[1].stderr()
    assert any(one.endswith("report.html") for one in said)
    there, here = (lw.open_ensemble(folder / "ensemble.zarr") for folder in (wanted, found))
    assert len(here) == 6_000
    assert here.x.equal(there.x)
    assert here.log_weight.equal(there.log_weight)
    assert not marks.exists()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_task_that_is_refused_here_is_told_with_its_log(
    begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store was begun by a worker of another version."""
    there = Path(shutil.copytree(begun, tmp_path / "there"))
    with monkeypatch.context() as patched:
        patched.setattr("leastwork.runs.worker.versions", lambda: {"leastwork": "0.0.9", "torch": "1"})
        draw_shard(there, 96, Share(1, 2))
    ended = CliRunner().invoke(app, ["submit", str(there), "--n", "96", "--tasks", "1", "--here"])
    assert ended.exit_code == 2
    number = ended.stdout.strip()
    (log,) = (there / "slurm").glob(f"here-*/{number}_0_log.err")
    assert f"error: 1 of 1 task failed (log: {log}): " in ended.stderr
    assert "another version of leastwork ('0.0.9', here " in ended.stderr
    assert "submit again" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    shutil.rmtree(there / "ensemble.zarr.partial")  # the remedy
    ended = CliRunner().invoke(app, ["submit", str(there), "--n", "96", "--tasks", "1", "--here"])
    assert ended.exit_code == 0, ended.stderr
    assert ended.stdout.endswith("report.html\n")
