import pytest

from pellucid.core.errors import DataError
from pellucid.documents.decontamination.items import make_item
from pellucid.evals.choices.item import Item, choice_item, closing_item, schema_item, text_item


def test_a_choice_is_joined_to_its_context_by_one_space_unless_one_of_them_has_white_space() -> None:
    assert [pair.continuation for pair in choice_item("0", "It is", ["hot", " cold", "\nwet"], 0).pairs] == [
        " hot", " cold", "\nwet"
    ]  # fmt: skip
    assert choice_item("0", "It is ", ["hot", "cold"], 0).pairs[0].continuation == "hot"
    assert choice_item("0", "今天", ["热", "冷"], 0, delimiter="").pairs[0].continuation == "热"


def test_lengths_are_of_the_choice_alone_and_the_answers_bytes_are_of_what_is_scored() -> None:
    item = choice_item("0", "Es ist", ["heiß", "kalt"], 0)
    assert item.lengths == ((4, 5), (4, 4))
    assert item.answer_bytes == 6


def test_a_schema_has_one_continuation_and_several_contexts() -> None:
    item = schema_item("0", ["because it", "because he"], "slept.", 1)
    assert [tuple(pair) for pair in item.pairs] == [("because it", " slept."), ("because he", " slept.")]
    assert item.lengths == ((6, 6), (6, 6))


@pytest.mark.parametrize("label", [-1, 2, 7])
def test_a_label_that_names_no_choice_is_refused_with_the_limit(label: int) -> None:
    with pytest.raises(DataError, match=rf"label is {label}; with 2 choices it must lie between 0 and 1"):
        choice_item("0", "It is", ["hot", "cold"], label)


@pytest.mark.parametrize(
    ("choices", "told"), [([], "0 choices"), (["hot"], "1 choices"), (["hot", ""], "number 1 of its choices is empty")]
)
def test_what_is_no_question_is_refused(choices: list[str], told: str) -> None:
    with pytest.raises(DataError, match=told):
        choice_item("0", "It is", choices, 0)


def test_nothing_to_score_is_refused() -> None:
    for make in (lambda: closing_item("0", "a", ""), lambda: text_item("0", ""), lambda: schema_item("0", ["a", "b"], "", 0)):
        with pytest.raises(DataError, match="empty"):
            make()


def test_an_item_survives_json() -> None:
    for item in (choice_item("a:1", "It is", ["heiß", "kalt"], 1, "de"), closing_item("2", "a", "b"), text_item("3", "x y", "en")):
        assert Item.from_json(item.to_json()) == item


def test_the_digest_follows_what_is_shown_and_where_it_is_cut() -> None:
    prompts = {closing_item("0", *pair).prompt for pair in (("a b", "c"), ("a", "b c"), ("a b", "d"))}
    assert len(prompts) == 3


def test_the_text_is_the_item_as_documents_hold_it_and_as_the_look_up_reads_it() -> None:
    arc = choice_item("0", "Question: Why is it hot?\nAnswer:", ["sun", "ice"], 1)
    assert arc.text == {"question": "Why is it hot?", "choices": ["sun", "ice"], "answer": "ice"}
    boolq = choice_item("0", "Passage: A bell.\nQuestion: is it new?\nAnswer:", ["no", "yes"], 0)
    assert boolq.text == {"passage": "A bell.", "question": "is it new?", "choices": ["no", "yes"], "answer": "no"}
    found = make_item("boolq", 0, boolq.text, 8)
    assert found is not None and {"A bell.", "is it new?"} <= set(found.questions) and set(found.answers) == {"no", "yes"}
    assert schema_item("0", ["because it", "because he"], "slept.", 1).text == {"question": "because he", "answer": "slept."}
    assert closing_item("0", "the ca", "t", delimiter="").text == "the cat" and text_item("0", "x y").text == "x y"
