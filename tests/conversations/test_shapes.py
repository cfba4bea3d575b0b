from typing import Any

import pytest

from pellucid.conversations.shapes import FIELDS, Candidate, ReadShape, tell_shape
from pellucid.conversations.turns import UnfitError
from pellucid.core.errors import DataError
from pellucid.recipe.conversations import ConversationConfig


def source(**values: Any) -> ConversationConfig:
    return ConversationConfig(name="talks", path="a.jsonl", **values)


def said(*contents: str, system: str | None = None) -> list[dict[str, str]]:
    spoken = [{"role": ("user", "assistant")[n % 2], "content": content} for n, content in enumerate(contents)]
    return ([{"role": "system", "content": system}] if system else []) + spoken


def read(record: dict[str, Any], **values: Any) -> tuple[str, Candidate]:
    config = source(**values)
    shape = tell_shape(config, record, "a.jsonl:1")
    return shape, ReadShape(config, shape)(record)


TURNS = [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]
MESSAGES = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]

# The layouts of the data sets of the Stable LM 2 report's Table 6, and of others that many use: names of fields only are theirs.
PUBLISHED = [
    ("ultrachat_200k", {"prompt": "Q", "prompt_id": "1", "messages": MESSAGES}, "messages", said("Q", "A")),
    ("WizardLM_evol_instruct_V2", {"idx": "1", "conversations": TURNS}, "sharegpt", said("Q", "A")),
    ("WizardLM_evol_instruct_70k", {"instruction": "Q", "output": "A"}, "alpaca", said("Q", "A")),
    (
        "SlimOrca-Dedup",
        {"conversations": [{"from": "system", "value": "S", "weight": None}, {**TURNS[0], "weight": 0.0}, TURNS[1]]},
        "sharegpt",
        said("Q", "A", system="S"),
    ),
    ("openchat_sharegpt4", {"id": "x", "items": TURNS}, "sharegpt", said("Q", "A")),
    ("Capybara", {"source": "s", "conversation": [{"input": "Q", "output": "A"}]}, "messages", said("Q", "A")),
    ("deita-10k", {"conversations": TURNS, "source": "s"}, "sharegpt", said("Q", "A")),
    ("MetaMathQA", {"query": "Q", "response": "A", "type": "GSM", "original_question": "O"}, "alpaca", said("Q", "A")),
    ("dolly-15k", {"instruction": "Q", "context": "C", "response": "A", "category": "x"}, "alpaca", said("Q\n\nC", "A")),
    ("alpaca", {"instruction": "Q", "input": "", "output": "A", "text": "T"}, "alpaca", said("Q", "A")),
    ("OpenOrca", {"system_prompt": "S", "question": "Q", "response": "A"}, "alpaca", said("Q", "A", system="S")),
    ("prompt and completion", {"prompt": MESSAGES[:1], "completion": MESSAGES[1:]}, "alpaca", said("Q", "A")),
]


@pytest.mark.parametrize(("record", "shape", "messages"), [row[1:] for row in PUBLISHED], ids=[row[0] for row in PUBLISHED])
def test_published_layouts_of_conversations_are_told_and_read(
    record: dict[str, Any], shape: str, messages: list[dict[str, str]]
) -> None:
    assert read(record) == (shape, Candidate(messages))


GOOD, BAD = said("Q", "good"), said("Q", "bad")
PAIRS: list[tuple[str, dict[str, Any], Candidate]] = [
    (
        "ultrafeedback_binarized",
        {"prompt": "Q", "chosen": GOOD, "rejected": BAD, "messages": GOOD, "score_chosen": 8.5, "score_rejected": 7},
        Candidate(GOOD, BAD, 8.5, 7.0),
    ),
    (
        "ultrafeedback-binarized-preferences",
        {
            "instruction": "Q",
            "chosen_response": "good",
            "rejected_response": "bad",
            "chosen_avg_rating": 5.0,
            "rejected_avg_rating": 2.0,
        },
        Candidate(GOOD, BAD, 5.0, 2.0),
    ),
    (
        "ultrafeedback-binarized-preferences-cleaned",
        {"prompt": "Q", "chosen": GOOD, "chosen-rating": 5.0, "rejected": BAD, "rejected-rating": "1.5"},
        Candidate(GOOD, BAD, 5.0, 1.5),
    ),
    (
        "orca_dpo_pairs",
        {"system": "S", "question": "Q", "chosen": "good", "rejected": "bad"},
        Candidate(said("Q", "good", system="S"), said("Q", "bad", system="S")),
    ),
    (
        "distilabel-intel-orca-dpo-pairs",
        {
            "system": "",
            "input": "Q",
            "chosen": "good",
            "rejected": "bad",
            "generations": ["bad", "good"],
            "rating": [3.0, 9.0],
            "chosen_score": 9.0,
        },
        Candidate(GOOD, BAD, 9.0, 3.0),
    ),
    (
        "hh-rlhf",
        {"chosen": "\n\nHuman: Q\n\nAssistant: good", "rejected": "\n\nHuman: Q\n\nAssistant: bad"},
        Candidate(GOOD, BAD),
    ),
    (
        "full-hh-rlhf",
        {"prompt": "\n\nHuman: Q\n\nAssistant:", "response": "good", "chosen": "good", "rejected": "bad"},
        Candidate(GOOD, BAD),
    ),
    ("answers as lists", {"prompt": GOOD[:1], "chosen": GOOD[1:], "rejected": BAD[1:]}, Candidate(GOOD, BAD)),
    (
        "ratings alone",
        {"prompt": "Q", "chosen": "good", "rejected": "bad", "ratings": [4, float("nan")]},
        Candidate(GOOD, BAD, 4.0, None),
    ),
]


@pytest.mark.parametrize(("record", "candidate"), [row[1:] for row in PAIRS], ids=[row[0] for row in PAIRS])
def test_published_layouts_of_pairs_are_told_and_read(record: dict[str, Any], candidate: Candidate) -> None:
    assert read(record) == ("pairs", candidate)


def test_an_answer_that_holds_the_question_keeps_the_system_prompt_of_what_was_asked() -> None:
    asked = said("Q", system="S")
    _, candidate = read({"prompt": asked, "chosen": GOOD, "rejected": said("Q", "bad", system="own")})
    assert candidate.messages == said("Q", "good", system="S")
    assert candidate.rejected == said("Q", "bad", system="own"), "its own comes first"
    _, candidate = read({"prompt": asked, "completion": MESSAGES})
    assert candidate.messages == said("Q", "A", system="S")


def test_an_answer_of_several_turns_goes_on_from_what_was_asked() -> None:
    for system in (None, "S"):
        good, bad = said("Q", "A", "more", "good", system=system), said("Q", "A", "more", "bad", system=system)
        asked, begin = said("Q", system=system), 1 + (system is not None)
        _, candidate = read({"prompt": asked, "chosen": good[begin:], "rejected": bad[begin:]})
        assert candidate == Candidate(good, bad)


def test_a_plain_prompt_is_answered_with_a_text_whatever_that_looks_like() -> None:
    play = "Human: hello\n\nAssistant: hello you"
    _, candidate = read({"prompt": "Write a play", "chosen": play, "rejected": "No."})
    assert candidate.messages == said("Write a play", play)
    _, candidate = read({"instruction": play, "output": "Nice."})
    assert candidate.messages == said(play, "Nice.")


def test_the_recipe_says_what_fields_are_called_even_inside_of_lists() -> None:
    record = {"name": "x", "instruction": "Q", "instances": [{"input": "C", "output": "A"}]}
    fields = {"input": "instances.0.input", "output": "instances.0.output"}
    assert read(record, fields=fields) == ("alpaca", Candidate(said("Q\n\nC", "A")))
    talk = {"talk": [{"who": "user", "said": "Q"}, {"who": "bot", "said": "A"}]}
    fields = {"messages": "talk", "role": "who", "content": "said"}
    assert read(talk, fields=fields) == ("messages", Candidate(said("Q", "A")))
    assert read({"talk": TURNS}, fields={"conversations": "talk"}) == ("sharegpt", Candidate(said("Q", "A")))
    assert read({"talk": TURNS}, fields={"messages": "talk"}) == ("messages", Candidate(said("Q", "A")))


def test_a_record_of_no_known_shape_is_told_with_its_fields() -> None:
    with pytest.raises(DataError, match=r"source 'talks': a.jsonl:1 has the fields 'text', 'chat', and no known shape. .*fields:"):
        tell_shape(source(), {"text": "T", "chat": "a text of that name"}, "a.jsonl:1")


def test_the_recipes_shape_is_taken_at_its_word_and_a_record_of_another_says_what_it_lacks() -> None:
    config = source(shape="alpaca")
    assert tell_shape(config, {"messages": []}, "a:1") == "alpaca"
    with pytest.raises(UnfitError, match="no 'instruction' or 'prompt' or 'question' or 'query', only 'messages'") as error:
        ReadShape(config, "alpaca")({"messages": []})
    assert error.value.reason == "not of its shape"
    with pytest.raises(UnfitError, match="nothing that was asked"):
        ReadShape(source(), "pairs")({"chosen": "a", "rejected": "b"})


def test_a_field_that_the_shape_has_not_cannot_be_renamed() -> None:
    with pytest.raises(DataError, match=r"fields renames output; records of shape pairs have prompt, chosen"):
        ReadShape(source(fields={"output": "x"}), "pairs")
    assert all("system" in fields for fields in FIELDS.values())
