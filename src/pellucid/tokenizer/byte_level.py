"""Byte-level BPE out of a `tokenizer.json`, for encoders that know nothing else: ranks, split pattern, normaliser.

Which merge comes first is said by a list of pairs there, and by the ids of the merged tokens here. The two are the same where ids
follow the order of the list; where they do not, nothing is made of the file, and `tokenizers` encodes.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import tiktoken

from pellucid.core.errors import UsageError
from pellucid.tokenizer.checked import FastEncoder, Ids, Offsets, join_rows
from pellucid.tokenizer.encoder import SPLIT_PATTERN, has_scanner, open_quicktok
from pellucid.tokenizer.huggingface import byte_alphabet
from pellucid.tokenizer.vocabulary import PieceKind, Vocabulary

__all__ = ["ByteLevel", "read_byte_level"]

# GPT-2's split pattern (its release, encoder.py), which `ByteLevel` with `use_regex` stands for; and the same after single digits
# were split off (SmolLM2): blanks before a digit then end their part, and the last of them does not go to what follows.
GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
GPT2_DIGITS_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?=\p{N})|\s+(?!\S)|\s+"

# llama.cpp's names for patterns (llama-vocab.cpp), as far as its rules for them are the patterns.
_LLAMA_CPP = {
    GPT2_PATTERN: "gpt-2",
    GPT2_DIGITS_PATTERN: "smollm",
    SPLIT_PATTERN: "qwen2",
    SPLIT_PATTERN.replace(r"\p{N}| ?", r"\p{N}{1,3}| ?"): "llama-bpe",
}

# tiktoken's regex engine overflows its stack on about a million blanks.
_LONG_BLANK = re.compile(r"[^\S\r\n]{65536,}")

_NEVER_IN_UTF8 = frozenset((0xC0, 0xC1, *range(0xF5, 0x100)))

# What split patterns and normalisers trip over, beyond the probe that all encoders share.
_PROBE = (
    "a  1 b\t\t22  c \n3\n\n4   \n x\x1c\x1d\x1e\x1fy\x85z \u180e\u200b\u2028\u2029\u202f ",
    "e\u0301 é Å \u212b ﬁ ½① Ⅷ ㍿ 각 \u1100\u1161\u11a8 q\u0307\u0323 \u0344",
    "I'm I'M you'll YOU'LL 'd'D \u2019s ''s don't''t 's1's",
    "<s></s><unk><pad>[CLS][SEP]<|endoftext|> <|endoftext|>x<|padding|>",
)


@dataclass(frozen=True)
class ByteLevel:
    """Ranks by token, the split pattern, whether text is normalised to NFC first, tokens cut out of text before all else."""

    ranks: Mapping[bytes, int]
    pattern: str
    nfc: bool
    cut_out: tuple[str, ...]
    # Bytes that UTF-8 may hold and the vocabulary has no token for (SmolLM2: eight); `tokenizers` leaves them out of the ids.
    missing: bytes = b""
    probe: tuple[str, ...] = _PROBE

    @property
    def engine(self) -> str:
        """The fastest encoder that takes the split pattern."""
        return "quicktok" if has_scanner(self.pattern) else "tiktoken"

    def open_fast(self) -> FastEncoder:
        """Return that encoder over these ranks."""
        if self.engine == "quicktok":
            fast: FastEncoder = open_quicktok(dict(self.ranks), self.pattern, nfc=self.nfc)
            return fast
        return _Tiktoken(self)

    @cached_property
    def _cut_out(self) -> re.Pattern[str] | None:
        return re.compile("|".join(map(re.escape, self.cut_out))) if self.cut_out else None

    def leave(self, text: str) -> bool:
        """Tell whether a text holds what the fast encoder does not know: cut-out tokens, missing bytes, and blanks without end."""
        if self._cut_out is not None or self.missing:
            normal = unicodedata.normalize("NFC", text) if self.nfc else text
            if self._cut_out is not None and self._cut_out.search(normal):
                return True
            # Lone surrogates are for the encoder to refuse.
            data = normal.encode(errors="replace") if self.missing else b""
            if any(byte in data for byte in self.missing):
                return True
        return len(text) >= 65536 and _LONG_BLANK.search(text) is not None

    def vocabulary(self, values: Mapping[str, Any]) -> Vocabulary:
        """Return the vocabulary for llama.cpp, with the file's own merges. Raises `UsageError` where it has no such rules."""
        pre = _LLAMA_CPP.get(self.pattern)
        if pre is None or self.nfc:
            what = "it normalises text (NFC)" if self.nfc else f"llama.cpp has no name for the split pattern {self.pattern!r}"
            raise UsageError(f"llama.cpp cannot be given this tokenizer.json exactly: {what}; leave gguf out of export.formats")
        tokens = {id_: token for token, id_ in values["model"]["vocab"].items()}
        kinds: dict[int, PieceKind] = {}
        for added in values.get("added_tokens") or []:
            tokens[added["id"]] = added["content"]
            kinds[added["id"]] = "control" if added.get("special") else "user_defined"
        return Vocabulary("gpt2", tokens, kinds, pre, merges=[" ".join(pair) for pair in _merges(values["model"])])


class _Tiktoken:
    def __init__(self, plain: ByteLevel) -> None:
        self._nfc = plain.nfc
        self._inner = tiktoken.Encoding("imported", pat_str=plain.pattern, mergeable_ranks=dict(plain.ranks), special_tokens={})

    def encode_batch(self, texts: list[str], threads: int) -> tuple[Ids, Offsets]:
        """Return all ids in one array, and offsets (n+1)."""
        if self._nfc:
            texts = [unicodedata.normalize("NFC", text) for text in texts]
        return join_rows([self._inner.encode_ordinary(text) for text in texts])


def read_byte_level(values: Mapping[str, Any]) -> ByteLevel | None:
    """Return the byte-level BPE of a `tokenizer.json`'s values; None where it is another kind, or more than that."""
    model, normalizer = values.get("model") or {}, values.get("normalizer")
    pattern = _pattern(values.get("pre_tokenizer"))
    prefixes = (model.get("continuing_subword_prefix"), model.get("end_of_word_suffix"))
    plain = model.get("type", "BPE") == "BPE" and not any(prefixes) and not model.get("byte_fallback")
    if pattern is None or not plain or normalizer not in (None, {"type": "NFC"}) or not isinstance(model.get("vocab"), dict):
        return None
    added = values.get("added_tokens") or []
    ranks = _ranks(model, {token["id"] for token in added})
    if ranks is None:
        return None
    missing = bytes(byte for byte in range(256) if bytes([byte]) not in ranks and byte not in _NEVER_IN_UTF8)
    return ByteLevel(ranks, pattern, normalizer is not None, tuple(t["content"] for t in added if not t.get("special")), missing)


def _pattern(pre: Any) -> str | None:
    """Return the split pattern of a pre-tokenizer that splits by one and then spells bytes; None for any other."""
    steps = pre.get("pretokenizers") if isinstance(pre, dict) and pre.get("type") == "Sequence" else [pre]
    if not steps or not all(isinstance(step, dict) for step in steps) or steps[-1].get("type") != "ByteLevel":
        return None
    *before, last = steps
    if last.get("add_prefix_space"):
        return None
    by_regex = last.get("use_regex", True)
    if not before:
        return GPT2_PATTERN if by_regex else None
    if len(before) > 1:
        return None
    (step,) = before
    if by_regex:
        return GPT2_DIGITS_PATTERN if step.get("type") == "Digits" and step.get("individual_digits") else None
    pattern = (step.get("pattern") or {}).get("Regex")
    plain = step.get("type") == "Split" and step.get("behavior") == "Isolated" and not step.get("invert")
    return pattern if plain and isinstance(pattern, str) else None


def _merges(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the pairs, which older files write as one text with a space."""
    pairs: Sequence[Any] = model.get("merges") or ()
    split = (pair.split(" ", 1) if isinstance(pair, str) else pair for pair in pairs)
    return [(left, right) for left, right in split]


def _ranks(model: Mapping[str, Any], added: set[int]) -> dict[bytes, int] | None:
    """Return the tokens that merging can make, with their ids; None where the ids do not follow the order of the merges."""
    vocab: Mapping[str, int] = model["vocab"]
    byte_of = {letter: byte for byte, letter in byte_alphabet().items()}
    ranks = {bytes([byte]): vocab[letter] for letter, byte in byte_of.items() if letter in vocab}
    newest = -1
    for left, right in _merges(model):
        id_ = vocab.get(left + right)
        if id_ is None or id_ < newest or id_ in added:
            return None
        newest = id_
        ranks[bytes(byte_of[letter] for letter in left + right)] = id_
    return ranks
