import json
from importlib import resources
from pathlib import Path

import pytest

from pellucid.export.probes import certificate_strings, stand_in_documents

LANGUAGES = ("en", "de", "es", "fr", "it", "nl", "pt")
CORPUS = Path(__file__).parents[2] / "corpora/pocket"


def groups():
    return json.loads(resources.files("pellucid.export").joinpath("certificate_texts.json").read_text("utf-8"))


def test_there_are_over_a_thousand_different_strings_in_seven_languages_and_code():
    strings = certificate_strings()
    assert len(strings) == len(set(strings)) >= 1000
    found = groups()
    assert set(found) == {*LANGUAGES, "code", "odd"}
    assert all(len(found[name]) >= 70 for name in found)
    assert sum("\n" in text for text in strings) > 100
    assert any(ord(letter) > 0xFFFF for text in strings for letter in text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_stands_in_a_document_that_is_in_the_public_domain(language):
    parquet = pytest.importorskip("pyarrow.parquet")
    names = [f"human-rights.{language}.parquet"] + (["jane-austen.en.parquet"] if language == "en" else [])
    rows = [row for name in names for row in parquet.read_table(CORPUS / name).to_pylist()]
    assert all("LicenseRef-public-domain" in row["licence"] for row in rows)
    whole = "\n\n".join(row["text"] for row in rows)
    assert [text for text in groups()[language] if text not in whole] == []


def test_a_document_stands_in_for_each_language_and_for_code():
    documents = stand_in_documents()
    assert len(documents) == 8
    assert all(1000 < len(text) <= 1500 for text in documents)
