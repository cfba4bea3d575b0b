"""What is written is read again by ML Commons' own library, from the folder as it would be published."""

import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest

from pellucid.core.artifacts import find_faults
from pellucid.core.errors import ArtifactError
from pellucid.core.files import read_json, sha256_file
from pellucid.documents.store import iter_split
from pellucid.report.croissant import _licence, croissant, write_croissant
from pellucid.stages.run_folder import open_recipe


@pytest.fixture(scope="module")
def published(documents_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `croissant.json` beside `documents/`."""
    folder = tmp_path_factory.mktemp("published")
    shutil.copytree(documents_run / "documents", folder / "documents")
    write_croissant(documents_run, open_recipe(documents_run), folder)
    return folder


@pytest.fixture(scope="module")
def dataset(published: Path) -> Any:
    return pytest.importorskip("mlcroissant").Dataset(str(published / "croissant.json"))


def test_the_official_reader_has_neither_errors_nor_warnings(dataset: Any) -> None:
    issues = dataset.metadata.ctx.issues
    assert (set(issues.errors), set(issues.warnings)) == (set(), set())


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_the_official_reader_gives_every_document_of_a_split(dataset: Any, documents_run: Path, split: str) -> None:
    names = ("id", "text", "language", "source", "licence", "origin", "digest")
    read = sorted(tuple(record[f"{split}/{name}"].decode() for name in names) for record in dataset.records(split))
    kept = [document for source in ("web", "code", "gone") for document in iter_split(documents_run / "documents", source, split)]
    assert read == sorted(tuple(getattr(document, name) for name in names) for document in kept)
    assert len(read) > 10


def test_the_sources_are_records_with_their_licences(dataset: Any) -> None:
    records = {record["sources/name"]: record for record in dataset.records("sources")}
    assert records["web"]["sources/licence"] == "CC0-1.0 OR MIT"
    assert records["code"]["sources/licence"] == "CC-BY-SA-4.0 AND (GPL-2.0-only OR MIT) AND MIT", "those found in its documents"
    assert records["gone"] == {
        "sources/name": "gone",
        "sources/category": "Books",
        "sources/licence": "",
        "sources/language": "",
        "sources/origin": "someone/gone",
    }


def test_every_file_is_described_with_its_digest_and_dropped_ones_are_not(published: Path) -> None:
    files = [entry for entry in read_json(published / "croissant.json")["distribution"] if entry["@type"] == "cr:FileObject"]
    assert {file["contentUrl"] for file in files} == {
        str(path.relative_to(published)) for path in published.rglob("*.parquet") if path.parent.name != "dropped"
    }
    for file in files:
        assert file["sha256"] == sha256_file(published / file["contentUrl"])
        assert file["contentSize"] == f"{(published / file['contentUrl']).stat().st_size} B"


def test_licences_have_their_address_where_spdx_gives_one(documents_run: Path) -> None:
    found = croissant(documents_run, open_recipe(documents_run))["license"]
    assert sorted(found) == ["GPL-2.0-only OR MIT", "https://spdx.org/licenses/CC-BY-SA-4.0", "https://spdx.org/licenses/MIT"]


def test_the_description_is_a_function_of_recipe_and_documents_and_names_no_machine(documents_run: Path, tmp_path: Path) -> None:
    recipe = open_recipe(documents_run)
    assert find_faults(documents_run / "documents") == []
    text = orjson.dumps(croissant(documents_run, recipe)).decode()
    assert text == orjson.dumps(croissant(documents_run, recipe)).decode()
    assert str(documents_run.parent) not in text
    with pytest.raises(ArtifactError, match=r"manifest\.json is missing"):
        croissant(tmp_path, recipe)


@pytest.mark.parametrize(
    "words", ["other", "proprietary", "CC0", "cc-by-4.0", "NOASSERTION", "LicenseRef-own", "", "MIT OR Apache-2.0"]
)
def test_what_is_no_licence_of_spdx_gets_no_address(words: str) -> None:
    assert _licence(words) == words
    assert _licence("Apache-2.0") == "https://spdx.org/licenses/Apache-2.0"
