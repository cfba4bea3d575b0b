import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.conversations.encode import fit, fit_example
from pellucid.conversations.store import Encoded
from pellucid.conversations.turns import Messages, UnfitError


def encode(messages: Messages, last_only: bool) -> Encoded:
    """A byte is an id, one begins and one ends each message; answers and their ends are targets."""
    ids, targets = [0], [False]
    for number, one in enumerate(messages):
        data = one["content"].encode()
        learnt = one["role"] == "assistant" and (not last_only or number == len(messages) - 1)
        ids += [1, *data, 2, 3]
        targets += [False, *[learnt] * (len(data) + 1), False]
    return Encoded(ids, targets)


def talk(*contents: str) -> Messages:
    return [{"role": ("user", "assistant")[n % 2], "content": content} for n, content in enumerate(contents)]


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 35))
def test_a_sequence_that_fits_ends_with_a_target_and_lost_only_what_does_not_fit(targets: list[bool], limit: int) -> None:
    fitted = fit(Encoded(list(range(len(targets))), targets), limit)
    if fitted is None:
        assert not any(targets[1:limit])
        return
    (ids, kept), cut_tokens = fitted
    assert list(ids) == list(range(len(ids)))
    assert list(kept) == targets[: len(kept)]
    assert kept[-1] and len(ids) <= limit
    assert any(kept[1:]), "something is predicted from what comes before it"
    whole = max(index + 1 for index, target in enumerate(targets) if target)
    assert len(ids) + cut_tokens == whole, "only what teaches counts as cut off"
    if whole <= limit:
        assert cut_tokens == 0
    else:
        assert not any(targets[len(ids) : limit]), "no target that fits is cut off"


def test_an_answer_that_is_too_long_is_cut_and_one_that_begins_too_late_leaves_the_one_before() -> None:
    messages = talk("abc", "defg", "hij", "klm")
    first = len(encode(messages[:2], False).ids) - 1
    second = len(encode(messages[:3], False).ids) + 1
    assert [
        len(fit_example(messages, None, encode, limit)[0].encoded.ids) for limit in (100, second + 2, second, first, first - 2)
    ] == [
        second + 4,
        second + 2,
        first,
        first,
        first - 2,
    ]


def test_only_the_last_answer_of_a_pair_is_learnt() -> None:
    chosen, rejected = fit_example(talk("a", "b", "c", "good"), talk("a", "b", "c", "bad"), encode, 100)
    assert bytes(i for i, t in zip(*chosen.encoded, strict=True) if t) == b"good\x02"
    assert bytes(i for i, t in zip(*rejected.encoded, strict=True) if t) == b"bad\x02"


def test_an_example_without_a_target_or_a_difference_in_the_context_is_none() -> None:
    with pytest.raises(UnfitError, match="has 11 tokens, and no answer within 5") as error:
        fit_example(talk("abcd", ""), None, encode, 5)
    assert error.value.reason == "nothing left within the context"
    with pytest.raises(UnfitError, match="differs only after 8 tokens") as error:
        fit_example(talk("a", "same good"), talk("a", "same bad"), encode, 8)
    assert error.value.reason == "chosen and rejected are equal within the context"
    with pytest.raises(UnfitError, match="no answer within 4"):
        fit_example(talk("abcd", "good"), talk("abcd", "bad"), encode, 4)
