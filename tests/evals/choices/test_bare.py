import pytest

from pellucid.evals.choices.bare import bare_question


@pytest.mark.parametrize(
    ("shown", "fields"),
    [
        ("Question: Why is it hot?\nAnswer:", {"question": "Why is it hot?"}),
        ("Q: Why?\n\nA: ", {"question": "Why?"}),
        ("A man sits. he", {"question": "A man sits. he"}),
        ("The answer: none\nof them", {"question": "The answer: none\nof them"}),
        ("Passage: It was.\nLong ago.\nQuestion: was it?\nAnswer:", {"passage": "It was.\nLong ago.", "question": "was it?"}),
        ("Passage: by a poet", {"question": "Passage: by a poet"}),
        ("Question:", {"question": ""}),
    ],
)  # fmt: skip
def test_what_a_prompt_puts_around_a_question_goes(shown: str, fields: dict[str, str]) -> None:
    assert bare_question(shown) == fields
