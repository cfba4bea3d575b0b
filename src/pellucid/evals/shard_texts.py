"""The tasks of the look-up of benchmark items: a slice of a run's shards, decoded and searched. Other processes do them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pellucid.documents.decontamination.find import find_hits
from pellucid.documents.decontamination.index import NgramIndex, load_index
from pellucid.documents.words import hash_words
from pellucid.recipe.vocabulary import FIM_NAMES
from pellucid.shards.stream import TokenStream
from pellucid.tokenizer.tokenizer import Tokenizer, load_tokenizer

__all__ = ["Seen", "ShardSlice", "TextSlice", "decode_documents", "search"]


@dataclass(frozen=True)
class ShardSlice:
    """Documents `begin` to `end` of one source's shards; `digest` is the shards', `index` the folder of the items' index."""

    source: str
    split: Path
    tokenizer: Path
    digest: str
    index: Path
    begin: int
    end: int
    tokens: int

    def __str__(self) -> str:
        return f"{self.split}, documents {self.begin + 1} to {self.end}"


@dataclass(frozen=True)
class TextSlice:
    """Texts that are in no shards: (id, text) of each."""

    source: str
    index: Path
    texts: tuple[tuple[str, str], ...]


class Seen(NamedTuple):
    """Item `item` of the index was seen in a document: a run of R words, by their numbers (uint64) and as the document has it."""

    item: int
    source: str
    document: str
    keys_R: NDArray[np.uint64]
    text: str


def search(task: ShardSlice | TextSlice) -> list[Seen]:
    """Return every run of words that the task's documents share with an item, in order of documents."""
    index = _index(task.index)
    if isinstance(task, TextSlice):
        return _search([text for _, text in task.texts], index, task.source, [name for name, _ in task.texts])
    stream = TokenStream(task.split)
    texts = decode_documents(stream, _tokenizer(task.tokenizer, task.digest), task.begin, task.end)
    hits = _search(texts, index, task.source, None)
    rows = sorted({int(hit.document) for hit in hits})
    known = stream.metadata([task.begin + row for row in rows]) if rows else []
    ids = {str(row): str(about["id"]) for row, about in zip(rows, known, strict=True)}
    return [hit._replace(document=ids[hit.document]) for hit in hits]


def _search(texts: Sequence[str], index: NgramIndex, source: str, ids: Sequence[str] | None) -> list[Seen]:
    """Search texts; documents are named by `ids`, or by their place where there are none."""
    words = hash_words(texts)
    hits = find_hits(words, index)
    seen = []
    for row, word, count, item in zip(hits.document_H, hits.word_H, hits.words_H, hits.item_H, strict=True):
        first = int(words.offsets_N1[row] + word)
        last = first + int(count) - 1
        text = " ".join(texts[row][words.begin_W[first] : words.end_W[last]].split())
        name = ids[row] if ids is not None else str(row)
        seen.append(Seen(int(item), source, name, words.keys_W[first : last + 1].copy(), text))
    return seen


def decode_documents(stream: TokenStream, tokenizer: Tokenizer, begin: int, end: int) -> list[str]:
    """Return the texts of documents `begin` to `end` of a split: what was encoded, without end marks.

    A document that was rearranged for fill-in-the-middle has its three parts in the order in which they were written.
    """
    starts = stream.document_starts[begin : end + 1].tolist()
    ids = stream.read(starts[0], starts[-1] - starts[0]).tolist()
    marks = _fim_marks(tokenizer)
    texts = []
    for first, after in pairwise(starts):
        document = ids[first - starts[0] : after - starts[0] - 1]
        if document and marks and document[0] == marks[0]:
            texts.append(_put_back(document, tokenizer, marks))
        else:
            texts.append(tokenizer.decode(document))
    return texts


def _fim_marks(tokenizer: Tokenizer) -> tuple[int, int, int] | None:
    """Return the ids that announce prefix, middle and suffix, or None."""
    for prefix, middle, suffix in FIM_NAMES:
        if prefix in tokenizer.special and middle in tokenizer.special and suffix in tokenizer.special:
            return tokenizer.special[prefix], tokenizer.special[middle], tokenizer.special[suffix]
    return None


def _put_back(ids: list[int], tokenizer: Tokenizer, marks: tuple[int, int, int]) -> str:
    """Undo `shards.fim`: ⟨prefix⟩ P ⟨suffix⟩ S ⟨middle⟩ M, or ⟨prefix⟩ ⟨suffix⟩ S ⟨middle⟩ P M, where the first part is empty."""
    _, to_middle, to_suffix = marks
    at_suffix, at_middle = ids.index(to_suffix), ids.index(to_middle)
    parts = (ids[1:at_suffix], ids[at_middle + 1 :], ids[at_suffix + 1 : at_middle])
    return b"".join(tokenizer.decode_bytes(part) for part in parts).decode(errors="replace")


@cache
def _tokenizer(folder: Path, digest: str) -> Tokenizer:
    # The digest tells a worker that outlives a run from reading one folder's old contents.
    return load_tokenizer(folder)


@lru_cache(maxsize=1)
def _index(folder: Path) -> NgramIndex:
    return load_index(folder)
