"""Every benchmark can be started, says what it asks and how long it takes, and stays a script of one question."""

import ast
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # benchmarks are started from there, and not installed
all_of_them = import_module("benchmarks.all").benchmarks()
timing, table = import_module("benchmarks.timing"), import_module("benchmarks.table")


def test_the_list_is_that_of_the_folder() -> None:
    assert len(all_of_them) > 20
    assert {"before_after", "comparison", "maxent"} <= set(all_of_them)
    assert not {"all", "problems", "timing", "table"} & set(all_of_them)


@pytest.mark.parametrize("name", ["all", *all_of_them])
def test_it_says_what_it_asks_and_how_long_it_takes(name: str, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as end:
        import_module(f"benchmarks.{name}").main()
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert f"python -m benchmarks.{name}" in said
    assert "Takes " in said


def test_a_question_is_asked_by_nobody_else() -> None:
    for name in all_of_them:
        tree = ast.parse((ROOT / f"benchmarks/{name}.py").read_text(encoding="utf-8"))
        used = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not used & {f"benchmarks.{other}" for other in all_of_them}, name


def test_a_ratio_ignores_rounds_that_were_disturbed() -> None:
    found = timing.ratio([1.0, 1.0, 1.0, 1.0, 9.0], [1.1, 1.2, 1.0, 1.1, 1.1])
    assert found.value == 1.1
    assert found.of_least == 1.0
    assert found.stderr == pytest.approx(1.2533 * 1.4826 * 0.1 / 5**0.5)


def test_calls_alternate() -> None:
    order: list[str] = []
    calls = [lambda name=name: timing.cost(lambda: order.append(name)) for name in "ab"]
    assert [len(costs) for costs in timing.in_turn(calls, 3)] == [3, 3]
    assert "".join(order) == "abbaab"


def test_a_table_goes_between_its_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- one -->\nold\n<!-- end one -->\nafter\n", encoding="utf-8")
    table.insert(page, "one", table.markdown(("a", "b"), [("1", r"\d")]))
    table.insert(page, "another", "nothing")
    expected = "before\n<!-- one -->\n| a | b |\n|---|---|\n| 1 | \\d |\n<!-- end one -->\nafter\n"
    assert page.read_text(encoding="utf-8") == expected
