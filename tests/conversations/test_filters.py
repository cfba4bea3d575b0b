from typing import Any

import pytest

from pellucid.conversations.filters import sift
from pellucid.conversations.shapes import Candidate
from pellucid.conversations.turns import Messages, UnfitError
from pellucid.recipe.conversations import ConversationConfig


def config(**values: Any) -> ConversationConfig:
    return ConversationConfig(name="talks", path="a.jsonl", **values)


def talk(*turns: str) -> Messages:
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return [{"role": roles[turn[0]], "content": turn[1:].lstrip(":")} for turn in turns]


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ((), "no answer"),
        (("u:Q",), "no answer"),
        (("s:S", "u:Q"), "no answer"),
        (("a:A",), "the assistant speaks first"),
        (("s:S", "a:A", "u:Q", "a:A"), "the assistant speaks first"),
        (("u:Q", "u:Q", "a:A"), "roles out of order"),
        (("u:Q", "a:A", "a:A"), "roles out of order"),
        (("s:S", "s:S", "u:Q", "a:A"), "two system messages"),
        (("u:Q", "s:S", "a:A"), "system message is not the first"),
        (("u: ", "a:A"), "empty question"),
        (("u:Q", "a:\n"), "empty answer"),
        (("u:Q", "a:A", "u:Q", "a:A", "u:Q", "a:A"), "more than max_turns"),
    ],
)
def test_what_is_no_conversation_is_dropped_by_reason(turns: tuple[str, ...], reason: str) -> None:
    with pytest.raises(UnfitError) as error:
        sift(Candidate(talk(*turns)), config(max_turns=4))
    assert error.value.reason == reason


def test_what_follows_the_last_answer_is_cut_off_and_does_not_count_as_a_turn() -> None:
    kept, edits = sift(Candidate(talk("s:S", "u:Q", "a:A", "u:thanks", "u:bye")), config(max_turns=2))
    assert kept.messages == talk("s:S", "u:Q", "a:A")
    assert edits == ["what follows the last answer was cut off"]


def test_an_empty_system_message_is_none() -> None:
    assert sift(Candidate(talk("s:  ", "u:Q", "a:A")), config()) == (
        Candidate(talk("u:Q", "a:A")),
        ["an empty system message was left out"],
    )


def pair(chosen: Messages, rejected: Messages, *scores: float | None) -> Candidate:
    return Candidate(chosen, rejected, *(scores or (None, None)))


GOOD, BAD = talk("u:Q", "a:good"), talk("u:Q", "a:bad")


@pytest.mark.parametrize(
    ("candidate", "values", "reason"),
    [
        (pair(GOOD, talk("u:Q", "a: good\n")), {}, "chosen and rejected are equal"),
        (pair(GOOD, talk("u:P", "a:bad")), {}, "chosen and rejected have different prompts"),
        (pair(GOOD, talk("s:S", "u:Q", "a:bad")), {}, "chosen and rejected have different prompts"),
        (pair(GOOD, BAD, 7.0, 7.0), {}, "tied scores"),
        (pair(GOOD, BAD, 6.0, 7.0), {}, "rejected score is higher"),
        (pair(GOOD, BAD, 6.0, 7.0), {"drop_ties": False}, "rejected score is higher"),
        (pair(GOOD, BAD, 7.9, 1.0), {"min_chosen_score": 8}, "chosen score under min_chosen_score"),
        (pair(GOOD, BAD, None, 1.0), {"min_chosen_score": 8}, "chosen score missing"),
        (pair(GOOD, talk("u:Q", "a: ")), {}, "empty answer"),
        (pair(talk("u:Q"), BAD), {}, "no answer"),
    ],
)
def test_what_is_no_preference_is_dropped_by_reason(candidate: Candidate, values: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnfitError) as error:
        sift(candidate, config(**values))
    assert error.value.reason == reason


@pytest.mark.parametrize(
    ("scores", "values"),
    [((None, None), {}), ((7.0, None), {}), ((7.0, 7.0), {"drop_ties": False}), ((8.0, None), {"min_chosen_score": 8})],
)
def test_a_preference_stays_with_its_scores(scores: tuple[float | None, float | None], values: dict[str, Any]) -> None:
    candidate = pair(GOOD, BAD, *scores)
    assert sift(candidate, config(**values)) == (candidate, [])


def test_prompts_that_differ_in_blanks_become_the_chosen_one() -> None:
    kept, _ = sift(pair(GOOD, talk("u:Q\n", "a:bad")), config())
    assert kept.rejected == BAD
