"""Optional packages: what is said where one is missing, and what is not hidden."""

import json

import pytest

from leastwork.errors import LeastworkError
from leastwork.observable_guidance.search import gaussian_process_search
from leastwork.support.extras import needs


def test_a_package_that_is_there_is_returned() -> None:
    assert needs("json", "protein") is json


@pytest.mark.parametrize("package", ["no_such_package", "no_such_package.part", "json.no_such_part"])
def test_a_package_that_is_missing_is_told_with_the_command_that_brings_it(package: str) -> None:
    with pytest.raises(
        LeastworkError, match=rf"{package} is not installed, and this needs it: pip install 'leastwork\[protein\]'"
    ):
        needs(package, "protein")


def test_what_a_package_itself_lacks_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def half_installed(package: str):
        raise ModuleNotFoundError("No module named 'its_own_need'", name="its_own_need")

    monkeypatch.setattr("leastwork.support.extras.import_module", half_installed)
    with pytest.raises(ModuleNotFoundError, match="its_own_need"):
        needs("mdtraj", "protein")


def test_the_gaussian_process_search_needs_optuna(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str):
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr("leastwork.support.extras.import_module", missing)
    with pytest.raises(LeastworkError, match=r"optuna is not installed, .* pip install 'leastwork\[search\]'"):
        gaussian_process_search(calls=2)
