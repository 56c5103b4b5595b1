"""What a notebook shows: tables whose text is escaped, and a bar of HTML that vanishes."""

import sys
from types import ModuleType
from typing import Any

import pytest

from leastwork.support.html import html_table
from leastwork.support.progress import bar


def test_every_cell_is_escaped_and_a_long_table_is_cut() -> None:
    bad = "<script>alert('x')</script>\x00&"
    found = html_table(bad, [(bad, bad)] * 100, (bad, bad))
    assert "<script" not in found
    assert found.count("&lt;script&gt;") == 3 + 2 * 60
    assert "and 40 more" in found


class _Handle:
    def __init__(self, shown: list[str]) -> None:
        self.shown = shown

    def update(self, html: str) -> None:
        self.shown.append(html)


def test_in_a_notebook_the_bar_is_html_and_vanishes(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    python, display = ModuleType("IPython"), ModuleType("IPython.display")

    def show(html: str, display_id: bool) -> Any:
        shown.append(html)
        return _Handle(shown)

    for module, names in ((python, {"get_ipython": object}), (display, {"HTML": str, "display": show})):
        for name, value in names.items():
            setattr(module, name, value)
    for name, module in (("ipykernel", ModuleType("ipykernel")), ("IPython", python), ("IPython.display", display)):
        monkeypatch.setitem(sys.modules, name, module)
    with bar("a <b>", 2) as tick:
        tick()
        tick()
    assert "a &lt;b&gt;: 0 of 2" in shown[0]
    assert 'value="2"' in shown[-2]
    assert shown[-1] == ""
