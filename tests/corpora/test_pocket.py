"""The committed pocket corpus: whole, clean, balanced, licensed, and no held-out text in its training text."""

import hashlib
import json
import re
import unicodedata
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from pellucid.core.seeds import heldout
from pellucid.recipe.data import CATEGORIES

POCKET = Path(__file__).resolve().parents[2] / "corpora" / "pocket"
LANGUAGES = {"en", "de", "es", "fr", "it", "nl", "pt"}
COLUMNS = ["id", "text", "language", "source", "licence", "origin", "digest"]
Row = dict[str, str]


@pytest.fixture(scope="module")
def files() -> dict[str, list[Row]]:
    return {path.name: pq.read_table(path).to_pylist() for path in sorted(POCKET.glob("*.parquet"))}


@pytest.fixture(scope="module")
def rows(files: dict[str, list[Row]]) -> list[Row]:
    return [row for found in files.values() for row in found]


@pytest.fixture(scope="module")
def provenance() -> dict:
    return json.loads((POCKET / "provenance.json").read_text(encoding="utf-8"))


def size(row: Row) -> int:
    return len(row["text"].encode())


def test_every_file_has_exactly_the_columns_of_a_document_as_strings():
    for path in POCKET.glob("*.parquet"):
        schema = pq.read_schema(path)
        assert schema.names == COLUMNS, path.name
        assert {str(field.type) for field in schema} == {"string"}, path.name


def test_every_file_is_named_by_the_source_and_language_of_its_documents(files):
    for name, found in files.items():
        assert {f"{row['source']}.{row['language']}.parquet" for row in found} == {name}


def test_text_is_45_to_60_megabytes_in_files_under_20_megabytes(rows):
    assert 45_000_000 <= sum(map(size, rows)) <= 60_000_000
    sizes = [path.stat().st_size for path in POCKET.glob("*.parquet")]
    assert sum(sizes) < 20_000_000
    assert max(sizes) < 10_000_000


def test_all_nine_categories_and_seven_languages_are_there(rows, provenance):
    assert {entry["category"] for entry in provenance["files"]} == set(CATEGORIES)
    assert {row["language"] for row in rows} == LANGUAGES


def test_no_language_is_below_2_megabytes_and_english_is_at_most_45_percent(rows):
    by_language = {language: sum(size(row) for row in rows if row["language"] == language) for language in LANGUAGES}
    assert min(by_language.values()) >= 2_000_000
    assert by_language["en"] <= 0.45 * sum(by_language.values())


def test_ids_and_texts_are_unique_and_digests_are_those_of_the_texts(rows):
    assert len({row["id"] for row in rows}) == len(rows)
    assert len({row["digest"] for row in rows}) == len(rows)
    assert all(hashlib.sha256(row["text"].encode()).hexdigest() == row["digest"] for row in rows)


def test_text_is_nfc_without_control_characters_or_mail_addresses_and_of_bounded_size(rows):
    control = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u200b\ufeff\ufffd]")
    address = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
    for row in rows:
        text = row["text"]
        assert unicodedata.is_normalized("NFC", text), row["id"]
        assert not control.search(text), row["id"]
        assert 200 <= size(row) <= 30_000, row["id"]
        assert text == text.strip(), row["id"]
        if "@" in text:
            assert all("example." in found for found in address.findall(text)), row["id"]


def test_every_field_is_filled(rows):
    assert all(all(row[name] for name in COLUMNS) for row in rows)


def test_every_licence_and_every_source_has_its_text_in_the_licences_folder(rows):
    named = set().union(*(re.findall(r"[\w.+-]+", licence) for licence in {row["licence"] for row in rows})) - {"AND", "OR"}
    for name in named:
        assert len((POCKET / "LICENSES" / f"{name}.txt").read_text(encoding="utf-8")) > 80, name
    for source in {row["source"] for row in rows}:
        assert (POCKET / "LICENSES" / f"{source}.notice.txt").stat().st_size > 60, source


def test_provenance_agrees_with_the_files(files, provenance):
    assert [entry["file"] for entry in provenance["files"]] == sorted(files)
    for entry in provenance["files"]:
        found = files[entry["file"]]
        held = [row for row in found if heldout(row["digest"], 0.02)]
        assert entry["sha256"] == hashlib.sha256((POCKET / entry["file"]).read_bytes()).hexdigest()
        assert (entry["documents"], entry["bytes"]) == (len(found), sum(map(size, found)))
        assert (entry["heldout_documents"], entry["heldout_bytes"]) == (len(held), sum(map(size, held)))
        assert entry["packages"] and all(package["version"] for package in entry["packages"])
        assert entry["file"] in (POCKET / "PROVENANCE.md").read_text(encoding="utf-8")


def test_about_2_percent_is_held_out_and_40_kilobytes_or_more_of_every_language(rows):
    held = [row for row in rows if heldout(row["digest"], 0.02)]
    assert 0.015 <= len(held) / len(rows) <= 0.026
    assert 0.015 <= sum(map(size, held)) / sum(map(size, rows)) <= 0.026
    for language in LANGUAGES:
        assert sum(size(row) for row in held if row["language"] == language) >= 40_000, language


def shingles(text: str, words: dict[str, int]) -> npt.NDArray[np.uint64]:
    """Word 5-shingles as hashes: words numbered as they come, five numbers mixed by a polynomial (mod 2^64)."""
    numbers = np.array([words.setdefault(word, len(words) + 1) for word in re.findall(r"\w+", text.casefold())], dtype=np.uint64)
    width = min(5, len(numbers))
    mixed = np.zeros(len(numbers) - width + 1, dtype=np.uint64)
    for place in range(width):
        mixed = mixed * np.uint64(6364136223846793005) + numbers[place : place + len(mixed)] * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(31)
    return np.unique(mixed)


def test_no_training_document_is_a_near_duplicate_of_a_held_out_one(rows):
    words: dict[str, int] = {}
    sets = [(row["id"], heldout(row["digest"], 0.02), shingles(row["text"], words)) for row in rows]
    held = [(key, found) for key, is_held, found in sets if is_held]
    sizes = np.array([len(found) for _, found in held])
    owners = np.repeat(np.arange(len(held)), sizes)
    values = np.concatenate([found for _, found in held])
    order = np.argsort(values, kind="stable")
    values, owners = values[order], owners[order]
    known = np.unique(values)
    near = []
    for key, is_held, found in sets:
        if is_held:
            continue
        place = np.searchsorted(known, found)
        hits = found[known[np.minimum(place, len(known) - 1)] == found]
        if not len(hits):
            continue
        first, last = np.searchsorted(values, hits, "left"), np.searchsorted(values, hits, "right")
        common = np.bincount(np.concatenate([owners[a:b] for a, b in zip(first, last, strict=True)]), minlength=len(held))
        jaccard = common / (len(found) + sizes - common)
        containment = common / np.minimum(len(found), sizes)
        near += [(key, held[other][0]) for other in np.flatnonzero((jaccard >= 0.5) | (containment >= 0.7))]
    assert near == []
