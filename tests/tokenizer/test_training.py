import hashlib
import os
import subprocess
import sys

import pytest

from pellucid.core.errors import DataError, UsageError
from pellucid.tokenizer.bpe import SPECIAL_TOKENS
from pellucid.tokenizer.bpe import BytePairTokenizer as Tokenizer
from pellucid.tokenizer.training import MIN_VOCAB_TOKENS, train_bpe

DIGEST = """
import hashlib, sysconfig
from pathlib import Path
from pellucid.tokenizer.training import train_bpe
texts = [path.read_text(encoding="utf-8") for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:60]]
print(hashlib.sha256(repr(list(train_bpe(texts, 2048).ranks.items())).encode()).hexdigest())
"""


def test_the_vocabulary_is_bytes_then_merges_then_the_special_tokens_of_arcade100k(trained: Tokenizer) -> None:
    assert trained.vocab_tokens == 2048
    assert list(trained.ranks.values()) == list(range(2048 - 32))
    assert trained.special == {name: 2048 - 32 + index for index, name in enumerate(SPECIAL_TOKENS)}
    assert trained.eos_id == 2016


def test_all_256_bytes_are_in_the_vocabulary(trained: Tokenizer) -> None:
    assert sorted(token for token in trained.ranks if len(token) == 1) == [bytes([byte]) for byte in range(256)]


def test_each_digit_is_one_token(trained: Tokenizer) -> None:
    assert [trained.decode([id_]) for id_ in trained.encode("1984 0.57721")] == [*"1984", " ", "0", ".", *"57721"]
    assert not [token for token in trained.ranks if len(token) > 1 and any(48 <= byte <= 57 for byte in token)]


def test_training_again_with_another_number_of_threads_gives_the_same_ranks(trained: Tokenizer) -> None:
    here = hashlib.sha256(repr(list(trained.ranks.items())).encode()).hexdigest()
    for threads in ("1", "3"):
        environment = os.environ | {"RAYON_NUM_THREADS": threads}
        answer = subprocess.run([sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True)
        assert answer.stdout.strip() == here


def test_it_compresses_the_text_it_was_trained_on(trained: Tokenizer, sources: list[str]) -> None:
    text = "".join(sources)
    assert len(text.encode()) / len(trained.encode(text)) > 3


def test_the_order_of_the_texts_does_not_matter(trained: Tokenizer, sources: list[str]) -> None:
    assert train_bpe(reversed(sources), 2048).ranks == trained.ranks


@pytest.mark.parametrize("size", [0, 256, MIN_VOCAB_TOKENS - 1])
def test_a_vocabulary_without_room_for_bytes_and_special_tokens_is_refused(size: int) -> None:
    with pytest.raises(UsageError, match=f"vocab_tokens got {size}; must be at least 288"):
        train_bpe(["text"], size)


def test_the_smallest_vocabulary_is_the_bytes_alone() -> None:
    smallest = train_bpe(["text"], MIN_VOCAB_TOKENS)
    assert smallest.encode("tÉ") == [*"tÉ".encode()] and smallest.decode(smallest.encode("tÉ")) == "tÉ"


@pytest.mark.parametrize("texts", [[], [""], ["a"], ["abcd abcd"]])
def test_too_little_text_for_the_size_is_told_with_the_size_that_would_do(texts: list[str]) -> None:
    with pytest.raises(DataError, match=r"enough repeated pairs for vocab_tokens \d+, asked 512; lower vocab_tokens or add text"):
        train_bpe(texts, 512)


def test_text_that_is_no_unicode_is_named() -> None:
    with pytest.raises(DataError, match="training text 1 is no valid Unicode"):
        train_bpe(["fine", "\ud800"], 512)


def test_endless_blanks_and_words_are_learnt_from_in_slices(sources: list[str]) -> None:
    odd = [" " * 3_000_000 + "x", "\t\n" * 500_000, "abc" * 400_000, "=-" * 400_000, "7" * 500_000]
    learnt = train_bpe([*sources[:5], *odd], 600)
    assert learnt.vocab_tokens == 600
    assert max(map(len, learnt.ranks)) <= 1024
