"""A record of a benchmark → the texts by which a document that holds it is recognised."""

from pellucid.documents.decontamination.items import Item, make_item


def test_question_choices_and_other_fields_are_told_apart_and_labels_in_front_are_no_part_of_a_question() -> None:
    record = {"query": "Question: Which animal lays eggs?", "choices": ["the hen", "the cow"], "gold": 0, "why": "Hens are birds."}
    item = make_item("sets/farm", 7, record, 13)
    assert item == Item(
        "sets/farm",
        7,
        (
            "Which animal lays eggs?",
            "Which animal lays eggs? the hen",
            "Which animal lays eggs? the cow",
            "Which animal lays eggs? the hen the cow",
            "Which animal lays eggs? A. the hen B. the cow",
        ),
        ("the hen", "the cow", "Hens are birds."),
    )


def test_of_a_long_question_only_the_end_is_repeated_before_each_choice() -> None:
    question = " ".join(f"word{number}" for number in range(40))
    item = make_item("b", 0, {"question": question, "choice0": "yes", "choice1": "no"}, 13)
    assert item is not None
    assert item.questions[0] == question
    assert item.questions[1] == " ".join(f"word{number}" for number in range(27, 40)) + " yes"


def test_choices_inside_an_object_count_without_their_labels() -> None:
    item = make_item("arc", 0, {"question": "Why?", "choices": {"text": ["so", "thus"], "label": ["A", "B"]}}, 13)
    assert item is not None
    assert item.answers == ("so", "thus")


def test_a_record_without_a_field_of_known_name_is_all_question_and_one_without_text_is_none() -> None:
    assert make_item("b", 0, {"pregunta": "¿Por qué?", "n": 3}, 13) == Item("b", 0, ("¿Por qué?",))
    assert make_item("b", 0, {"question": " ", "gold": 2, "source": "https://example.org/a-page"}, 13) is None


def test_turns_of_a_conversation_are_questions() -> None:
    assert make_item("mt", 0, {"question_id": 81, "turns": ["Write a poem.", "Now rhyme it."]}, 13) == Item(
        "mt", 0, ("Write a poem.", "Now rhyme it.")
    )
