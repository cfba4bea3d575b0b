import pytest

from pellucid.evals.reflection.recognition import recognises


@pytest.mark.parametrize(
    "text",
    [" that's wrong, 9 * 2 = 18.", "I made a mistake.", " it should be 9", " let me check", "Actually, 9.", "That is not right"],
)
def test_words_of_correction_are_seen(text: str) -> None:
    assert recognises(text)


@pytest.mark.parametrize("text", ["The answer is 18.", " dollars for them: 9 * 2 = 18.", "right, 18", "terror", ""])
def test_going_on_is_not_taken_for_it(text: str) -> None:
    assert not recognises(text)
