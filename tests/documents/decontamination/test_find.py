"""Documents that hold a benchmark's words are found, whatever case, punctuation and line breaks, and no others are."""

import random
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.decontamination import find
from pellucid.documents.decontamination.files import read_benchmarks
from pellucid.documents.decontamination.find import Hit, apply, find_hits
from pellucid.documents.decontamination.index import build_index, load_index
from pellucid.documents.decontamination.items import Item
from pellucid.documents.words import hash_words
from pellucid.recipe.documents import DecontaminateConfig

ROOT = Path(__file__).resolve().parents[3]
BENCH = ROOT.parent / "shared/data/bench"
CONFIG = DecontaminateConfig(benchmarks=("x",))
QUESTION = "Janet's ducks lay 16 eggs per day; she eats three for breakfast every morning and bakes muffins for her friends."
SHORT = "What is the name of the longest river in Africa?"


def batch(*texts: str) -> TextBatch:
    return TextBatch(texts, ["en"] * len(texts), [f"document {number}" for number in range(len(texts))])


def test_a_document_with_a_question_goes_and_the_hit_says_what_was_found() -> None:
    index = build_index([Item("gsm8k/test", 41, (QUESTION,)), Item("trivia", 2, (SHORT,))], CONFIG)
    documents = batch(
        "Nothing here.", f"Before. {QUESTION.upper()} After.", "so (what is the name of the\nlongest river — in africa)", SHORT[9:]
    )
    assert apply(documents, index) == [
        Hit(1, "document 1", "gsm8k/test", 41, 21, QUESTION.upper()[:-1]),
        Hit(2, "document 2", "trivia", 2, 10, "what is the name of the\nlongest river — in africa"),
    ]
    assert documents.reasons == [None, "contaminated: gsm8k/test", "contaminated: trivia", None]
    assert documents.details[2] == "item 2: what is the name of the longest river — in africa"


def test_twelve_words_of_a_long_question_are_no_hit_and_thirteen_are() -> None:
    words = re.findall(r"\w+", QUESTION)
    index = build_index([Item("b", 0, (QUESTION,))], CONFIG)
    documents = batch(" ".join(words[3:15]), " ".join(words[3:16]), " ".join(words[3:9] + words[10:18]))
    apply(documents, index)
    assert documents.alive_N.tolist() == [True, False, True]


def test_words_do_not_join_across_documents() -> None:
    index = build_index([Item("b", 0, (SHORT,))], CONFIG)
    documents = batch(SHORT[:20], SHORT[20:])
    assert apply(documents, index) == []


def test_a_text_that_repeats_the_beginning_of_many_items_is_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = "which of these is the right answer to the question"
    items = [Item("b", number, (f"{prompt} {name} {name} {name}",)) for number, name in enumerate(["red", "blue", "green"])]
    index = build_index(items, CONFIG)
    texts = [f"{prompt}. {prompt} green green green. " * 5, f"{prompt} red red red"]
    whole = apply(batch(*texts), index)
    monkeypatch.setattr(find, "_GRAMS_AT_ONCE", 2)
    assert apply(batch(*texts), index) == whole
    assert [(hit.row, hit.number) for hit in whole] == [(0, 2)] * 5 + [(1, 0)]


def test_documents_that_are_gone_are_not_looked_at() -> None:
    documents = batch(SHORT)
    documents.drop(0, "language: not kept")
    assert apply(documents, build_index([Item("b", 0, (SHORT,))], CONFIG)) == []


letters = st.sampled_from("abc")
lines = st.lists(letters, max_size=30)


@settings(max_examples=200, deadline=None)
@given(st.lists(lines, min_size=1, max_size=6), st.lists(lines, max_size=6), st.integers(3, 6), st.integers(3, 6))
def test_hits_are_exactly_the_runs_in_common(items: list[list[str]], texts: list[list[str]], n: int, shortest: int) -> None:
    shortest = min(shortest, n)
    # Doubled letters, so that they are spelt words.
    questions = [[2 * letter for letter in item] for item in items]
    documents = [[2 * letter for letter in text] for text in texts]
    config = DecontaminateConfig(benchmarks=("x",), ngram_words=n, min_words=shortest, max_items=100)
    index = build_index([Item("b", number, (" ".join(item),)) for number, item in enumerate(questions)], config)
    expected = set()
    for document, text in enumerate(documents):
        for number, item in enumerate(questions):
            wanted = (
                [item[at : at + n] for at in range(len(item) - n + 1)]
                if len(item) >= n
                else [item]
                if len(item) >= shortest
                else []
            )
            covered = {
                at + k for gram in wanted for at in range(len(text)) if text[at : at + len(gram)] == gram for k in range(len(gram))
            }
            expected |= {(document, number, at) for at in covered}
    hits = find_hits(hash_words([" ".join(text) for text in documents]), index)
    found = {
        (int(document), int(item), int(word) + place)
        for document, item, word, count in zip(hits.document_H, hits.item_H, hits.word_H, hits.words_H, strict=True)
        for place in range(int(count))
    }
    assert found == expected


def disguise(text: str, rng: random.Random) -> str:
    """Change case, line breaks and punctuation, never a word."""
    words = re.split(r"\s+", text.strip())
    return "".join(
        rng.choice([word, word.upper() if word.upper().lower() == word.lower() else word, word.lower()])
        + rng.choice([" ", "\n", ",  ", " - ", "\t*"])
        for word in words
    )


@pytest.mark.skipif(not BENCH.is_dir(), reason="no shared benchmarks beside this checkout")
def test_every_planted_question_is_found_in_its_document_and_in_no_other(tmp_path: Path) -> None:
    items = read_benchmarks(("sets/arc_challenge.jsonl", "mmlu/test/*history*.csv", "gsm8k/test.jsonl", "truthfulqa/*.csv"), BENCH)
    build_index(items, CONFIG).save(tmp_path / "index")
    index = load_index(tmp_path / "index")
    table = pq.read_table(ROOT / "corpora/pocket/gimp-manual.en.parquet", columns=["text"])
    clean = table["text"].to_pylist()[:200]
    assert apply(batch(*clean), index) == []
    rng = random.Random(7)
    planted = [item for item in items if len(hash_words([item.questions[0]]).keys_W) >= CONFIG.min_words]
    assert len(planted) > 2500
    texts = [f"{rng.choice(clean)[:300]}\n{disguise(item.questions[0], rng)}\n{rng.choice(clean)[:300]}" for item in planted]
    hits = apply(batch(*texts), index)
    found = {(hit.row, hit.benchmark, hit.number) for hit in hits}
    assert all((row, item.benchmark, item.number) in found for row, item in enumerate(planted))
