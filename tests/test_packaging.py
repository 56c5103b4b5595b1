"""What is handed out: wheel and sdist build, are small, and run in an environment of their own; recipes are true."""

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from leastwork.cli import app

ROOT = Path(__file__).parents[1]
MOST_BYTES = 12 * 2**20  # of the wheel
PACKAGES_OF_CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base"}


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_recipe_for_conda_requires_what_the_project_requires() -> None:
    recipe = yaml.safe_load((ROOT / "conda/recipe.yaml").read_text(encoding="utf-8"))
    pairs = [re.split(r"(?=>=)", one.lower()) for one in project()["dependencies"]]
    wanted = {f"{PACKAGES_OF_CONDA.get(name, name)} {least}" for name, least in pairs}
    assert set(recipe["requirements"]["run"]) == wanted | {f"python {project()['requires-python']}"}
    assert recipe["context"]["version"] == project()["version"]


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == project()["version"]
    assert citation["license"] == project()["license"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)


def test_containers_install_extras_that_exist_and_copy_files_that_exist() -> None:
    for name in ("Dockerfile", "leastwork.def"):
        text = (ROOT / "containers" / name).read_text(encoding="utf-8")
        (extras,) = re.findall(r"'[./a-z]*\[([a-z,]+)\]'", text)
        assert set(extras.split(",")) <= set(project()["optional-dependencies"])
        for file in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "src"):
            assert re.search(rf"\b{re.escape(file)}\b", text)
            assert (ROOT / file).exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_and_names_of_runs(shell: str) -> None:
    words = {"bash": ("leastwork run pri", "2"), "zsh": ("leastwork run pri", ""), "fish": ("leastwork run pri", "pri")}
    line, current = words[shell]
    told = {"_LEASTWORK_COMPLETE": f"complete_{shell}", "COMP_WORDS": line, "COMP_CWORD": current}
    told |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    found = CliRunner().invoke(app, [], prog_name="leastwork", env=told)
    assert "prinz" in found.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    made = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(made, check=True, capture_output=True)
    return folder


@pytest.mark.slow
def test_the_wheel_is_small_and_holds_the_package_alone(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    assert wheel.stat().st_size <= MOST_BYTES
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"leastwork"}
    assert "leastwork/py.typed" in names
    assert "leastwork/cases/prinz/runs/prinz.yaml" in names


@pytest.mark.slow
def test_wheel_and_sdist_are_in_order(built: Path) -> None:
    pytest.importorskip("twine")
    files = [str(file) for file in built.iterdir()]
    assert len(files) == 2
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".whl", ".tar.gz"])
def test_it_runs_in_an_environment_of_its_own(built: Path, tmp_path: Path, ending: str) -> None:
    """The packages that it requires are those of this environment; leastwork itself is the one that was built."""
    (made,) = built.glob(f"*{ending}")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    scripts = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = str(scripts / "python")
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def of(*command: str) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True, env=clean, cwd=tmp_path).stdout

    packages = Path(of(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    here = [
        sysconfig.get_path("purelib"),
        *(path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path),
    ]
    (packages / "dependencies.pth").write_text("\n".join(path for path in here if Path(path) != ROOT / "src"))
    of(python, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--force-reinstall", str(made))
    assert str(packages) in of(python, "-c", "import leastwork; print(leastwork.__file__)")
    small = [f"--set={one}" for one in ("sampling.n=200", "sampling.steps=10", "method=reweight", "fit.samples=500")]
    report = Path(of(str(scripts / "leastwork"), "run", "prinz", "--quiet", "--out", "out", *small).strip())
    assert (tmp_path / report).is_file()
