import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.errors import PellucidWarning
from pellucid.tokenizer.checked import CheckedEncoder, join_rows


class Slow:
    """A token is a character's code point."""

    def encode(self, text: str) -> list[int]:
        return [ord(char) for char in text]


class Fast:
    """The same, except that it does not know one letter."""

    def __init__(self, wrong: str = "") -> None:
        self.wrong, self.seen = wrong, []

    def encode_batch(self, texts: list[str], threads: int) -> tuple[np.ndarray, np.ndarray]:
        self.seen += texts
        return join_rows([[ord(char) if char != self.wrong else 0 for char in text] for text in texts])


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@given(texts=st.lists(TEXT | st.sampled_from(["q", "aq", "\u088f"]), max_size=8))
def test_texts_that_are_left_to_the_reference_come_back_in_their_places(texts: list[str]) -> None:
    fast = Fast("q")
    encoder = CheckedEncoder(Slow(), lambda: fast, ("fast", "slow"), probe=("a", "q"), leave=lambda text: "q" in text)
    ids, offsets = encoder.encode_batch(texts)
    assert [ids[start:end].tolist() for start, end in pairwise(offsets)] == [Slow().encode(t) for t in texts]
    assert encoder.is_fast and not any("q" in text or "\u088f" in text for text in fast.seen)


def test_a_difference_on_the_probe_or_on_the_first_texts_gives_the_fast_one_up() -> None:
    with pytest.warns(PellucidWarning, match="fast gives other ids than slow on the probe texts; encoding goes on with slow"):
        assert not CheckedEncoder(Slow(), lambda: Fast("q"), ("fast", "slow"), probe=("q",)).is_fast
    encoder = CheckedEncoder(Slow(), lambda: Fast("q"), ("fast", "slow"), probe=("a",))
    with pytest.warns(PellucidWarning, match="on the first texts"):
        assert encoder.encode_batch(["a", "bq"])[0].tolist() == [*map(ord, "abq")]
    assert not encoder.is_fast


def test_without_a_fast_encoder_nothing_is_said() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder = CheckedEncoder(Slow(), None, ("", "slow"))
        assert encoder.encode_batch(["ab"])[0].tolist() == [97, 98] and not encoder.is_fast


def test_one_that_cannot_be_opened_is_told_with_its_reason() -> None:
    def fail() -> Fast:
        raise OSError("no tables")

    with pytest.warns(PellucidWarning, match=r"fast cannot be used \(OSError: no tables\)"):
        CheckedEncoder(Slow(), fail, ("fast", "slow"))
