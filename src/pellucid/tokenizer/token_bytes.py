"""What each id stands for, as bytes: the way back from ids that every kind of vocabulary shares."""

from collections.abc import Iterable, Mapping

from pellucid.core.errors import DataError

__all__ = ["TokenBytes"]


class TokenBytes:
    """A table of ids and their bytes; a special token's bytes are its name."""

    def __init__(self, by_id: Mapping[int, bytes], vocab_tokens: int) -> None:
        self._by_id = by_id
        self._vocab_tokens = vocab_tokens

    def exactly(self, ids: Iterable[int]) -> bytes:
        """Return the bytes behind the ids. Raises `DataError` on an id with no token."""
        try:
            return b"".join([self._by_id[int(id_)] for id_ in ids])
        except KeyError as error:
            raise DataError(f"id {error} has no token; the vocabulary has ids below {self._vocab_tokens}") from error

    def as_text(self, ids: Iterable[int]) -> str:
        """Return the text behind the ids. What is no valid UTF-8, and an id with no token (padding rows), shows as U+FFFD."""
        return b"".join([self._by_id.get(int(id_), b"\xff") for id_ in ids]).decode(errors="replace")
