import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.documents.cleaning.affixes import splitter

# What spaCy 3.8 makes of these.
SPACY = {
    "en": """“Don’t “|Do|n’t ; (see (|see ; e.g., e.g.|, ; U.S. U.S. ; NASA. NASA|. ; I.B.M. I.B.M. ; end.) end|.|) ; 5km/h,
    5|km/h|, ; 3.14. 3.14|. ; $5.00 $|5.00 ; US$5 US$|5 ; well-known well|-|known ; 10-12 10|-|12 ; and/or and/or ; a/b
    a|/|b ; x=y x|=|y ; wait...what wait|...|what ; https://example.org/a?b=c https://example.org/a?b=c ; me@example.org,
    me@example.org|, ; below:) below|:) ; dog's dog|'s ; dogs' dogs|' ; '90s '|90s ; C++ C++ ; don't. do|n't|. ; =====
    =|=|=|=|= ; cannot-do cannot|-|do ; 🙂🙂 🙂|🙂 ; A.Smith A.Smith ; one.Two one|.|Two""",
    "de": """z.B. z.B. ; Straßen-Bahn Straßen-Bahn ; und/oder und|/|oder ; 1. 1. ; geht's geht's ; „Ja“, „|Ja|“|, ; 3-4 3|-|4""",
    "fr": """l'eau l'|eau ; aujourd'hui aujourd'hui ; dit-il dit|-il ; peut-être peut-être ; «Oui» «|Oui|» ; sous-titre sous-titre
    ; qu'il qu'|il""",
    "it": """dell'acqua dell'|acqua ; c'è c'|è ; po' po' ; e-mail e-mail ; '68 '68""",
    "es": """¿Qué? ¿|Qué|? ; al-Qaeda al-Qaeda ; pal pa|l ; etc. etc.""",
    "nl": """foto's foto's ; o.a. o.a. ; zuid-oost zuid-oost ; d.w.z., d.w.z.|,""",
    "pt": """disse-me disse-me ; R$10 R$|10 ; Sr. Sr. ; p.m. p.m.""",
}


def words(language: str, run: str) -> list[str]:
    found, begin = [], 0
    for length in splitter(language).cut(run):
        found.append(run[begin : begin + length])
        begin += length
    return found


@pytest.mark.parametrize("language", SPACY)
def test_runs_fall_into_the_words_of_spacy(language: str) -> None:
    for pair in " ".join(SPACY[language].split()).split(" ; "):
        run, expected = pair.split(" ")
        assert words(language, run) == expected.split("|"), run


@given(
    st.text(
        st.characters(exclude_categories=["Zs", "Zl", "Zp", "Cc", "Cs"]) | st.sampled_from("a'’.-,:)(1%$+"), min_size=1, max_size=30
    )
)
def test_the_words_of_a_run_are_the_run(run: str) -> None:
    for language in ("de", "en", "es", "fr", "it", "nl", "pt", "xx"):
        lengths = splitter(language).cut(run)
        assert sum(lengths) == len(run) and all(length > 0 for length in lengths)


@pytest.mark.parametrize(
    "run", ["a" * 300_000, "(" * 100_000, "." * 100_000, "a:" * 50_000, "x.y@" * 50_000, "a-" * 100_000, "1," * 100_000]
)
def test_runs_without_end_are_cut_in_linear_time(run: str) -> None:
    for language in ("en", "pt", "fr"):
        assert sum(splitter(language).cut(run)) == len(run)
