"""A small document type and byte-level encoding: token = byte, EOS = 256, one more special = 257."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pellucid.recipe.data import ShardsConfig
from pellucid.shards.coding import Coding
from pellucid.shards.index import ShardIndex
from pellucid.shards.writer import write_shards

EOS = 256
VOCAB = 258
SPECIALS = {"<|endoftext|>": EOS, "<|im_start|>": 257}


@dataclass(frozen=True)
class Text:
    id: str
    text: str
    source: str = "web"
    language: str = "en"
    licence: str = "CC0-1.0"
    origin: str = "here"

    @property
    def digest(self) -> str:
        return sha256(self.text.encode()).hexdigest()


def encode_bytes(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    pieces = [np.frombuffer(text.encode(), np.uint8).astype(np.uint32) for text in texts]
    offsets = np.cumsum([0, *(len(piece) for piece in pieces)], dtype=np.int64)
    return np.concatenate([np.empty(0, np.uint32), *pieces]), offsets


@pytest.fixture(scope="session")
def write_texts() -> Callable[..., ShardIndex]:
    """Write texts as shards; documents are named by their number."""

    def write(texts: Iterable[str], out: Path, encode: Any = encode_bytes, vocab: int = VOCAB, **config: Any) -> ShardIndex:
        documents = (Text(str(number), text) for number, text in enumerate(texts))
        settings = ShardsConfig(**{"max_special_frac": 1.0, "shard_tokens": 1024} | config)
        return write_shards(documents, encode, EOS, vocab, SPECIALS, settings, out)

    return write


@pytest.fixture(scope="session")
def expected_tokens() -> Callable[[list[str]], list[int]]:
    """What the stream must hold, said plainly."""
    return lambda texts: [token for text in texts for token in (*text.encode(), EOS)]


@pytest.fixture(scope="session")
def byte_coding() -> Coding:
    return Coding(encode_bytes, EOS, VOCAB, SPECIALS)


@pytest.fixture(scope="session")
def make_texts() -> Callable[[list[str]], list[Text]]:
    return lambda texts: [Text(str(number), text) for number, text in enumerate(texts)]
