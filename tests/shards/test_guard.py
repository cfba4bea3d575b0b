import numpy as np
import pytest

from pellucid.core.errors import DataError
from pellucid.shards.guard import check_batch, check_index
from pellucid.shards.index import ShardFile, ShardIndex

NAMES = ["first", "second", "third"]
OFFSETS = np.array([0, 2, 2, 5])


def index(tokens: int, documents: int, **counts: int) -> ShardIndex:
    return ShardIndex("uint16", (ShardFile("00000.bin", tokens),), tokens, documents, {"eos": 0, "other": 0} | counts, 0)


def test_plain_tokens_pass_and_so_does_nothing_at_all() -> None:
    check_batch(np.array([0, 1, 2, 3, 4], np.uint32), OFFSETS, NAMES, eos_id=9, vocab_tokens=10)
    check_batch(np.empty(0, np.uint32), np.array([0]), [], eos_id=9, vocab_tokens=10)


def test_an_id_outside_the_vocabulary_names_the_document_and_both_figures() -> None:
    with pytest.raises(DataError, match=r"document 'third' has token id 70000; the vocabulary has 10 ids \(0 to 9\)"):
        check_batch(np.array([0, 1, 2, 70_000, 4], np.uint32), OFFSETS, NAMES, eos_id=9, vocab_tokens=10)


@pytest.mark.parametrize(
    ("ids", "count", "name", "cause"),
    [
        ([0, 1, 9, 3, 4], 1, "third", "the encoder turns the special token's text into its id"),
        ([0, 9, 2, 3, 9], 2, "first", "the encoder appends EOS itself"),
    ],
)
def test_an_eos_that_the_encoder_made_is_refused_with_its_probable_cause(ids: list[int], count: int, name: str, cause: str) -> None:
    with pytest.raises(DataError, match=rf"{count} EOS tokens \(id 9\) inside 3 .* first in '{name}'; the limit is 0.*{cause}"):
        check_batch(np.array(ids, np.uint32), OFFSETS, NAMES, eos_id=9, vocab_tokens=10)


def test_a_plausible_split_passes_at_the_limit_itself() -> None:
    check_index(index(100, 5, eos=5), "eos", 0.05, "web/train")
    check_index(index(0, 0), "eos", 0.05, "web/train")


def test_eos_that_do_not_match_the_documents_are_refused_with_both_counts() -> None:
    with pytest.raises(DataError, match="web/train: 12 EOS tokens for 6 documents; must be equal"):
        check_index(index(1000, 6, eos=12), "eos", 0.05, "web/train")


def test_too_large_a_share_of_specials_is_refused_with_figures_limit_and_cause() -> None:
    with pytest.raises(DataError, match=r"10\.00 % of 100 tokens .*\(eos: 10\); the limit is 5\.00 % .*very short \(10\.0 tokens"):
        check_index(index(100, 10, eos=10), "eos", 0.05, "web/train")
    with pytest.raises(DataError, match=r"\(other: 20, eos: 1\); .*special-token text in the documents became special ids"):
        check_index(index(100, 1, eos=1, other=20), "eos", 0.05, "web/train")
