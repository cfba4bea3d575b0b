import json
import shutil
from pathlib import Path

import pytest

from pellucid.cli.show_dropped import dropped_of, show_dropped
from pellucid.core.errors import UsageError
from pellucid.core.files import read_json
from pellucid.documents.pipeline.dropped import iter_dropped


def test_the_table_is_the_funnels_and_adds_up(documents_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_dropped(documents_run, "recipes/a.yaml", None, as_json=True)
    found = json.loads(capsys.readouterr().out)
    funnel = read_json(documents_run / "documents" / "funnel.json")["sources"]
    assert found["texts_kept"]
    assert {(row["source"], row["reason"]): row["documents"] for row in found["dropped"]} == {
        (source, reason): amount["documents"] for source, account in funnel.items() for reason, amount in account["dropped"].items()
    }
    show_dropped(documents_run, "recipes/a.yaml", None, as_json=False)
    table = capsys.readouterr().out
    assert f" {sum(row['documents'] for row in found['dropped'])} " in table


def test_samples_are_documents_of_their_reason_and_the_same_each_time(documents_run: Path) -> None:
    found = dropped_of(documents_run, "")
    assert found["samples"] == dropped_of(documents_run, "")["samples"]
    kept = {source: list(iter_dropped(documents_run / "documents", source)) for source in ("web", "code", "gone")}
    assert all(sample in kept[sample["source"]] for sample in found["samples"])
    pairs = [(sample["source"], sample["reason"]) for sample in found["samples"]]
    assert pairs == [(row["source"], row["reason"]) for row in found["dropped"]]


def test_a_part_of_a_reason_narrows_the_table_and_shows_more(documents_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = dropped_of(documents_run, "DUPLICATE")
    assert {row["reason"] for row in found["dropped"]} == {"exact duplicate", "near duplicate"}
    assert len([sample for sample in found["samples"] if sample["source"] == "web"]) == 10
    show_dropped(documents_run, "recipes/a.yaml", "gopher", as_json=False)
    text = capsys.readouterr().out
    for part in ("gopher_quality: too <few> words", "is like web/1", "web/8", "web.jsonl:9"):
        assert part in text
    assert "duplicate" not in text
    assert "\x1b" not in text


def test_a_reason_that_nothing_was_dropped_for_names_those_there_are(documents_run: Path) -> None:
    with pytest.raises(UsageError, match="the reasons are exact duplicate, gopher_quality: too <few> words, near duplicate"):
        dropped_of(documents_run, "perplexity")


def test_without_the_texts_it_says_how_to_keep_them(
    documents_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "documents").mkdir()
    shutil.copy(documents_run / "documents" / "funnel.json", tmp_path / "documents")
    show_dropped(tmp_path, "recipes/a.yaml", None, as_json=False)
    text = capsys.readouterr().out
    assert "pellucid documents recipes/a.yaml --set documents.keep_dropped=true --show-dropped" in text
    assert "near duplicate" in text
    assert dropped_of(tmp_path, "")["samples"] == []


def test_when_nothing_was_dropped_it_says_so_whatever_was_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "funnel.json").write_text('{"sources": {"web": {"read": 1, "dropped": {}}}}')
    show_dropped(tmp_path, "recipes/a.yaml", "near", as_json=False)
    assert capsys.readouterr().out == "nothing was dropped\n"
