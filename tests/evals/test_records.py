import math

from hypothesis import given
from hypothesis import strategies as st

from pellucid.evals.records import DocumentScore, total

rows = st.lists(
    st.builds(DocumentScore, st.text(), st.text(), st.text(), st.integers(1, 10**6), st.integers(1, 10**6), st.floats(0, 1e6)),
    min_size=1,
    max_size=20,
)


def test_bits_per_byte_and_perplexity_follow_their_definitions():
    sums = total([DocumentScore("a", "s", "en", 10, 4, 4 * math.log(8)), DocumentScore("b", "s", "en", 14, 4, 4 * math.log(8))])
    assert math.isclose(sums.bits_per_byte, 8 * 3 / 24)
    assert math.isclose(sums.perplexity, 8)
    assert (sums.documents, sums.bytes, sums.tokens) == (2, 24, 8)


@given(rows, st.randoms())
def test_the_order_of_documents_changes_no_total(scores, random):
    shuffled = list(scores)
    random.shuffle(shuffled)
    assert total(shuffled) == total(scores)


def test_no_text_has_no_figure():
    assert math.isnan(total([]).bits_per_byte)
    assert math.isnan(total([]).perplexity)
