from collections.abc import Callable
from typing import Any

import pytest

from pellucid.core.errors import EndpointError, UsageError
from pellucid.evals.needle.gauge import ask, gauge
from pellucid.evals.subject import Decoding

SAMPLE = "The ship went out. " * 300


def test_auto_takes_the_chat_format_where_there_is_one(searcher: Callable[..., Any]) -> None:
    assert gauge(searcher(has_chat=True), "auto", SAMPLE).style == "chat"
    assert gauge(searcher(has_chat=True), "complete", SAMPLE).style == "complete"
    assert gauge(searcher(), "auto", SAMPLE).style == "complete"
    with pytest.raises(UsageError, match="no chat format"):
        gauge(searcher(), "chat", SAMPLE)


def test_tokens_are_counted_by_the_model_with_those_of_its_format_beside(searcher: Callable[..., Any]) -> None:
    subject = searcher(has_chat=True)
    measured = gauge(subject, "auto", SAMPLE)
    assert measured.around_tokens == 11
    assert measured.count(SAMPLE) == subject.count_tokens(SAMPLE)
    assert gauge(searcher(), "auto", SAMPLE).around_tokens == 0


def test_a_count_that_stops_is_an_error_and_never_an_estimate(searcher: Callable[..., Any]) -> None:
    subject = searcher()
    measured = gauge(subject, "auto", SAMPLE)
    assert measured.guess(subject.count_tokens(SAMPLE)) == pytest.approx(len(SAMPLE), rel=0.01)
    subject.tells_tokens = False
    with pytest.raises(EndpointError, match="no longer tells"):
        measured.count("a")


def test_a_model_that_does_not_count_is_measured_by_what_it_says_it_read(searcher: Callable[..., Any]) -> None:
    measured = gauge(searcher(tells_tokens=False), "auto", SAMPLE)
    real = searcher().count_tokens(SAMPLE)
    assert measured.characters_per_token == pytest.approx(len(SAMPLE) / real, rel=0.01)
    assert measured.count(SAMPLE) == pytest.approx(real, rel=0.01)


def test_both_styles_ask_every_prompt(searcher: Callable[..., Any]) -> None:
    for style in ("complete", "chat"):
        subject = searcher(has_chat=True)
        answers = ask(subject, style, ["The sky is grey. Question: sky?", "Fish swim. Question: fish?"], Decoding())
        assert len(answers) == len(subject.asked) == 2
