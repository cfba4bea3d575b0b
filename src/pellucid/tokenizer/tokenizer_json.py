"""What a stranger's `tokenizer.json` may not say, looked at before the package `tokenizers` builds anything from it.

That package is written for files of good faith: a replacement of a thousand letters for one, given four times, makes a text of a
word fill the memory; and some faults end in a panic of Rust, which in Python is no `Exception`.
"""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pellucid.core.errors import DataError

__all__ = ["check_tokenizer_json", "panics_are_told"]

_FILE = "tokenizer.json of the vocabulary"
_MOST_IDS = 2**26
# Nested steps (Sequence) of published files are two deep.
_DEEPEST = 32
# Letters that may come out of one: Llama's and Gemma's put one for a blank, and Unicode's own normal forms up to 18.
_MOST_GROWTH = 64


@contextmanager
def panics_are_told(doing: str) -> Iterator[None]:
    """Turn a panic of a package that is written in Rust into a `DataError` that says what was being done."""
    try:
        yield
    except BaseException as error:
        # pyo3's class cannot be imported, and it derives from BaseException alone.
        if type(error).__name__ != "PanicException":
            raise
        raise DataError(f"{_FILE}: {doing} is not possible with it: {error}") from error


def check_tokenizer_json(values: Mapping[str, Any]) -> None:
    """Raise `DataError` naming field and limit for values of another type, ids out of range, and steps that let texts explode."""
    model, added = values.get("model"), values.get("added_tokens") or []
    if not isinstance(model, dict):
        raise DataError(f"{_FILE}: model: must be a mapping")
    vocabulary = model.get("vocab")
    if not isinstance(vocabulary, dict | list):
        raise DataError(f"{_FILE}: model.vocab: must be a mapping of tokens to ids, or a list of pieces")
    for token, id_ in vocabulary.items() if isinstance(vocabulary, dict) else ():
        _check_id(f"model.vocab: {token!r:.60}", id_)
    if not isinstance(added, list):
        raise DataError(f"{_FILE}: added_tokens: must be a list")
    for place, token in enumerate(added):
        if not isinstance(token, dict) or not isinstance(token.get("content"), str):
            raise DataError(f"{_FILE}: added_tokens[{place}]: must be a mapping with id and content")
        _check_id(f"added_tokens[{place}].id", token.get("id"))
    for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        growth = 1
        for step in _steps(part, values.get(part)):
            growth *= _growth(step)
            _check_table(part, step)
        if growth > _MOST_GROWTH:
            raise DataError(f"{_FILE}: {part}: makes up to {growth} letters of one; at most {_MOST_GROWTH} are taken")


def _check_id(field: str, id_: object) -> None:
    if not isinstance(id_, int) or isinstance(id_, bool) or not 0 <= id_ < _MOST_IDS:
        raise DataError(f"{_FILE}: {field}: got {id_!r:.60}; ids are whole numbers from 0 to {_MOST_IDS - 1}")


def _steps(part: str, outer: Any) -> Iterator[Mapping[str, Any]]:
    """Yield a part's steps, those inside of others too; raise where they are nested deeper than any that are published."""
    left = [(outer, 0)]
    while left:
        step, depth = left.pop()
        if depth > _DEEPEST:
            raise DataError(f"{_FILE}: {part}: steps are nested deeper than {_DEEPEST}")
        if isinstance(step, list):
            left += [(one, depth + 1) for one in step]
        elif isinstance(step, dict):
            yield step
            left += [(one, depth + 1) for one in step.values() if isinstance(one, list | dict)]


def _check_table(part: str, step: Mapping[str, Any]) -> None:
    """Refuse a table of SentencePiece's whose first number, the bytes of its trie, is more than there are: so much is asked for."""
    table = step.get("precompiled_charsmap")
    if table is None:
        return
    try:
        data = b64decode(table)
    except (TypeError, ValueError) as error:
        raise DataError(f"{_FILE}: {part}: precompiled_charsmap is no base64: {error}") from error
    size = int.from_bytes(data[:4], "little")
    if data and size > len(data) - 4:
        raise DataError(f"{_FILE}: {part}: precompiled_charsmap: a trie of {size} bytes in a table of {len(data)}")


def _growth(step: Mapping[str, Any]) -> int:
    content = step.get("content") if step.get("type") == "Replace" else None
    return max(1, len(content)) if isinstance(content, str) else 1
