import pytest

from pellucid.conversations.turns import UnfitError, content_of, role_of, transcript, turns

ASKED = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]


@pytest.mark.parametrize(
    "value",
    [
        [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So.", "weight": 1}],
        [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}],
        [{"from": " Human ", "value": "Why?"}, {"from": "ChatGPT", "value": "So."}],
        [{"role": None, "content": None, "from": "human", "value": "Why?"}, {"role": "assistant", "content": "So."}],
        [{"input": "Why?", "output": "So."}],
        ["Why?", "So."],
        {"from": ["human", "gpt"], "value": ["Why?", "So."]},
        '[{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]',
        [{"role": "user", "content": [{"type": "text", "text": "Wh"}, {"type": "text", "text": "y?"}]}, ASKED[1]],
    ],
)
def test_every_layout_of_turns_gives_the_same_messages(value: object) -> None:
    assert turns(value) == ASKED


def test_names_of_the_recipes_choice_come_first() -> None:
    assert turns([{"who": "prompter", "said": "Hi", "role": "assistant"}], "who", "said") == [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        ("Just a text.", "not of its shape", "has a text where a list"),
        (7, "not of its shape", "has a int"),
        ([7], "not of its shape", "int as turn 1"),
        ([{"text": "Hi"}], "not of its shape", "no 'role' in turn 1, only text"),
        ({"from": ["human"], "value": ["a", "b"]}, "not of its shape", r"mapping \(from, value\)"),
        ([{"role": "tool", "content": "42"}], "unknown role", "'tool'; known are system"),
        ([{"role": "user", "content": {"a": 1}}], "content is not text", "dict"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "content is not text", "list"),
    ],
)
def test_what_is_no_list_of_turns_says_what_it_is(value: object, reason: str, detail: str) -> None:
    with pytest.raises(UnfitError, match=detail) as error:
        turns(value)
    assert error.value.reason == reason


def test_no_content_is_an_empty_one_and_a_role_is_a_text() -> None:
    assert content_of(None) == ""
    with pytest.raises(UnfitError, match="the role None"):
        role_of(None)


def test_a_transcript_is_split_at_its_speakers_and_nothing_else_is_one() -> None:
    text = "\n\nHuman: Why?\n\nAssistant: So.\n\nAnd so: on.\n\nHuman: Oh\n\nAssistant: "
    assert transcript(text) == [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "So.\n\nAnd so: on."},
        {"role": "user", "content": "Oh"},
        {"role": "assistant", "content": ""},
    ]
    assert transcript("Human: beings are strange") is None
    assert transcript("The Human: a film.\n\nAssistant: none") is None
