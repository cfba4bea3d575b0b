import sys
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.excerpt import excerpt, in_words, one_line, visible


def test_what_steers_a_terminal_or_turns_text_round_is_shown_as_a_sign() -> None:
    assert visible("a\x1b[31mb\x07\x7f\x9b2J") == "a␛[31mb␇␡⟨U+009B⟩2J"
    assert visible("exe\u202egnp\u2069\ufeff") == "exe⟨U+202E⟩gnp⟨U+2069⟩⟨U+FEFF⟩"
    assert visible("tabs\tand\nlines stay; naïve 漢字 👩‍🚀") == "tabs\tand\nlines stay; naïve 漢字 👩‍🚀"


# Prepended concatenation marks: in the category Cf, but with a shape.
WITH_A_SHAPE = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}


def test_no_invisible_character_passes_unshown() -> None:
    formats = [chr(c) for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c)) == "Cf" and c not in WITH_A_SHAPE]
    others = [*"\u115f\u1160\u3164\uffa0\u034f\u17b4", "\U000e0100", "\U000e01ef"]
    for char in (*formats, *others):
        assert char not in visible(f"a {char} b"), f"U+{ord(char):04X}"
    assert visible("\u06dd١ \ufe0f") == "\u06dd١ \ufe0f"


def test_joiners_stay_between_letters_and_emoji_and_are_shown_elsewhere() -> None:
    for text in ("می\u200cخواهم", "क्\u200dष", "👩\u200d🚀", "👩🏽\u200d⚕\ufe0f", "🙂\u200d↔\ufe0f"):
        assert visible(text) == text
    assert visible("\u200da\u200c b\u200d\u200dc 1\u200d2") == "⟨U+200D⟩a⟨U+200C⟩ b⟨U+200D⟩⟨U+200D⟩c 1⟨U+200D⟩2"


@given(st.text(st.sampled_from("a👩\u200d\u200c\u0301 \ufe0f"), max_size=60), st.integers(1, 30))
def test_an_excerpt_shows_joiners_as_the_whole_text_does(text: str, chars: int) -> None:
    assert visible(text).startswith(excerpt(text, chars).removesuffix("…"))


@given(st.text())
def test_no_control_character_is_left(text: str) -> None:
    assert not [c for c in visible(text) if unicodedata.category(c) == "Cc" and c not in "\n\t"]


@given(st.text(), st.integers(1, 50))
def test_an_excerpt_is_the_beginning_of_the_text_and_says_when_more_follows(text: str, chars: int) -> None:
    shown = excerpt(text, chars)
    if len(text) <= chars:
        assert shown == visible(text)
    else:
        assert visible(text).startswith(shown.removesuffix("…"))
        assert shown.endswith("…") or shown == visible(text)


def test_a_letter_keeps_its_accents_and_an_emoji_what_it_is_joined_with() -> None:
    assert excerpt("ae\u0301b", 2) == "ae\u0301…"
    assert excerpt("👩\u200d🚀!", 1) == "👩\u200d🚀…"


def test_one_line_shows_ends_of_lines_as_signs() -> None:
    assert one_line("  a \t b\n\n  c\r\n", 100) == "a b ↵ c"
    assert one_line("ab\ncd", 3) == "ab …"
    assert "\n" not in one_line("x\n" * 500, 40)
    assert one_line(" " * 1000 + "x", 40).endswith("…"), "what is not looked at is not passed over in silence"


def test_names_are_listed_as_a_sentence_has_them() -> None:
    assert [in_words(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
