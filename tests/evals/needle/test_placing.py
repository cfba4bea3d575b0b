from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.evals.needle.haystack import load_haystack, sentence_starts
from pellucid.evals.needle.placing import Frame, Plot, fit
from pellucid.tokenizer.training import train_bpe

TEXT = load_haystack(None, Path()).ordered(1, 0)
NEEDLE = "The locker at the Ghent station opens with the word comet and the number 60317."
BPE = train_bpe([TEXT[:40_000]], 600)
COUNTERS: dict[str, Callable[[str], int]] = {
    "characters": len,
    "words": lambda text: len(text.split()),
    "bpe": lambda text: len(BPE.encode(text)),
}
FRAME = Frame("Text: ", "\n\nQuestion: Which word?\nAnswer:")


@pytest.mark.parametrize("name", COUNTERS)
@pytest.mark.parametrize("tokens", [120, 500, 1333])
def test_every_prompt_has_its_exact_length_and_the_needle_once_between_two_sentences(name: str, tokens: int) -> None:
    count, plot = COUNTERS[name], Plot(TEXT, FRAME, NEEDLE)
    starts, before = set(sentence_starts(TEXT)), -1.0
    for step in range(9):
        buried = plot.bury(tokens, step / 8, count)
        assert buried is not None
        assert count(buried.prompt) == buried.tokens == tokens
        assert buried.prompt.count(NEEDLE) == 1
        at = buried.prompt.index(NEEDLE)
        assert at - len(FRAME.before) in starts
        whole = buried.prompt.removeprefix(FRAME.before).removesuffix(FRAME.after).replace(NEEDLE + " ", "")
        assert TEXT.startswith(whole)
        # The depth grows, and is where it was asked for but for the rest of a sentence.
        assert buried.place <= step / 8
        assert (step / 8 - buried.place) * buried.characters < 700
        offset = round(buried.place * buried.characters)
        assert offset >= before
        before = offset
    assert before > 0 or tokens == 120  # there, one sentence may be all


@given(st.integers(100, 900), st.floats(0, 1), st.lists(st.floats(0, 1), max_size=4))
def test_distractors_stand_in_the_text_once_as_well(tokens: int, depth: float, shares: list[float]) -> None:
    others = [(share, f"The archive of town {number} keeps it.") for number, share in enumerate(shares)]
    buried = Plot(TEXT, FRAME, NEEDLE, others).bury(tokens, depth, COUNTERS["words"])
    assert buried is not None
    assert buried.tokens == tokens
    assert all(buried.prompt.count(sentence) == 1 for sentence in [NEEDLE, *(sentence for _, sentence in others)])


def test_a_good_guess_needs_few_counts() -> None:
    asked: list[int] = []

    def count(text: str) -> int:
        asked.append(len(text))
        return len(text.split())

    plot = Plot(TEXT, FRAME, NEEDLE)
    first = plot.bury(500, 0.5, count)
    assert first is not None
    asked.clear()
    again = plot.bury(500, 0.5, count, first.characters)
    assert again == first and len(asked) == 1


def test_a_text_that_is_too_short_gives_nothing_and_a_length_without_room_is_an_error() -> None:
    plot = Plot(TEXT[:3000], FRAME, NEEDLE)
    assert plot.bury(2000, 0.5, COUNTERS["words"]) is None
    least = plot.least(COUNTERS["words"])
    assert least == len(f"{FRAME.before}{NEEDLE}{FRAME.after}".split())
    assert plot.bury(least, 0.5, COUNTERS["words"]) is not None
    with pytest.raises(ValueError, match=f"{least} tokens stand around"):
        plot.bury(least - 1, 0.5, COUNTERS["words"])


@given(st.lists(st.sampled_from([-1, 0, 0, 0, 1, 1, 2]), min_size=1, max_size=300), st.integers(0, 200), st.integers(-5, 400))
def test_a_cut_is_exact_or_the_nearest_below_in_sizes_that_hardly_grow(steps: list[int], target: int, guess: int) -> None:
    sizes = [0]
    for step in steps:
        sizes.append(max(0, sizes[-1] + step))
    found = fit(sizes.__getitem__, target, guess, len(steps))
    if found is None:
        assert sizes[-1] < target
    else:
        at, tokens = found
        assert sizes[at] == tokens <= target
        assert tokens == target or sizes[at + 1] > target


def test_a_number_that_no_cut_gives_becomes_the_nearest_below() -> None:
    assert fit(lambda n: 3 * n, 10, 7, 100) == (3, 9)
    assert fit(lambda n: n, 50, 1, 40) is None
