from pathlib import Path

import pytest

from pellucid.conversations.self_knowledge import Question, Shot, fold, load_self_knowledge
from pellucid.core.errors import RecipeError

SHIPPED = Path(__file__).parents[2] / "recipes" / "self_knowledge.yaml"

SMALL = """
facts: {name: Ada, maker: "the {x} club"}
first_messages: [Hello, What is up, "I am {name}, and you", Why]
shots:
  - {question: "Are you {name}?", answer: "Yes, {name} by {maker}, {{really}}."}
heldout:
  - {question: "So your name is?", expect: ["{name}", nobody]}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "me.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_facts_are_filled_in_everywhere_once(tmp_path: Path) -> None:
    known = load_self_knowledge(written(tmp_path, SMALL))
    assert known.shots == (Shot("Are you Ada?", "Yes, Ada by the {x} club, {really}."),)
    assert known.first_messages[2] == "I am Ada, and you"
    assert known.heldout == (Question("So your name is?", ("Ada", "nobody")),)
    assert known.shots[0].turns == [
        {"role": "user", "content": "Are you Ada?"},
        {"role": "assistant", "content": "Yes, Ada by the {x} club, {really}."},
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{name} by", "{nam} by", r"shots\[0\].answer +\{nam\} is not among the facts\n.*did you mean \{name\}"),
        ("{{really}}", "{really", "shots.0..answer"),
        ("{maker}", "{maker!r}", "no plain name"),
        ("{maker}", "{0}", r"\{0\} is not among the facts"),
        ("So your name is?", "are you  ADA", r"heldout\[0\].question +asks the same as shots\[0\]"),
        ("So your name is?", "hello!", r"asks the same as first_messages\[0\]"),
        ('expect: ["{name}", nobody]', "expect: []", r"heldout\[0\].expect"),
        ('heldout:\n  - {question: "So your name is?", expect: ["{name}", nobody]}', "heldout: []", "heldout"),
        ("facts: {name: Ada", "facts: {name: ' '", "facts.name +is empty"),
        ("first_messages", "first_message", "first_message +unknown key"),
        ("facts:", "facts: [", "not YAML"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = SMALL.replace(old, new)
    assert text != SMALL
    with pytest.raises(RecipeError, match=message):
        load_self_knowledge(written(tmp_path, text))


def test_several_problems_are_shown_at_once_and_a_missing_file_is_named(tmp_path: Path) -> None:
    text = SMALL.replace("{name} by {maker}", "{one} by {two}").replace("So your name is?", "{three}?")
    with pytest.raises(RecipeError) as caught:
        load_self_knowledge(written(tmp_path, text))
    assert len(caught.value.problems) == 3
    with pytest.raises(RecipeError, match=r"none.yaml\n.*does not exist"):
        load_self_knowledge(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"facts: {name: \xe9}")
    with pytest.raises(RecipeError, match="not UTF-8"):
        load_self_knowledge(tmp_path / "latin.yaml")
    with pytest.raises(RecipeError, match="must be a mapping"):
        load_self_knowledge(written(tmp_path, "- a list"))


def test_an_answer_is_right_when_it_holds_an_expected_text_as_whole_words() -> None:
    question = Question("?", ("Ada", "no one", "日本"))
    assert (
        question.is_answered_by("I am ADA.")
        and question.is_answered_by("It is no\n  one, sir")
        and question.is_answered_by("私は日本から")
    )
    assert (
        not question.is_answered_by("An Adamant armada")
        and not question.is_answered_by("no-one")
        and not question.is_answered_by("")
    )
    assert Question("?", ("Größe",)).is_answered_by("die GRÖSSE, bitte")


def test_texts_are_compared_without_case_width_and_white_space() -> None:
    assert fold(" Ｈello\tWORLD\n") == "hello world"


def test_the_shipped_file_is_whole_and_every_heldout_answer_is_in_some_shot() -> None:
    known = load_self_knowledge(SHIPPED)
    assert 30 <= len(known.shots) <= 60 and len(known.heldout) >= 20 and known.facts["name"] == "Pellucid Pocket"
    for question in known.heldout:
        assert any(question.is_answered_by(shot.answer) for shot in known.shots), question
    assert len({fold(shot.question) for shot in known.shots}) == len(known.shots)
