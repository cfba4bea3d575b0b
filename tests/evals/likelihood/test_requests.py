import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.errors import DataError, UsageError
from pellucid.evals.likelihood.requests import encode_pair, encode_rolling, make_requests
from pellucid.evals.subject import Pair


def by_word(text: str) -> list[int]:
    """A blank belongs to the word behind it, as in most vocabularies; ids are 100 and up."""
    words, word = [], ""
    for character in text:
        if character == " " and word.strip():
            words.append(word)
            word = ""
        word += character
    return [100 + sum(map(ord, word)) % 900 for word in [*words, word] if word]


def test_a_blank_that_ends_the_context_goes_with_the_continuation() -> None:
    assert encode_pair(Pair("the cat ", "sat"), by_word, 0) == encode_pair(Pair("the cat", " sat"), by_word, 0)
    assert encode_pair(Pair("the cat", " sat"), by_word, 0) == (by_word("the cat"), by_word(" sat"))


def test_an_empty_context_is_the_beginning_of_a_text() -> None:
    assert encode_pair(Pair("", "the cat"), by_word, 0) == ([0], by_word("the cat"))
    assert encode_pair(Pair("", "the cat"), by_word, by_word("the")[0]) == (by_word("the"), by_word(" cat"))


def test_a_continuation_that_melts_into_the_context_is_scored_by_itself() -> None:
    def melting(text: str) -> list[int]:
        return [1] if text == "ab" else [ord(character) for character in text]

    assert encode_pair(Pair("a", "b"), melting, 0) == ([97], [98])


def test_an_empty_continuation_is_refused() -> None:
    with pytest.raises(DataError, match="empty"):
        encode_pair(Pair("the cat", ""), by_word, 0)


def test_what_does_not_fit_is_cut_off_at_the_beginning_and_counted() -> None:
    (request,) = make_requests([1, 2, 3, 4], [5, 6], 4)
    assert request.inputs == (2, 3, 4, 5)
    assert request.targets == (5, 6)
    assert request.dropped == 1
    assert make_requests([1, 2, 3], [4, 5], 4)[0].dropped == 0
    assert make_requests([1], [2, 3, 4, 5], 4)[0].inputs == (1, 2, 3, 4)


def test_a_continuation_longer_than_the_context_is_read_in_windows_after_its_contexts_last_token() -> None:
    first, second = make_requests([7, 8, 1], [2, 3, 4, 5, 6], 4)
    assert (first.inputs, first.targets, first.dropped) == ((1, 2, 3, 4), (2, 3, 4, 5), 2)
    assert (second.inputs, second.targets, second.dropped) == ((2, 3, 4, 5), (6,), 0)
    with pytest.raises(UsageError, match="at least one"):
        make_requests([], [1], 4)


@given(st.integers(1, 40), st.integers(1, 12))
def test_windows_score_each_token_once_with_as_much_before_it_as_fits(tokens: int, context_tokens: int) -> None:
    ids = list(range(1, tokens + 1))
    requests = encode_rolling(ids, 0, context_tokens)
    assert [target for request in requests for target in request.targets] == ids
    for request in requests:
        assert len(request.inputs) <= context_tokens
        whole = [0, *ids]
        start = whole.index(request.inputs[0])
        assert whole[start : start + len(request.inputs)] == list(request.inputs)
        assert request.targets[-1] == request.inputs[-1] + 1
        assert start == 0 or len(request.inputs) == context_tokens


@given(st.integers(1, 60), st.integers(2, 12))
def test_windows_are_those_of_lm_eval(tokens: int, context_tokens: int) -> None:
    utils = pytest.importorskip("lm_eval.utils")
    ids = list(range(1, tokens + 1))
    theirs = [
        utils.make_disjoint_window(window)
        for window in utils.get_rolling_token_windows(token_list=ids, prefix_token=0, max_seq_len=context_tokens, context_len=1)
    ]
    ours = encode_rolling(ids, 0, context_tokens)
    assert [(tuple([*context, *wanted][:-1]), tuple(wanted)) for context, wanted in theirs] == [
        (request.inputs, request.targets) for request in ours
    ]
