import hashlib

from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.seeds import derive_seed, heldout


@given(st.integers(0, 2**32 - 1), st.text(), st.integers(0, 10**9))
def test_a_seed_is_pure_fits_63_bits_and_depends_on_every_label(seed: int, label: str, number: int) -> None:
    value = derive_seed(seed, label, number)
    assert value == derive_seed(seed, label, number)
    assert 0 <= value < 2**63
    others = {derive_seed(seed + 1, label, number), derive_seed(seed, label + "x", number), derive_seed(seed, label, number + 1)}
    assert value not in others
    assert derive_seed(seed, str(number)) != derive_seed(seed, number)


def test_the_held_out_share_is_what_was_asked_for_and_nested() -> None:
    digests = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(20_000)]
    two = {d for d in digests if heldout(d, 0.02)}
    five = {d for d in digests if heldout(d, 0.05)}
    assert 340 < len(two) < 460
    assert two < five
    assert not any(heldout(d, 0.0) for d in digests)
