"""A rendered conversation as ids: special tokens where the template wrote them, text as text, and which ids are targets."""

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple

from pellucid.tokenizer.chat_template import unused
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["ChatIds", "Message", "Span", "SpecialText"]

Message = Mapping[str, str]
Span = tuple[int, int]


class ChatIds(NamedTuple):
    """One conversation: ids, and for each whether it is a target, that is, learnt as what comes next."""

    ids: list[int]
    targets: list[bool]


class SpecialText:
    """Tells the special tokens of a vocabulary in rendered text from the same strings in what people wrote."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        # Where two names begin at one place, the longer is meant, as in `tokenizers`.
        names = "|".join(re.escape(name) for name in sorted(tokenizer.special, key=lambda name: (-len(name), name)))
        self.pattern = re.compile(f"({names or '(?!)'})")
        self._everywhere = re.compile(f"(?={names or '(?!)'})")
        self._widths: dict[int, int] = {}

    def hide(self, messages: Sequence[Message], template: str) -> tuple[Sequence[Message], dict[int, str]]:
        """Return the messages with the first character of each special name in them replaced by one that is nowhere else.

        The table is for `str.translate`, to put the characters back; empty where no name was found. Lengths stay as they are.
        """
        contents = [message["content"] for message in messages]
        if not any(self.pattern.search(content) for content in contents):
            return messages, {}
        firsts = sorted({name[0] for name in self._tokenizer.special})
        hidden = dict(zip(firsts, unused(len(firsts), [template, *contents]), strict=True))

        def cover(content: str) -> str:
            chars = list(content)
            for match in self._everywhere.finditer(content):
                chars[match.start()] = hidden[chars[match.start()]]
            return "".join(chars)

        back = {ord(char): first for first, char in hidden.items()}
        return [{**message, "content": cover(message["content"])} for message in messages], back

    def encode(self, text: str, spans: Sequence[Span], back: dict[int, str]) -> ChatIds:
        """Return the ids of a rendered text whose hidden names are put back by `back`. What touches a span is a target.

        Each run of text between special tokens is encoded as a whole, so ids are those of transformers for the same text.
        """
        runs, specials = self._cut(text)
        if back:
            runs = [(start, run.translate(back)) for start, run in runs]
        encoded = self._encode(runs[0][0] if runs else 0, [run for _, run in runs])
        parts = [(start, run, ids) for (start, run), ids in zip(runs, encoded, strict=True)]
        parts += [(start, name, [self._tokenizer.special[name]]) for start, name in specials]
        found = ChatIds([], [])
        for start, run, ids in sorted(parts, key=lambda part: part[0]):
            found.ids.extend(ids)
            found.targets.extend(self._touched(start, run, ids, spans))
        return found

    def _cut(self, text: str) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
        """Return runs of text, none empty, and special names, each with where it starts."""
        runs, specials = [], []
        pieces = self.pattern.split(text)
        swallows = self._tokenizer.swallows
        start = 0
        for index, piece in enumerate(pieces):
            end = start + len(piece)
            if index % 2:
                specials.append((start, piece))
            elif piece:
                if index and swallows.get(pieces[index - 1], (False, False))[1]:
                    piece = piece.lstrip()
                begin = end - len(piece)
                if index + 1 < len(pieces) and swallows.get(pieces[index + 1], (False, False))[0]:
                    piece = piece.rstrip()
                if piece:
                    runs.append((begin, piece))
            start = end
        return runs, specials

    def _touched(self, start: int, run: str, ids: Sequence[int], spans: Sequence[Span]) -> list[bool]:
        """Return which ids of a run stand, in whole or in part, for characters of a span. Spans are in order and apart."""
        end = start + len(run)
        first = bisect_right(spans, start, key=lambda span: span[1])
        targets = [False] * len(ids)
        for span in spans[first:]:
            if span[0] >= end:
                break
            low = self._before(start, run, ids, span[0] - start)[0] if span[0] > start else 0
            high = sum(self._before(start, run, ids, span[1] - start)) if span[1] < end else len(ids)
            targets[low:high] = [True] * (high - low)
        return targets

    def _before(self, start: int, run: str, ids: Sequence[int], chars: int) -> tuple[int, int]:
        """Return how many ids stand for the first characters of a run and no others, and 1 if the next stands for both."""
        if len(ids) == 1:
            return 0, 1
        text, found = run.encode(), self._tokenizer.decode_bytes(ids)
        added = len(found) - len(text)
        # What begins a text may have got a space before it.
        if found == b" " * added + text:
            border, length = added + len(run[:chars].encode()), 0
            for count, id_ in enumerate(ids):
                if length + self._width(id_) > border:
                    return count, int(length < border)
                length += self._width(id_)
            return len(ids), 0
        # The vocabulary changes text otherwise, say to a normal form, and bytes tell nothing; what the first characters give by
        # themselves, as far as it agrees with the whole, stands for them.
        alone = self._encode(start, [run[:chars]])[0]
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(alone, ids, strict=False)))
        return same, int(same < len(alone))

    def _encode(self, start: int, runs: Sequence[str]) -> list[list[int]]:
        """Return the ids of runs of which the first starts at this character of the text."""
        if start or not runs:
            return self._tokenizer.encode_after(runs)
        return [self._tokenizer.encode(runs[0]), *self._tokenizer.encode_after(runs[1:])]

    def _width(self, id_: int) -> int:
        if id_ not in self._widths:
            self._widths[id_] = len(self._tokenizer.decode_bytes([id_]))
        return self._widths[id_]
