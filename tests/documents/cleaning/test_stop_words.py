from pellucid.documents.cleaning.stop_words import STOP_WORDS
from pellucid.documents.cleaning.tokens import OWN_RULES


def test_each_language_has_different_small_words_in_lower_case() -> None:
    assert tuple(sorted(STOP_WORDS)) == OWN_RULES
    for words in STOP_WORDS.values():
        assert len(set(words)) == len(words) >= 8
        assert all(word == word.lower() and word.isalpha() and len(word) <= 5 for word in words)
