from pathlib import Path

import pytest

from pellucid.core.errors import UsageError
from pellucid.evals.choices.heldout_items import Shape, heldout_items, read_heldout
from pellucid.evals.records import HeldoutDocument

SHAPE = Shape(context_words=6, continuation_words=3, text_words=5)


def document(number: int, language: str = "en", words: int = 40) -> HeldoutDocument:
    text = " ".join(f"{language}{number}word{n}" for n in range(words))
    return HeldoutDocument(f"{language}{number}", "books", language, text)


def corpus() -> list[HeldoutDocument]:
    return [document(n, language) for language in ("en", "de", "fr") for n in range(12)]


def test_an_item_is_a_stretch_of_a_document_its_continuation_and_three_of_others_in_its_language() -> None:
    by_id = {f"books:{one.id}": one.text for one in corpus()}
    items = heldout_items("continuation", corpus(), 9, 1, SHAPE).items
    assert len(items) == 9
    for item in items:
        text = by_id[item.id]
        context, answer = item.pairs[item.label]
        assert context + answer in text and len(context.split()) == 6 and len(answer.split()) == 3
        wrong = [pair.continuation for number, pair in enumerate(item.pairs) if number != item.label]
        assert len({*wrong, answer}) == 4
        for one in wrong:
            assert one not in text and one.split()[0].startswith(item.group) and len(one.split()) == 3


def test_items_are_dealt_out_evenly_over_languages_and_labels_over_places() -> None:
    items = heldout_items("continuation", corpus(), 30, 1, SHAPE).items
    groups = [item.group for item in items]
    assert {group: groups.count(group) for group in groups} == {"en": 10, "de": 10, "fr": 10}
    assert {item.label for item in items} == {0, 1, 2, 3}


@pytest.mark.parametrize("task", ["continuation", "perplexity"])
def test_neither_the_order_of_documents_nor_the_limit_changes_an_item(task: str) -> None:
    some = heldout_items(task, corpus(), 9, 1, SHAPE).items
    assert heldout_items(task, corpus()[::-1], 9, 1, SHAPE).items == some
    more = {item.id: item for item in heldout_items(task, corpus(), 30, 1, SHAPE).items}
    assert all(more[item.id] == item for item in some)
    assert heldout_items(task, corpus(), 9, 2, SHAPE).items != some


def test_the_white_space_before_a_continuation_does_not_give_it_away() -> None:
    texts = ["\n\n".join(f"w{number}x{n}" for n in range(30)) if number == 0 else document(number).text for number in range(6)]
    documents = [HeldoutDocument(f"d{number}", "s", "en", text) for number, text in enumerate(texts)]
    items = heldout_items("continuation", documents, 6, 1, SHAPE).items
    (item,) = [one for one in items if one.id == "s:d0"]
    assert all(pair.continuation.startswith("\n\n") for pair in item.pairs)


def test_in_a_script_without_spaces_a_character_is_a_word() -> None:
    documents = [HeldoutDocument(f"d{n}", "s", "zh", "".join(chr(0x4E00 + 50 * n + k) for k in range(40))) for n in range(5)]
    for item in heldout_items("continuation", documents, 5, 1, SHAPE).items:
        assert all(len(pair.context) == 6 and len(pair.continuation) == 3 for pair in item.pairs)


def test_what_is_left_out_is_counted() -> None:
    documents = [*corpus(), document(20, "en", words=8), *(document(n, "nl") for n in range(3))]
    facts = heldout_items("continuation", documents, 30, 1, SHAPE).facts
    assert facts == {
        "documents": 40, "too_short": 1, "languages_with_too_few": ["nl"], "without_other_continuations": 0
    }  # fmt: skip


def test_documents_that_all_say_the_same_give_no_item() -> None:
    same = [HeldoutDocument(f"d{n}", "s", "en", "la " * 40) for n in range(8)]
    with pytest.raises(UsageError, match=r"no item can be made .*'without_other_continuations': 8.*heldout_frac"):
        heldout_items("continuation", same, 8, 1, SHAPE)


def test_beginnings_are_whole_words_of_the_documents() -> None:
    items = heldout_items("perplexity", corpus(), 6, 1, SHAPE).items
    assert all(len(item.pairs[0].continuation.split()) == 5 and item.pairs[0].context == "" for item in items)


def test_a_runs_held_out_documents_are_read(finished_run: Path) -> None:
    documents = list(read_heldout(finished_run / "documents"))
    assert {one.source for one in documents} >= {"chatterbot.en", "three-js.en"}
    assert all(one.text and one.language in ("de", "en", "fr") for one in documents)
