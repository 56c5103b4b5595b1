"""Blocks as they stand on a page: escaped, marked, and numbered as they come."""

import re

from leastwork.report.blocks import Fact, Mark, Part, Section, Table, italic
from leastwork.report.render import Numbering, environment

NAME = "<b>&{{ 7 }} k_BT"


def shown(sections: list[Section], number: Numbering | None = None) -> str:
    template = environment().get_template("sections.html.j2")
    return template.render(sections=sections, number=number or Numbering(), level=2)


def test_marks_are_escaped_and_shown_letter_for_letter() -> None:
    marks = [Mark(NAME, style) for style in ("italic", "raised", "quiet", "tag", "name")]
    page = shown([Section("A", [marks])])
    escaped = "&lt;b&gt;&amp;{{ 7 }} k_BT"
    for before, after in (("<i>", "</i>"), ("<sup>", "</sup>")):
        assert f"{before}{escaped}{after}" in page
    for style in ("quiet", "tag", "name"):
        assert f'<span class="{style}">{escaped}</span>' in page
    assert "<b>&" not in page


def test_plain_words_keep_numbers_and_units_together() -> None:
    page = shown([Section("A", ["1.0 ± 0.1 k_BT", ("so ", italic("W"), " = 5 %")])])
    assert "1.0\xa0±\xa00.1\xa0<i>k</i><sub>B</sub><i>T</i>" in page
    assert "so <i>W</i> = 5\xa0%" in page


def test_every_text_of_a_table_may_be_marked_and_rows_may_be_grey() -> None:
    table = Table(("of ", italic("p")), ["name", ("ln ", italic("w"))], [[(Mark("x", "name"),), "1"], ["y", "2"]],
                  grey_rows=[1])  # fmt: skip
    page = shown([Section("A", tables=[table])])
    assert "of <i>p</i></span></caption>" in page
    assert '<th scope="col" class="n">ln <i>w</i></th>' in page
    assert '<tr><td><span class="name">x</span></td><td class="n">1</td></tr>' in page
    assert '<tr class="grey"><td>y</td><td class="n">2</td></tr>' in page


def test_tables_are_numbered_through_several_parts() -> None:
    number, section = Numbering(), Section("A", tables=[Table("one", ["a"], [["b"]])])
    pages = shown([section, section], number) + shown([section], number)
    assert re.findall(r"Table (\d+)\.", pages) == ["1", "2", "3"]


def test_a_part_shows_all_that_it_is_given() -> None:
    part = Part("Toy", "It <went> well.", [Fact("work", "2", "k_BT"), Fact("share", "5 %")], ["Beware & mend."],
                [Section("Body", ["Here."])], "So it was done.", [("seed", "<0>")])  # fmt: skip
    page = environment().get_template("part.html.j2").render(part=part, number=Numbering(), level=3, files=[])
    assert "It &lt;went&gt; well." in page
    assert "<dt>work</dt><dd>2 <small><i>k</i><sub>B</sub><i>T</i></small></dd>" in page
    assert "<dt>share</dt><dd>5 %</dd>" in page
    assert re.findall(r"<h3>(.*?)</h3>", page) == ["Warning", "Body", "For a methods section", "Settings and versions"]
    assert '<th scope="row">seed</th><td class="name">&lt;0&gt;</td>' in page
