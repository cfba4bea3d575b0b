"""Byte-level BPE as Pellucid makes it: ranks of byte strings, special tokens after them, and the folder they are kept in."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pellucid.core.errors import ArtifactError
from pellucid.core.files import read_json, write_bytes, write_json
from pellucid.tokenizer.checked import Ids, Offsets, split_rows
from pellucid.tokenizer.encoder import SPLIT_PATTERN, Encoder
from pellucid.tokenizer.huggingface import byte_alphabet, merges, tokenizer_config_json, tokenizer_json
from pellucid.tokenizer.token_bytes import TokenBytes
from pellucid.tokenizer.vocabulary import FACTS, Vocabulary

__all__ = ["END_OF_TEXT", "SPECIAL_TOKENS", "BytePairTokenizer", "Kind", "load_byte_pairs", "parse_ranks"]

Kind = Literal["bpe", "arcade100k"]

END_OF_TEXT = "<|endoftext|>"

# The special tokens of Arcade100k in the order of their ids (Stable LM 2 1.6B, released tokenizer).
SPECIAL_TOKENS: tuple[str, ...] = (
    END_OF_TEXT,
    *(f"<|fim_{part}|>" for part in ("prefix", "middle", "suffix", "pad")),
    *("<gh_stars>", "<filename>", "<issue_start>", "<issue_comment>", "<issue_closed>", "<jupyter_start>", "<jupyter_text>"),
    *("<jupyter_code>", "<jupyter_output>", "<empty_output>", "<commit_before>", "<commit_msg>", "<commit_after>", "<reponame>"),
    "<|endofprompt|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|pause|>",
    *(f"<|reg{number}|>" for number in range(8)),
    "<|extra0|>",
)

_RANKS = "ranks.tiktoken"

# llama.cpp's name for the split pattern: cl100k's, with single digits.
PRE_TOKENIZER = "stablelm2"


class BytePairTokenizer:
    """Byte-level BPE with single digits. Text never yields a special id: those are only ever placed by name, from `special`.

    `ranks` maps each token's bytes to its id, 0…n-1, all 256 single bytes included; `special` maps names to ids from n on.
    """

    pattern = SPLIT_PATTERN
    bos = END_OF_TEXT
    swallows: Mapping[str, tuple[bool, bool]] = MappingProxyType({})

    def __init__(self, ranks: dict[bytes, int], special: dict[str, int], kind: Kind) -> None:
        self.ranks = ranks
        self.special = special
        self.kind: Kind = kind
        self.vocab_tokens = max(special.values()) + 1
        self.eos_id = special[END_OF_TEXT]
        by_id = {id_: token for token, id_ in ranks.items()} | {id_: name.encode() for name, id_ in special.items()}
        self._bytes = TokenBytes(by_id, self.vocab_tokens)
        self._encoder = Encoder(ranks)

    def __reduce__(self) -> tuple[Any, ...]:
        return BytePairTokenizer, (self.ranks, self.special, self.kind)

    @property
    def is_fast(self) -> bool:
        """Whether quicktok is at work; otherwise tiktoken is, with the same ids."""
        return self._encoder.is_fast

    def encode(self, text: str) -> list[int]:
        """Return the ids of one text. No special token is added or recognised. Raises `DataError` on lone surrogates."""
        ids: list[int] = self._encoder.encode_batch([text])[0].tolist()
        return ids

    def encode_after(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text as they are after a special token; here the same as those of `encode`."""
        return split_rows(*self._encoder.encode_batch(texts))

    def encode_batch(self, texts: Sequence[str], threads: int = 1) -> tuple[Ids, Offsets]:
        """Return all ids in one uint32 array, and int64 offsets (n+1): text `i` is `ids[offsets[i]:offsets[i + 1]]`."""
        return self._encoder.encode_batch(texts, threads)

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the exact bytes behind the ids; special tokens give their names. Raises `DataError` on an id with no token."""
        return self._bytes.exactly(ids)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text behind the ids. What is no valid UTF-8, and an id with no token (padding rows), shows as U+FFFD."""
        return self._bytes.as_text(ids)

    def decode_after(self, ids: Iterable[int]) -> str:
        """Return the text that the ids add after other text; here the same as `decode`."""
        return self._bytes.as_text(ids)

    def save(self, folder: Path) -> None:
        """Write the ranks, the facts that make them a tokenizer, and the two files by which Hugging Face tools load it."""
        lines = [base64.b64encode(token) + b" %d\n" % id_ for token, id_ in sorted(self.ranks.items(), key=lambda item: item[1])]
        write_bytes(folder / _RANKS, b"".join(lines))
        write_bytes(folder / "tokenizer.json", tokenizer_json(self.ranks, self.special, self.pattern))
        write_json(folder / "tokenizer_config.json", tokenizer_config_json(self.special, END_OF_TEXT))
        facts = {"kind": self.kind, "pattern": self.pattern, "special": self.special, "vocab_tokens": self.vocab_tokens}
        write_json(folder / FACTS, facts)

    def save_for_transformers(self, folder: Path, context_tokens: int) -> None:
        """Write the files of `save`, with the model's context among the values that Hugging Face tools read."""
        self.save(folder)
        config = {**tokenizer_config_json(self.special, END_OF_TEXT), "model_max_length": context_tokens}
        write_json(folder / "tokenizer_config.json", config)

    def may_differ(self, text: str) -> bool:
        """False: the order of merges says everything."""
        return False

    def vocabulary(self) -> Vocabulary:
        """Return tokens and merges as llama.cpp reads them, spelled in GPT-2's byte alphabet."""
        letters = byte_alphabet()
        spelled = {id_: "".join(letters[byte] for byte in token) for token, id_ in self.ranks.items()}
        pairs = (["".join(letters[byte] for byte in part) for part in pair] for pair in merges(self.ranks))
        names = {id_: name for name, id_ in self.special.items()}
        return Vocabulary(
            "gpt2", spelled | names, dict.fromkeys(names, "control"), PRE_TOKENIZER, merges=[" ".join(pair) for pair in pairs]
        )


def load_byte_pairs(folder: Path) -> BytePairTokenizer:
    """Read what `BytePairTokenizer.save` wrote; raise `ArtifactError` naming a file that is missing, altered or of other rules."""
    facts = read_json(folder / FACTS)
    try:
        ranks = parse_ranks((folder / _RANKS).read_bytes())
    except FileNotFoundError as error:
        raise ArtifactError(f"{folder / _RANKS} is missing") from error
    except ValueError as error:
        raise ArtifactError(f"{folder / _RANKS} is no list of ranks: {error}") from error
    if facts.get("pattern") != SPLIT_PATTERN:
        raise ArtifactError(
            f"{folder / FACTS} has the split pattern {facts.get('pattern')!r}; this version knows {SPLIT_PATTERN!r}"
        )
    special = facts.get("special")
    if not isinstance(special, dict) or END_OF_TEXT not in special or min(special.values()) < len(ranks):
        raise ArtifactError(f"{folder / FACTS}: special must name {END_OF_TEXT}, with ids from {len(ranks)} on")
    by_id = dict(sorted(special.items(), key=lambda item: item[1]))
    return BytePairTokenizer(ranks, by_id, facts["kind"])


def parse_ranks(data: bytes) -> dict[bytes, int]:
    """Read tiktoken's rank file: base64 and rank by line. Raises `ValueError` unless ranks are 0…n-1 and all bytes are there."""
    ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in (line.split() for line in data.splitlines())}
    if sorted(ranks.values()) != list(range(len(ranks))):
        raise ValueError(f"{len(ranks)} tokens, but their ranks are not 0 to {len(ranks) - 1}")
    if missing := [byte for byte in range(256) if bytes([byte]) not in ranks]:
        raise ValueError(f"the single bytes {missing} are missing")
    return ranks
