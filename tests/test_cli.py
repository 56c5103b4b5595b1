"""The command line: results on stdout, one sentence on stderr, and the promised exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import leastwork as lw
from leastwork.cli import app
from leastwork.networks.perceptron import Perceptron
from leastwork.support.progress import no_progress

SMALL = "method: scheduled\nfit: {samples: 300, fit_samples: 64}\nsampling: {n: 64, steps: 3}\n"


@pytest.fixture(autouse=True)
def _no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many lines of progress there are depends on the machine."""
    monkeypatch.setattr("leastwork.support.telling.lines", no_progress)
    monkeypatch.setattr("leastwork.runs.carry_out.opened", lambda folder, tasks, workers, tell, progress: progress)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    torch.manual_seed(0)
    model = lw.DiffusionModel(Perceptron(1, width=8, depth=1), lw.VPSchedule(), predicts="v", event_shape=(1,))
    lw.save_model(model, tmp_path / "net")
    text = "model: net\nobservables: [{kind: component, name: '[x]'}]\ndata: [{name: '[x]', value: 0.1, error: 0}]\n"
    (tmp_path / "mine.yaml").write_text(text + SMALL)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "mine.yaml"


@pytest.fixture
def path_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of Path Guidance on a line, whose model is nearly normal."""
    torch.manual_seed(0)
    model = lw.DiffusionModel(Perceptron(1, width=8, depth=1), lw.VPSchedule(), predicts="v", event_shape=(1,))
    lw.save_model(model, tmp_path / "net")
    (tmp_path / "guides.csv").write_text("x\n1.5\n1.6\n1.8\n1.9\n2.1\n")
    text = "model: net\nguides: {csv: guides.csv}\nregion: {kind: interval, lower: 1.4}\nmethod: loss\n"
    text += "fit: {samples: 400, budget: 150000}\nsampling: {n: 64, steps: 6}\n"
    (tmp_path / "path.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "path.yaml"


@pytest.fixture
def joint_file(file: Path, path_file: Path) -> Path:
    """A joint run of the two."""
    file.with_name("both.yaml").write_text("description: Both\nruns: {average: mine.yaml, rare: path.yaml}\n")
    return file.with_name("both.yaml")


def call(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_run_prints_a_summary_and_the_report_last(file: Path) -> None:
    code, out, err = call("run", str(file))
    assert code == 0
    assert err == ""
    lines = out.splitlines()
    assert lines[-1] == "runs/mine-seed0/report.html"
    assert lines[1].startswith("[x] ")
    assert any(line.startswith("efficiency") for line in lines)


def test_quiet_prints_the_path_only_and_set_overrides(file: Path) -> None:
    code, out, _ = call("run", str(file), "--quiet", "--out", "there", "--set", "seed=5", "--set", "method=reweight")
    assert (code, out) == (0, "there/report.html\n")
    assert json.loads(Path("there/metrics.json").read_text())["seed"] == 5


def test_report_makes_the_page_again(file: Path) -> None:
    call("run", str(file), "--quiet", "--set", "method=reweight")
    page = Path("runs/mine-seed0/report.html")
    before = page.read_bytes()
    page.unlink()
    assert call("report", "runs/mine-seed0") == (0, "runs/mine-seed0/report.html\n", "")
    assert page.read_bytes() == before


def test_compare_writes_a_table_a_figure_and_goes_on(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leastwork.runs.compare.run.COMPARED", ("reweight", "smc", "scheduled"))
    code, out, err = call("compare", str(file), "--out", "c")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "c/comparison.md"
    rows = json.loads(Path("c/comparison.json").read_text())["rows"]
    assert [row["method"] for row in rows] == ["reweight", "smc", "scheduled"]
    assert Path("c/comparison.md").read_text().count("\n") == 5
    assert Path("c/comparison.png").read_bytes()[:4] == b"\x89PNG"
    Path("c/comparison.json").write_text(json.dumps({"rows": rows[:2]}))
    assert call("compare", str(file), "--out", "c", "--resume", "--quiet") == (0, "c/comparison.md\n", "")
    again = json.loads(Path("c/comparison.json").read_text())["rows"]
    assert again[2]["work"] == rows[2]["work"]


def test_compare_keeps_a_method_that_refuses_the_steps_as_a_row(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leastwork.runs.compare.run.COMPARED", ("reweight", "trust-region", "smc"))
    some = ("compare", str(file), "--quiet", "--set", "fit.rounds=1")
    assert call(*some, "--out", "own")[0] == 0
    rows = json.loads(Path("own/comparison.json").read_text())["rows"]
    assert [row["reason"] for row in rows] == [""] * 3
    assert call(*some, "--out", "one", "--set", "sampling.solver=multistep")[0] == 0
    rows = json.loads(Path("one/comparison.json").read_text())["rows"]
    assert [bool(row["reason"]) for row in rows] == [False, True, False]
    assert "take solver='exponential'" in rows[1]["reason"]


def test_compare_says_why_no_method_meets_the_data(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leastwork.runs.compare.run.COMPARED", ("reweight", "smc"))
    code, out, err = call("compare", str(file), "--out", "c", "--set", "data.0.value=999")
    assert (code, out) == (2, "")
    assert err.startswith("error: no method meets the data: ")
    assert "gives its value 999" in err
    assert len(json.loads(Path("c/comparison.json").read_text())["rows"]) == 2


def test_a_path_run_prints_its_region_resumes_and_reports_again(path_file: Path) -> None:
    code, out, err = call("run", str(path_file), "--out", "p")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.strip().split("  ")[0] for line in lines[:-1]] == [
        "success",
        "free energy",
        "work",
        "bound",
        "dissipation",
        "of the steps",
        "efficiency",
        "ess",
    ]
    assert lines[-1] == "p/report.html"
    page = Path("p/report.html").read_bytes()
    Path("p/report.html").unlink()
    assert call("run", str(path_file), "--out", "p", "--quiet", "--resume") == (0, "p/report.html\n", "")
    assert call("report", "p") == (0, "p/report.html\n", "")
    assert Path("p/report.html").read_bytes() == page


def test_a_joint_run_prints_its_parts_goes_on_after_ctrl_c_and_reports_again(
    joint_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments, **choices):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("leastwork.runs.path.job.guide_path", interrupt)
        code, _, err = call("run", str(joint_file))
    assert (code, err) == (130, f"interrupted: go on with leastwork run {joint_file} --resume\n")
    made = Path("runs/both-seed0/average/report.html").stat().st_mtime_ns
    assert made > 0
    code, out, err = call("run", str(joint_file), "--resume")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert (lines[0], lines[-1]) == ("average", "runs/both-seed0/report.html")
    assert lines[lines.index("rare") + 1].startswith("success ")
    assert [line.split("  ")[0] for line in lines].count("work") == 2
    page = Path("runs/both-seed0/report.html")
    before = page.read_bytes()
    page.unlink()
    assert call("report", "runs/both-seed0") == (0, "runs/both-seed0/report.html\n", "")
    assert page.read_bytes() == before


@pytest.mark.usefixtures("blank_pages")
def test_settings_reach_the_parts_of_a_joint_run(joint_file: Path) -> None:
    settings = ["--set", "seed=5", "--set", "average.method=reweight", "--set", "rare.sampling.n=48"]
    assert call("run", str(joint_file), "--quiet", "--out", "o", *settings) == (0, "o/report.html\n", "")
    parts = json.loads(Path("o/metrics.json").read_text())["parts"]
    assert [part["seed"] for part in parts.values()] == [5, 5]
    assert parts["average"]["certificate"] is None
    assert parts["rare"]["certificate"]["samples"] == 48


def test_compare_is_for_single_runs(joint_file: Path) -> None:
    code, out, err = call("compare", str(joint_file))
    assert (code, out) == (2, "")
    assert err == "error: both is a joint run, and compare is for single runs with data: name one of its runs\n"
    assert not Path("runs").exists()


def test_compare_is_for_runs_with_data(path_file: Path) -> None:
    code, out, err = call("compare", str(path_file))
    assert (code, out) == (2, "")
    assert err == "error: path is guided to structures, and compare is for runs with data: use run\n"
    assert not Path("runs").exists()


def test_list_names_models_and_runs() -> None:
    code, out, _ = call("list")
    assert code == 0
    for name in ("chignolin", "moons", "muller-brown"):
        assert any(line.split()[:2] == ["run", name] for line in out.splitlines())
    assert any(line.split()[:2] == ["model", "prinz"] for line in out.splitlines())
    assert any(line.split()[:2] == ["run", "prinz"] for line in out.splitlines())


def test_version() -> None:
    assert call("--version")[1].startswith("leastwork ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "prins"], "error: no run 'prins': did you mean 'prinz'?"),
        (["run", "mine.yaml", "--set", "sampling.stepz=3"], "unknown key 'stepz' in 'sampling': did you mean 'steps'?"),
        (["run", "mine.yaml", "--set", "data.0.value=999"], "no weighting of them gives its value 999"),
        (["run", "mine.yaml", "--out", "mine.yaml/x"], "cannot be written (Not a directory)"),
        (["run", "net"], "error: net is a folder: give a run file, as RUN.yaml"),
        (["run", "-"], "error: - is no regular file: save the run file, and give its path"),
        (["report", "nowhere"], "error: nowhere holds no finished run"),
    ],
)
def test_what_the_user_can_mend_is_one_sentence(arguments: list[str], message: str, file: Path) -> None:
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1


def test_each_of_several_errors_has_a_line(file: Path) -> None:
    _, _, err = call("run", str(file), "--set", "a=1", "--set", "b=2")
    assert [line.split(": ")[0] for line in err.splitlines()] == ["error", "error"]


@pytest.mark.usefixtures("blank_pages")
def test_a_folder_in_use_is_not_overwritten(file: Path) -> None:
    assert call("run", str(file), "--quiet")[0] == 0
    code, _, err = call("run", str(file), "--quiet")
    assert code == 2
    assert "continue it with --resume" in err
    assert call("run", str(file), "--quiet", "--resume")[0] == 0


def test_ctrl_c_says_how_to_go_on(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments, **choices):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("leastwork.runs.drawing.draw_stored", interrupt)
        code, _, err = call("run", str(file))
    assert code == 130
    assert err == f"interrupted: go on with leastwork run {file} --resume\n"
    assert call("run", str(file), "--resume", "--quiet")[0] == 0


def test_warnings_of_the_library_reach_stderr(file: Path) -> None:
    untrained = lw.DiffusionModel(Perceptron(1, width=8, depth=1), lw.VPSchedule(), "noise", (1,))
    lw.save_model(untrained, file.with_name("untrained"))
    code, _, err = call(
        "run",
        str(file),
        "--quiet",
        "--set",
        "method=reweight",
        "--set",
        "model=untrained",
        "--set",
        "sampling.solver=euler",
    )
    assert code == 0
    assert err.startswith("warning: at t = 1, where samples begin as noise alone, ")


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", "0.4 +/- 0.2 x 10^-9"), ("utf-8", "0.4 ± 0.2 × 10⁻⁹")])
def test_letters_that_a_terminal_lacks_are_spelt_out(encoding: str, shown: str) -> None:
    code = "from leastwork.support.endings import make_writable as do; do(); print('−0.4 ± 0.2 × 10⁻⁹')"
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, check=True)
    assert done.stdout.decode(encoding).strip()[1:] == shown


def test_a_command_whose_stderr_is_closed_does_what_it_should() -> None:
    shell = f"exec 2>&-; exec {sys.executable} -m leastwork.cli list"
    done = subprocess.run(["sh", "-c", shell], stdout=subprocess.PIPE)
    assert done.returncode == 0
    assert b"prinz" in done.stdout


def test_the_folder_of_a_run_is_no_run_file(file: Path) -> None:
    assert call("run", "mine.yaml", "--out", "done")[0] == 0
    assert "done is the folder of a run: give done/config.yaml to make the run again" in call("run", "done")[2]
    assert call("run", "done/config.yaml", "--out", "again")[0] == 0


def test_a_reader_who_leaves_early_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "leastwork.cli", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.close()
        assert command.stderr.read() == b""
    assert command.returncode == 141


@pytest.mark.parametrize("where", ["model", "observable"])
def test_code_of_a_user_that_ends_the_process_is_a_failure(where: str, tmp_path: Path) -> None:
    """SystemExit(0) of a network would otherwise look like success."""
    net = "raise SystemExit(0)" if where == "model" else "return -x"
    (tmp_path / "net.py").write_text(
        f"import leastwork as lw\ndef net(x, t):\n    {net}\n"
        'model = lw.DiffusionModel(net, lw.VPSchedule(), "score", (3,))\n'
    )
    (tmp_path / "obs.py").write_text("import sys\ndef size(x):\n    sys.exit()\n")
    kinds = {"model": "{kind: component, name: size}", "observable": "{kind: python, file: obs.py, function: size}"}
    (tmp_path / "run.yaml").write_text(
        f"model: {{python: net.py}}\nobservables: [{kinds[where]}]\ndata: [{{name: size, value: 0, error: 1}}]\n"
        "method: reweight\nfit: {samples: 16}\nsampling: {n: 16, steps: 2, batch_size: 16}\n"
    )
    code, out, err = call("run", str(tmp_path / "run.yaml"), "--quiet", "--out", str(tmp_path / "out"))
    file, line, name = ("net.py", 3, "net") if where == "model" else ("obs.py", 3, "size")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {tmp_path / file}, line {line}: {name} ended the process by SystemExit(")
