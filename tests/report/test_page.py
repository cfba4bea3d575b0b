"""The page of a real run: every number on it is found again where it says that it comes from."""

import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pellucid.core.errors import ArtifactError
from pellucid.report.page import write_page
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


def read(run: Path) -> Links:
    links = Links()
    links.feed((run / "report" / "index.html").read_text())
    return links


def test_every_number_is_found_again_at_its_pointer(finished_run: Path) -> None:
    facts = read(finished_run).facts
    assert len(facts) > 80
    assert [fact["id"] for fact in facts] == [f"n{number}" for number in range(1, len(facts) + 1)]


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
    for section in ("data", "funnel", "architecture", "training", "heldout", "exports", "machine", "omissions"):
        assert f'<section id="{section}">' in page


def test_the_report_is_a_pure_function_of_the_artifacts_and_changes_none(finished_run: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in finished_run.rglob("*") if path.is_file()}
    write_page(finished_run, open_recipe(finished_run), tmp_path)
    assert (tmp_path / "index.html").read_bytes() == before[finished_run / "report" / "index.html"]
    assert before == {path: path.read_bytes() for path in finished_run.rglob("*") if path.is_file()}


def test_a_missing_artifact_is_named(run_copy: Path) -> None:
    shutil.rmtree(run_copy / "scores")
    with pytest.raises(ArtifactError, match=r"scores/heldout\.json is missing"):
        write_page(run_copy, open_recipe(run_copy), run_copy / "report")
