"""Modules of the user's own that a worker lacks, or has otherwise."""

import importlib
import pickle
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

import leastwork as lw
from leastwork.support import same_code
from leastwork.support.executors import on_workers
from leastwork.support.same_code import modules_named, source_here
from leastwork.support.sent import Sent


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Sent]]:
    """A function of a module that needs a number of a module beside it, as it is sent."""
    monkeypatch.syspath_prepend(tmp_path)

    def sent(number: int) -> Sent:
        (tmp_path / "lw_beside.py").write_text(f"NUMBER = {number}\n")
        (tmp_path / "lw_own.py").write_text("import lw_beside\n\n\ndef added(x):\n    return x + lw_beside.NUMBER\n")
        forget()
        return Sent(packed=Sent(importlib.import_module("lw_own").added).packed)

    yield sent
    forget()


def forget() -> None:
    """As a new process."""
    importlib.invalidate_caches()
    same_code._remembered.cache_clear()
    for name in ("lw_own", "lw_beside"):
        sys.modules.pop(name, None)


def test_a_module_that_was_changed_since_the_worker_imported_it_is_refused(own: Callable[[int], Sent]) -> None:
    before = own(1)
    assert before.value(2) == 3
    assert Sent(packed=before.packed).value(2) == 3  # the worker goes on
    other = own(20)
    forget()
    with pytest.raises(lw.LeastworkError, match=r"a worker on '.*' has another module 'lw_own', or had it before it"):
        Sent(packed=before.packed).value(2)
    assert Sent(packed=other.packed).value(2) == 22


def test_a_worker_without_the_module(own: Callable[[int], Sent], tmp_path: Path) -> None:
    sent = own(1)
    (tmp_path / "lw_own.py").unlink()
    forget()
    with pytest.raises(lw.LeastworkError, match=r"has no module 'lw_own', of which the model .*: put the same file"):
        sent.value(2)


def test_what_a_pickle_names_of_the_library_is_known_by_its_version() -> None:
    assert modules_named(pickle.dumps(lw.load_model("prinz"))) == {}
    assert {source_here()} == {same_code.hash_of_files(same_code._OWN, same_code._OWN.rglob("*.py"))[:12]}


def test_all_of_a_package_is_compared_and_of_an_installed_one_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "lw_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "net.py").write_text("from .layers import width\n\n\ndef net(x):\n    return x\n")
    (package / "layers.py").write_text("width = 3\n")
    importlib.invalidate_caches()
    name = "lw_package.net"
    first = modules_named(pickle.dumps(importlib.import_module(name).net))
    (package / "layers.py").write_text("width = 4\n")
    second = modules_named(pickle.dumps(importlib.import_module(name).net))
    assert first.keys() == second.keys() == {name}
    assert first[name] != second[name]
    monkeypatch.setattr(same_code, "_INSTALLED", (tmp_path.resolve(),))
    third = modules_named(pickle.dumps(importlib.import_module(name).net))
    (package / "layers.py").write_text("width = 5\n")
    assert third == modules_named(pickle.dumps(importlib.import_module(name).net))


def doubled(shared: object, x: int) -> int:
    return shared.factor * x  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("method", ["spawn", pytest.param("forkserver", marks=pytest.mark.slow)])
def test_what_a_notebook_defines_is_sent_by_its_code(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``__main__`` is another module in the workers."""
    pytest.importorskip("cloudpickle")
    main = sys.modules["__main__"]
    names: dict[str, object] = {"__name__": "__main__"}
    exec("class Of:\n    factor = 2\n", names)
    monkeypatch.setattr(main, "Of", names["Of"], raising=False)
    with ProcessPoolExecutor(1, mp_context=get_context(method)) as pool:
        assert dict(on_workers(pool, doubled, names["Of"](), [(0, 4)])) == {0: 8}  # pyright: ignore[reportCallIssue]
