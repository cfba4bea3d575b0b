from hashlib import sha256
from types import SimpleNamespace

import numpy as np
import pytest

from pellucid.core.errors import DataError
from pellucid.recipe.data import FimConfig
from pellucid.shards.coding import Coding
from pellucid.shards.fim import cutter_for

SPECIAL = {"<|endoftext|>": 256, "<|fim_prefix|>": 257, "<|fim_middle|>": 258, "<|fim_suffix|>": 259}


def encode(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    rows = [np.frombuffer(text.encode(), np.uint8).astype(np.uint32) for text in texts]
    return np.concatenate([np.empty(0, np.uint32), *rows]), np.cumsum([0, *map(len, rows)], dtype=np.int64)


def documents(*texts: str) -> list[SimpleNamespace]:
    return [SimpleNamespace(id=text, text=text, digest=sha256(text.encode()).hexdigest()) for text in texts]


def test_documents_become_the_encoders_tokens_and_nothing_is_rearranged_without_a_cutter() -> None:
    coding = Coding(encode, 256, 260, SPECIAL)
    ids, offsets, counts = coding.encode(documents("ab", "", "c"))
    assert (ids.tolist(), offsets.tolist(), counts) == ([*b"abc"], [0, 2, 2, 3], {})
    assert coding.eos_name == "<|endoftext|>"


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_tokens_that_cannot_be_right_are_refused_with_the_documents_name_with_and_without_cutting(rate: float) -> None:
    cutter = cutter_for(FimConfig(rate=rate), 1, "code", SPECIAL)
    with pytest.raises(DataError, match=r"inside .* encoded documents, first in 'b'"):
        Coding(_with_eos, 256, 260, SPECIAL, cutter).encode(documents("aaaa", "b"))
    made = Coding(encode, 256, 260, SPECIAL, cutter).encode(documents("aaaa", "b"))
    assert sum(made[2].values()) == (2 if rate else 0)


def _with_eos(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """An encoder that turns one letter into the end of text."""
    ids, offsets = encode(texts)
    return np.where(ids == ord("b"), np.uint32(256), ids), offsets
