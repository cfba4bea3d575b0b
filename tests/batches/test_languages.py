"""The block of the mixture, arranged so that languages meet."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.batches.languages import LOOK_AHEAD, arrange_by_language
from pellucid.batches.mixture import build_mixture


@given(
    st.lists(st.tuples(st.floats(0.05, 1), st.sampled_from(["de", "en", "fr", "mul"])), min_size=1, max_size=6),
    st.sampled_from([2, 4, 8]),
)
@settings(max_examples=40)
def test_the_same_parts_come_in_another_order_near_their_turn(sources: list[tuple[float, str]], parts: int) -> None:
    mixture = build_mixture({str(n): weight for n, (weight, _) in enumerate(sources)}, 1024)
    found = arrange_by_language(mixture, [language for _, language in sources], parts)
    assert np.array_equal(np.bincount(found.pattern_P, minlength=len(sources)), mixture.quota_S)
    for source in range(len(sources)):
        mine = found.pattern_P == source
        assert np.array_equal(found.rank_P[mine], np.arange(mine.sum()))
        drift = np.cumsum(mine) - np.cumsum(mixture.pattern_P == source)
        assert abs(drift).max() <= LOOK_AHEAD
    total = sum(weight for weight, _ in sources)
    shares: dict[str, float] = {}
    for weight, language in sources:
        shares[language] = shares.get(language, 0) + weight / total
    met = [len({sources[source][1] for source in row}) for row in found.pattern_P.reshape(-1, parts)]
    if max(shares.values()) <= 1 / parts:
        assert np.mean(np.array(met) == parts) > 0.9, "no language is too frequent, so all parts can differ"


def test_one_language_leaves_the_block_as_it_is() -> None:
    mixture = build_mixture({"a": 3, "b": 1}, 256)
    assert np.array_equal(arrange_by_language(mixture, ["en", "en"], 4).pattern_P, mixture.pattern_P)


def test_a_rare_language_always_meets_the_frequent_one() -> None:
    found = arrange_by_language(build_mixture({"en": 9, "nl": 1}, 1000), ["en", "nl"], 2)
    pairs = found.pattern_P.reshape(-1, 2)
    assert (pairs == 1).sum() == 100
    assert (pairs.sum(axis=1) < 2).all()
