"""One page for a joint run: its parts side by side, and of each the same that its own page says."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from leastwork.errors import ConfigError
from leastwork.runs.base.checks import many
from leastwork.runs.base.finished import read_metrics
from leastwork.runs.carry_out import run
from leastwork.runs.joint.sections import overview
from leastwork.runs.load import load_config
from leastwork.runs.observables.numbers import observable_numbers
from leastwork.runs.observables.sentences import asked, reached
from leastwork.runs.page import write_report
from leastwork.runs.read import read_finished
from leastwork.support.numerals import fraction, plus_minus

Reader = Callable[[Path], str]
NAMED = ["average.name=<b>&", "average.data.0.name=$x$ {{ 7 }}", "average.observables.0.name=$x$ {{ 7 }}"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, joint_case: Callable[[Path], Path]) -> Path:
    """A finished joint run, whose names would be markup if they could."""
    file = joint_case(tmp_path_factory.mktemp("case"))
    file.write_text("description: A <i>joke\nruns: {average: average.yaml, '<u>rare': path.yaml}\n")
    out = tmp_path_factory.mktemp("joint") / "out"
    run(load_config(file, NAMED), out)
    return out


def rare(folder: Path) -> Path:
    return folder / "<u>rare"


def images(report: Path) -> list[str]:
    """Figures of a page, without the names of their parts, which differ from figure to figure."""
    drawn = re.findall(r'<svg role="img".*?</svg>', report.read_text(), flags=re.DOTALL)
    return [re.sub(r'(["(]#|id=")f\d+-', r"\1", one) for one in drawn]


def headings(report: Path, level: int) -> list[str]:
    return re.findall(rf"<h{level}>(.*?)</h{level}>", report.read_text())


def test_the_page_has_all_that_the_parts_pages_have(folder: Path, text_of: Reader) -> None:
    pages = [folder / "average" / "report.html", rare(folder) / "report.html"]
    assert images(folder / "report.html") == [image for page in pages for image in images(page)]
    assert headings(folder / "report.html", 3) == [
        title for page in pages for title in headings(page, 2) if title != "References"
    ]
    assert headings(folder / "report.html", 2) == ["average", "&lt;u&gt;rare", "References"]
    text = re.sub(r"\s+", " ", text_of(folder / "report.html"))
    for page in pages:  # paragraphs and cells, in which no number of a figure stands
        words = re.findall(r"<(?:p|td|blockquote)[^>]*>(.*?)</(?:p|td|blockquote)>", re.sub(r"\s+", " ", text_of(page)))
        assert len(words) > 40
        assert [word for word in words if word not in text] == []


def test_figures_and_tables_are_numbered_through(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    for kind, least in (("Figure", 7), ("Table", 7)):
        numbers = [int(n) for n in re.findall(rf"<b>{kind} (\d+)\.</b>", page)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= least
    assert re.findall(r"<b>Figure (\d+)\.</b>", (folder / "average" / "report.html").read_text())[0] == "1"


def test_the_parts_stand_side_by_side(folder: Path, text_of: Reader) -> None:
    text = text_of(folder / "report.html")
    table = re.sub(r"\s+", " ", text[text.index('<table class="overview">') : text.index("</table>")])
    rows = re.findall(r"<tr>(.*?)</tr>", table)
    cells = {row[0]: row[1:] for row in (re.findall(r"<t[dh][^>]*> ?(.*?) ?</t[dh]>", row) for row in rows)}
    metrics = read_metrics(folder)
    average, region = metrics["parts"].values()
    page = (folder / "report.html").read_text()
    overview_of = page[page.index('<table class="overview">') : page.index("</table>")]
    places = re.findall(r'<section class="part" id="(s\d+)"', page)
    assert re.findall(r'href="#(s\d+)"', overview_of) == places
    assert len(places) == 2
    assert cells["method"] == ["Scheduled guidance", "Loss path guidance"]
    assert cells["asked"] == ["⟨$x$ {{ 7 }}⟩ = 0.200 ± 0.020", "99 % of the samples in the region"]
    row, share = average["observables"][0], region["quality"]["success"]
    assert cells["reached"] == [
        f"{plus_minus(row['guided'], row['stderr'])}, from {plus_minus(row['model'], row['model_stderr'])}",
        f"{fraction(**share)}, from {fraction(**region['quality']['model_share'])}",
    ]
    kt = " <i>k</i><sub>B</sub><i>T</i>"
    energy = region["free_energy"]
    assert cells["free energy of the region"] == ["–", plus_minus(energy["value"], energy["stderr"]) + kt]
    for label, key in (("work spent", "work"), ("unavoidable", "bound")):
        assert cells[label] == [plus_minus(**part["certificate"][key]) + kt for part in (average, region)]
    certificates = [part["certificate"] for part in (average, region)]
    assert cells["efficiency"] == [fraction(**one["efficiency"]) for one in certificates]
    assert cells["effective samples"] == [
        f"{many(one['ess']['value'] * one['samples'])} of {one['samples']}" for one in certificates
    ]
    assert cells["network evaluations"] == [f"{part['network_evaluations']:,}" for part in (average, region)]
    for cell, part in zip(cells["warnings"], (folder / "average", rare(folder)), strict=True):
        (box,) = re.findall(r'(?s)<section class="warnings">(.*?)</section>', text_of(part / "report.html"))
        assert cell == f"{box.count('<p>')}, below"


def test_names_are_shown_as_they_are(folder: Path, text_of: Reader) -> None:
    text = text_of(folder / "report.html")
    for words in ("A &lt;i&gt;joke.", "Guiding &lt;b&gt;&amp; moved", "⟨$x$ {{ 7 }}⟩"):
        assert words in text
    assert "A joint run of model net: average, then &lt;u&gt;rare." in text
    for markup in ("<u>", "<b>&", "<i>joke"):
        assert markup not in text


def test_a_report_is_made_from_the_folder_alone_and_always_the_same(folder: Path, tmp_path: Path) -> None:
    before = (folder / "report.html").read_bytes()
    moved = tmp_path / "moved"
    folder.rename(moved)
    try:
        (moved / "report.html").unlink()
        assert write_report(moved).read_bytes() == before
        part = (moved / "average" / "report.html").read_bytes()
        assert write_report(moved / "average").read_bytes() == part
    finally:
        moved.rename(folder)


def test_a_run_that_is_not_finished_is_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(folder, out)
    (out / "metrics.json").unlink()
    shutil.rmtree(out / "average")
    with pytest.raises(
        ConfigError, match=r"out holds no finished run, some parts are missing: finish it with .*resume"
    ):
        write_report(out)
    (out / "metrics.json").write_text("{")
    shutil.copytree(folder / "average", out / "average")
    with pytest.raises(ConfigError, match=r"metrics\.json is damaged .*: delete it and resume the run"):
        write_report(out)


def test_weights_take_no_work_and_some_data_are_left_out(folder: Path) -> None:
    one = read_finished(folder / "average")
    config = one.config.model_copy(update={"method": "reweight"})
    rows = [one.metrics["observables"][0] | {"name": name} for name in "abcde"]
    rows[0] |= {"target": None, "lower": -1.0, "upper": 2.0}
    rows[1] |= {"held_out": True}
    metrics = one.metrics | {"certificate": None, "observables": rows}
    cells = {row.label: row.cells for row in overview([replace(one, config=config, metrics=metrics)], [0])}
    assert {"work spent", "efficiency", "free energy of the region"}.isdisjoint(cells)
    assert cells["method"] == ["Reweighting"]
    assert cells["unavoidable"][0].endswith(" k_BT")
    assert cells["effective samples"] == ["293 of 300"]
    assert cells["warnings"] == ["none"]
    assert (
        asked(observable_numbers(metrics)) == "⟨a⟩ ≥ −1 and ≤ 2; ⟨c⟩ = 0.200 ± 0.020; ⟨d⟩ = 0.200 ± 0.020; and 1 more"
    )
    assert reached(config, observable_numbers(metrics)).count("from") == 3
