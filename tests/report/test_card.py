"""The card of documents made by hand (hostile texts, an empty source, benchmark hits) and of a real run."""

import re
import shutil
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pellucid.core.errors import ArtifactError
from pellucid.core.files import read_json, write_json
from pellucid.core.units import format_bytes
from pellucid.documents.store import iter_split
from pellucid.report.card import write_card
from pellucid.report.facts import Facts, resolve
from pellucid.report.html import HOW_TO_ASK
from pellucid.report.sections import FUNNEL, whole
from pellucid.stages.run_folder import open_recipe


class Card(HTMLParser):
    """The text of each section, all facts, links, anchors, ids and tags."""

    def __init__(self, run: Path, out: Path) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.samples: list[str] = []
        self._section, self._inside_sample = "", False
        write_card(run, open_recipe(run), out)
        self.page = (out / "data.html").read_text()
        self.feed(self.page)
        shown = r'class="fact"[^>]*>([^<]*)</a><span [^>]*><a href="../([^"]+)">[^<]*</a> <i>([^<]*)</i><code>([^<]+)</code>'
        self.facts = [tuple(map(unescape, one)) for one in re.findall(shown, self.page)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.add(tag)
        if tag == "section":
            self._section = str(found["id"])
        if tag == "pre":
            self.samples.append("")
            self._inside_sample = True
        self.links += [str(found["href"])] if "href" in found else []
        self.ids += [str(found["id"])] if "id" in found else []

    def handle_endtag(self, tag: str) -> None:
        self._inside_sample = self._inside_sample and tag != "pre"

    def handle_data(self, data: str) -> None:
        self.texts[self._section] = self.texts.get(self._section, "") + data + " "
        if self._inside_sample:
            self.samples[-1] += data


@pytest.fixture(scope="module")
def card(documents_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Card:
    return Card(documents_run, tmp_path_factory.mktemp("card"))


def test_every_number_is_found_again_at_its_pointer(card: Card, documents_run: Path) -> None:
    facts = Facts(documents_run)
    assert len(card.facts) > 50
    assert len(card.facts) == card.page.count('class="fact"')
    for text, file, pointer, command in card.facts:
        stored = resolve(facts.document(file), pointer)
        assert text in (whole(stored), format_bytes(stored))
        assert command == "pellucid documents RECIPE"


def test_each_source_says_what_it_is_what_became_of_it_and_what_was_found(card: Card) -> None:
    web = card.texts["source-web"]
    for part in ("CC0-1.0 OR MIT", "web/*.jsonl", "to train on", "dropped: exact duplicate", "exact duplicate,", "email masked"):
        assert part in web
    for part in ("Lengths", "Languages", "German", "Licences of the documents", "CC-BY-SA-4.0", "GPL-2.0-only OR MIT", "Samples"):
        assert part in web
    assert "7 ( listed )" in web
    assert web.count("benchmark: quiz.jsonl") == 5, "the first of seven; the file has all"
    assert "someone/gone" in card.texts["source-gone"]
    assert "No document of this source is left." in card.texts["source-gone"]
    assert "Samples" not in card.texts["source-gone"]


def test_the_licences_add_up_to_the_documents(card: Card, documents_run: Path) -> None:
    counted: dict[str, int] = {}
    for split in ("train", "heldout"):
        for document in iter_split(documents_run / "documents", "web", split):
            counted[document.licence] = counted.get(document.licence, 0) + 1
    for licence, count in counted.items():
        assert f'<td>{licence}</td><td class="number">{count}</td>' in card.page


def test_what_documents_hold_stays_text(card: Card) -> None:
    page = "html head meta title style body main h1 h2 h3 p a b i code span div figure figcaption nav section dl dt dd article pre"
    drawn = "svg rect line text table caption thead tbody tr th td"
    assert card.tags <= {*page.split(), *drawn.split()}, "no script, and no tag from a text"
    assert not set(card.page) & {chr(code) for code in range(32) if code not in (9, 10)}
    assert "\u202e" not in card.page
    evil = next(sample for sample in card.samples if "taken" in sample)
    assert "</pre><script>document.title='taken'</script>␛[31mred ⟨U+202E⟩gnp.exe" in evil


def test_samples_are_documents_at_even_distances(card: Card, documents_run: Path) -> None:
    documents = list(iter_split(documents_run / "documents", "web", "train"))
    total = len(documents)
    for sample, number in zip(card.samples[:5], [total * k // 10 for k in (1, 3, 5, 7, 9)], strict=True):
        assert sample.split(" ")[0] == documents[number].text.split(" ")[0]


def test_the_card_needs_nothing_from_outside_and_its_links_lead_somewhere(card: Card, documents_run: Path) -> None:
    for link in set(card.links):
        if link.startswith("#"):
            assert link[1:] in card.ids
        else:
            assert link in ("index.html", "croissant.json") or (documents_run / "report" / link).resolve().is_file(), link
    assert len(card.ids) == len(set(card.ids))
    assert "src=" not in card.page
    assert "@import" not in card.page


def test_languages_are_counted_as_on_the_report_and_numbers_are_spoken_of_as_there(documents_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(documents_run, run)
    funnel = read_json(run / FUNNEL)
    languages = funnel["sources"]["web"]["languages"]
    languages |= {"": languages["de"], "und": languages["de"]}
    write_json(run / FUNNEL, funnel)
    page = Card(run, tmp_path).page
    known = len({code for source in funnel["sources"].values() for code in source["languages"]}) - 2
    assert f"<b>{known}</b><span>languages</span>" in page
    assert HOW_TO_ASK in page and "is a link to the artifact" not in page


def test_the_same_documents_give_the_same_bytes(card: Card, documents_run: Path, tmp_path: Path) -> None:
    assert Card(documents_run, tmp_path).page == card.page


def test_a_real_run_has_a_card_in_its_report(finished_run: Path, tmp_path: Path) -> None:
    card = Card(finished_run, tmp_path)
    assert card.page == (finished_run / "report" / "data.html").read_text()
    for source in open_recipe(finished_run).sources:
        text = card.texts[f"source-{source.name}"]
        assert "none (exact ones were looked for)" in text or "exact duplicate" in text
        assert "not looked for" in text, "no benchmarks were given"


def test_a_missing_account_is_named(finished_run: Path, tmp_path: Path) -> None:
    recipe = open_recipe(finished_run)
    with pytest.raises(ArtifactError, match=r"documents/funnel\.json is missing"):
        write_card(tmp_path, recipe, tmp_path / "report")
