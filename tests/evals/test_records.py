import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.evals.records import DocumentScore, summarise_heldout, total

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


def test_the_summary_puts_the_baselines_beside_the_model_in_every_group():
    bit = math.log(2)
    rows = [
        DocumentScore("1", "books", "de", 10, 4, 20 * bit),
        DocumentScore("2", "letters", "en", 40, 8, 40 * bit),
        DocumentScore("3", "letters", "de", 30, 4, 20 * bit),
    ]
    ngram = [DocumentScore(r.id, r.source, r.language, r.bytes, r.tokens, 2 * r.nats) for r in rows]
    table = summarise_heldout({"model": rows, "ngram": ngram}, {"by_language": {"de": 3.0, "en": 3.0}, "by_source": {"books": 3.5}})
    assert table["by_language"]["de"] == {
        "model": pytest.approx(1.0),
        "ngram": pytest.approx(2.0),
        "xz": 3.0,
        "documents": 2,
        "bytes": 40,
        "tokens": 8,
        "perplexity": pytest.approx(2**5),
    }
    assert table["by_source"]["books"]["model"] == pytest.approx(2.0) and table["by_source"]["books"]["xz"] == 3.5
    assert "xz" not in table["by_source"]["letters"] and table["by_source"]["letters"]["documents"] == 2
    assert table["all"] == table["total"]["model"] == total(rows).bits_per_byte == pytest.approx(1.0)


def test_the_models_figures_are_the_same_to_the_bit_without_baselines():
    rows = [DocumentScore(str(n), f"s{n % 3}", "en", 7 + n, 3 + n, 0.1 * n) for n in range(1, 20)]
    alone, beside = (summarise_heldout(one, {}) for one in ({"model": rows}, {"model": rows, "ngram": rows[::-1]}))
    for group in beside["by_source"].values():
        del group["ngram"]
    assert alone["by_source"] == beside["by_source"] and alone["all"] == beside["all"]
