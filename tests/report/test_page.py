"""The page of a real run: every number on it is found again where it says that it comes from."""

import csv
import re
import shutil
import xml.etree.ElementTree as ET
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pellucid.core.errors import ArtifactError
from pellucid.core.files import read_json
from pellucid.report.blocks import Note
from pellucid.report.card import write_card
from pellucid.report.facts import Facts, resolve
from pellucid.report.page import _SECTIONS, Report, compose, write_page
from pellucid.stages.run_folder import open_recipe


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.facts: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.anchors: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if found.get("class") == "fact":
            self.facts.append(found)
        if tag == "a" and (href := found.get("href")):
            (self.anchors if href.startswith("#") else self.links).append(href)
        if found.get("id"):
            self.ids.add(str(found["id"]))


def composed(run: Path) -> Report:
    return compose(Facts(run), open_recipe(run))


def read(run: Path) -> Links:
    links = Links()
    links.feed((run / "report" / "index.html").read_text())
    return links


def test_every_number_is_found_again_at_its_pointer_and_stands_on_the_page_as_listed(finished_run: Path) -> None:
    page = (finished_run / "report" / "index.html").read_text()
    listed = read_json(finished_run / "report" / "numbers.json")
    assert listed["schema_version"] == 1 and len(listed["numbers"]) > 100
    assert [fact["id"] for fact in read(finished_run).facts] == [number["id"] for number in listed["numbers"]]
    opened = Facts(finished_run)
    shown = dict(re.findall(r'<a class="fact" id="(n\d+)"[^>]*>([^<]*)</a>', page))
    for number in listed["numbers"]:
        assert resolve(opened.document(number["file"]), number["pointer"]) == number["value"]
        assert unescape(shown[number["id"]]) == number["text"]
        assert number["command"].startswith("pellucid ")


def test_every_link_leads_somewhere(finished_run: Path) -> None:
    links = read(finished_run)
    for href in set(links.links):
        assert (finished_run / "report" / href).resolve().is_file(), href
    assert {anchor[1:] for anchor in links.anchors} <= links.ids


def test_the_page_needs_nothing_from_outside(finished_run: Path) -> None:
    page = (finished_run / "report" / "index.html").read_text()
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    for section in ("data", "funnel", "architecture", "training", "heldout", "exports", "verification", "machine", "omissions"):
        assert f'<section id="{section}">' in page


def test_the_page_is_a_pure_function_of_the_artifacts_and_changes_none(finished_run: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in finished_run.rglob("*") if path.is_file()}
    write_page(composed(finished_run), tmp_path)
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert {str(path) for path in made} >= {"index.html", "numbers.json"} and len(made) > 10
    for path in made:
        assert (tmp_path / path).read_bytes() == before[finished_run / "report" / path]
    assert before == {path: path.read_bytes() for path in finished_run.rglob("*") if path.is_file()}


def test_every_figure_is_a_file_with_its_numbers_beside_it(finished_run: Path) -> None:
    folder = finished_run / "report" / "figures"
    drawn = sorted(path.stem for path in folder.glob("*.svg"))
    assert drawn == sorted(path.stem for path in folder.glob("*.csv")) and len(drawn) >= 8
    for name in drawn:
        root = ET.parse(folder / f"{name}.svg").getroot()
        assert [child.tag.rpartition("}")[2] for child in root][:2] == ["title", "desc"]
        heads, *rows = csv.reader((folder / f"{name}.csv").read_text().splitlines())
        assert rows and {len(row) for row in rows} == {len(heads)}


def test_a_section_without_data_says_so_and_how_to_get_it(run_copy: Path) -> None:
    shutil.rmtree(run_copy / "benchmarks")
    (run_copy / "pretrain" / "curves.json").unlink()
    found = {section.name: section for section in composed(run_copy).sections}
    assert list(found) == [name for name, _, _, _ in _SECTIONS]
    for name, word in (("benchmarks", "pellucid evaluate RUN"), ("curves", "curves:"), ("throughput", "pellucid throughput RUN")):
        (note,) = found[name].blocks
        assert isinstance(note, Note) and word in str(note.parts[0])


def test_a_missing_artifact_is_named(run_copy: Path) -> None:
    shutil.rmtree(run_copy / "scores")
    with pytest.raises(ArtifactError, match=r"scores/heldout\.json is missing"):
        composed(run_copy)


def test_nothing_in_a_recipes_words_is_unseen_or_markup(finished_run: Path, tmp_path: Path) -> None:
    recipe = open_recipe(finished_run)
    evil = "red \u202egnp.exe <script>alert(1)</script>"
    sources = [source.model_copy(update={"category": evil, "licence": evil}) for source in recipe.sources]
    recipe = recipe.model_copy(update={"description": evil, "sources": sources})
    write_page(compose(Facts(finished_run), recipe), tmp_path)
    write_card(finished_run, recipe, tmp_path)
    for name in ("index.html", "data.html"):
        page = (tmp_path / name).read_text()
        assert "\u202e" not in page and "<script" not in page and "⟨U+202E⟩gnp.exe &lt;script&gt;" in page
    assert "\u202e" not in "".join(path.read_text() for path in (tmp_path / "figures").glob("*.svg"))
