import itertools

from hypothesis import given
from hypothesis import strategies as st

from pellucid.release.needles import SHORTEST, Needles

LETTERS = st.binary(max_size=200) | st.text("ab", max_size=200).map(str.encode)
FORMS = st.lists(st.text("ab", min_size=SHORTEST, max_size=12).map(str.encode), max_size=6)


@given(LETTERS, FORMS)
def test_what_is_found_is_what_a_plain_search_finds(data: bytes, forms: list[bytes]) -> None:
    needles = Needles({str(number): [form] for number, form in enumerate(forms)})
    assert needles.find(data) == {str(number) for number, form in enumerate(forms) if form in data}


@given(st.text("ab", max_size=120).map(str.encode), FORMS, st.lists(st.integers(0, 120), max_size=5))
def test_borders_of_chunks_hide_nothing(data: bytes, forms: list[bytes], cuts: list[int]) -> None:
    needles = Needles({str(number): [form] for number, form in enumerate(forms)})
    edges = [0, *sorted(cut for cut in cuts if cut <= len(data)), len(data)]
    chunks = [data[start:end] for start, end in itertools.pairwise(edges)]
    assert needles.find_in(chunks) == needles.find(data)


def test_short_strings_are_passed_over_and_nothing_to_find_is_no_error() -> None:
    assert Needles({"short": [b"abc"]}).find(b"abcabcabc") == set()
    assert Needles({}).find_in([b"", b"anything at all"]) == set()


def test_one_string_may_have_several_names() -> None:
    assert Needles({"A": [b"the value"], "B": [b"the value"]}).find(b"here is the value.") == {"A", "B"}
