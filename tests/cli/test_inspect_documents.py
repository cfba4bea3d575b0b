import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pellucid.cli.main import main
from pellucid.core.files import read_json
from pellucid.documents.store import iter_split


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["inspect", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("split", "flags"), [("train", []), ("heldout", ["--heldout"])])
def test_pages_one_after_the_other_are_all_documents_of_a_split(
    documents_run: Path, capsys: pytest.CaptureFixture[str], split: str, flags: list[str]
) -> None:
    found: list[dict[str, Any]] = []
    total = 1
    while len(found) < total:
        page = shown(capsys, str(documents_run), "--documents", "web", *flags, "--first", str(len(found) + 1), "--count", "7")
        found, total = found + page["documents"], page["total"]
    expected = list(iter_split(documents_run / "documents", "web", split))
    assert [document["number"] for document in found] == list(range(1, len(expected) + 1))
    for document, stored in zip(found, expected, strict=True):
        assert (document["id"], document["text"], document["origin"]) == (stored.id, stored.text, stored.origin)
        assert document["bytes"] == len(stored.text.encode())


def test_a_page_shows_where_documents_come_from_how_they_begin_and_what_to_type_next(
    documents_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(documents_run), "--documents", "web", "--first", "2", "--count", "2"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("■ web: 2 to 3 of 39 documents to train on\n")
    for part in ("web/3", "https://example.org/", "GPL-2.0-only OR MIT", "--documents web --first 4"):
        assert part in text
    assert "\x1b" not in text, "neither colours in a pipe nor what the documents hold"
    assert max(map(len, text.splitlines())) <= 160


def test_a_whole_text_is_shown_with_its_lines(documents_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(documents_run), "--documents", "code", "--first", "2", "--count", "1"]) == 0
    assert "xxx…" in capsys.readouterr().out
    assert main(["inspect", str(documents_run), "--documents", "code", "--first", "2", "--count", "1", "--whole"]) == 0
    text = capsys.readouterr().out
    assert text.count("x") >= 5000
    assert "xxx…" not in text


def test_without_a_source_all_are_listed_with_their_numbers(documents_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, str(documents_run), "--documents") == read_json(documents_run / "documents" / "funnel.json")
    assert main(["inspect", str(documents_run), "--documents"]) == 0
    text = capsys.readouterr().out
    assert all(f"■ {name}" in text for name in ("web", "code", "gone"))
    assert main(["inspect", str(documents_run), "--documents", "gone"]) == 0
    assert capsys.readouterr().out == "■ gone: no documents to train on\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--documents", "wbe"], "it has code, gone, web"),
        (["--documents", "web", "--first", "40"], "web has 39 documents to train on"),
        (["--documents", "web", "--first", "0"], "--first 0: must be 1 or above"),
        (["--documents", "web", "--count", "-1"], "--count -1: must be 1 or above"),
        (["--documents", "web", "--stage", "pretrain"], "--stage goes with --step"),
        (["--step", "1", "--heldout"], "--heldout goes with --documents"),
        (["--step", "1", "--documents"], "not allowed with"),
    ],
)
def test_what_is_not_there_or_does_not_belong_is_a_usage_error(
    documents_run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["inspect", str(documents_run), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_documents_that_are_not_finished_are_said_to_be(
    documents_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(documents_run / "recipe.resolved.yaml", tmp_path)
    assert main(["inspect", str(tmp_path), "--documents"]) == 1
    assert "pellucid documents RECIPE" in capsys.readouterr().err
