"""Guidances that are learned in few steps, for tests that do not ask how good they are."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def _short() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("leastwork.free_energy.guided._ITERATIONS", 80)
        yield
