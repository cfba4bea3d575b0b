"""Any `tokenizer.json`: text as the package `tokenizers` encodes it, faster where a faster encoder provably agrees.

`tokenizers` defines what is right. For byte-level BPE the same merges and split pattern are given to quicktok, or to tiktoken
where quicktok has no scanner for the pattern; both are checked as `checked.py` says, on the whole vocabulary besides.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from pellucid.core.errors import DataError, MissingExtraError, UsageError
from pellucid.recipe.vocabulary import FIM_NAMES
from pellucid.tokenizer.byte_level import read_byte_level
from pellucid.tokenizer.checked import PROBE, CheckedEncoder, Ids, Offsets, refuse_surrogates, split_rows
from pellucid.tokenizer.huggingface import byte_alphabet
from pellucid.tokenizer.imported import ImportedFiles, choose_eos, read_imported, reload_imported
from pellucid.tokenizer.token_bytes import TokenBytes
from pellucid.tokenizer.tokenizer_json import check_tokenizer_json, panics_are_told
from pellucid.tokenizer.vocabulary import Vocabulary

__all__ = ["HuggingFaceTokenizer", "import_huggingface", "load_huggingface"]

KIND = "huggingface"


class _Reference:
    """`tokenizers` itself. Names of special tokens are text like any other; nothing is added, cut off or padded."""

    def __init__(self, data: bytes) -> None:
        try:
            import tokenizers
        except ImportError as error:
            raise MissingExtraError("tokenizers", "huggingface", "a vocabulary from a tokenizer.json") from error
        try:
            with panics_are_told("reading"):
                self.inner: Any = tokenizers.Tokenizer.from_str(data.decode())
        except DataError:
            raise
        except Exception as error:  # the package raises nothing more precise
            raise DataError(f"the package tokenizers cannot read this tokenizer.json: {error}") from error
        self.inner.no_truncation()
        self.inner.no_padding()
        self.inner.encode_special_tokens = True

    def encode(self, text: str) -> list[int]:
        """Return the ids of one text."""
        with panics_are_told("encoding a text"):
            ids: list[int] = self.inner.encode(text, add_special_tokens=False).ids
        return ids


class HuggingFaceTokenizer:
    """A vocabulary from a `tokenizer.json`; see `Tokenizer` for what it can do.

    The tokens of fill-in-the-middle are special even where the file does not say so (Qwen 2.5), as text must not become them.
    What text it gives back is up to its normalizer: after NFC, the text in NFC; after lower-casing, small letters. Raises
    `DataError` where text could yield a special id, or the same text different ids (dropout).
    """

    def __init__(self, files: ImportedFiles, eos: str | None = None) -> None:
        check_tokenizer_json(files.values("tokenizer.json"))
        self._files = files = files.with_special(name for names in FIM_NAMES for name in names)
        self._values = files.values("tokenizer.json")
        self._reference = _Reference(files.main)
        added = self._values.get("added_tokens") or []
        # What stands for unknown text comes out of text: it is no token that is placed by name.
        unknown = (self._values.get("model") or {}).get("unk_token")
        special = (token for token in added if token.get("special") and token["content"] != unknown)
        self.special: dict[str, int] = {token["content"]: token["id"] for token in special}
        self.vocab_tokens = 1 + max(self._reference.inner.get_vocab(with_added_tokens=True).values())
        self._plain = read_byte_level(self._values)
        if (self._values.get("model") or {}).get("dropout"):
            raise DataError("this tokenizer.json has model.dropout: the same text would get different ids; set it to null")
        self._refuse_specials_in_text()
        self.eos = choose_eos(self.special, eos, files.named_eos)
        self.eos_id = self.special[self.eos]
        named = files.named_bos
        self.bos = named if named is not None and named in self.special else self.eos
        strips = ((token["content"], bool(token.get("lstrip")), bool(token.get("rstrip"))) for token in added)
        self.swallows: Mapping[str, tuple[bool, bool]] = {
            name: (left, right) for name, left, right in strips if (left or right) and name in self.special
        }

    def _refuse_specials_in_text(self) -> None:
        ids = set(self.special.values())
        for name in self.special:
            if found := ids.intersection(self._reference.encode(name), self._reference.encode(f"a {name}\n")):
                raise DataError(
                    f"the text {name!r} gets the special id {min(found)}: with such a vocabulary, documents could end or begin "
                    "parts by what they say. Choose another vocabulary"
                )

    @cached_property
    def _encoder(self) -> CheckedEncoder:
        plain = self._plain
        if plain is None:
            return CheckedEncoder(self._reference, None, ("", "tokenizers"))
        # Every token as a text of its own shows where merging in another order, or not at all, would give other ids.
        texts = [text for token in plain.ranks if "\ufffd" not in (text := token.decode(errors="replace"))]
        return CheckedEncoder(
            self._reference, plain.open_fast, (plain.engine, "tokenizers"), probe=(*PROBE, *plain.probe, *texts), leave=plain.leave
        )

    @cached_property
    def _inside(self) -> _Reference | None:
        """`tokenizers` for what does not begin a text; None where that makes no difference."""
        inside = _never_first(self._values.get("pre_tokenizer"))
        if inside == self._values.get("pre_tokenizer"):
            return None
        return _Reference(orjson.dumps({**self._values, "pre_tokenizer": inside}))

    @cached_property
    def _bytes(self) -> TokenBytes:
        tokens: dict[str, int] = self._reference.inner.get_vocab(with_added_tokens=True)
        added = {token["content"] for token in self._values.get("added_tokens") or []}
        bytes_of = {letter: byte for byte, letter in byte_alphabet().items()}
        decoders = _kinds(self._values.get("decoder"))

        def as_bytes(token: str) -> bytes:
            if token in added:
                return token.encode()
            if "ByteLevel" in decoders and all(letter in bytes_of for letter in token):
                return bytes(bytes_of[letter] for letter in token)
            if "ByteFallback" in decoders and len(token) == 6 and token.startswith("<0x"):
                return bytes([int(token[3:5], 16)])
            return token.replace("▁", " ").encode()

        return TokenBytes({id_: as_bytes(token) for token, id_ in tokens.items()}, self.vocab_tokens)

    @property
    def is_fast(self) -> bool:
        """Whether a faster encoder than `tokenizers` is at work, with the same ids."""
        return self._encoder.is_fast

    def encode(self, text: str) -> list[int]:
        """Return the ids of one text: `tokenizers`' own, without special tokens. Raises `DataError` on lone surrogates."""
        ids: list[int] = self._encoder.encode_batch([text])[0].tolist()
        return ids

    def encode_after(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text as they are after a special token, without the space that some put before a first word."""
        if self._inside is None:
            return split_rows(*self._encoder.encode_batch(texts))
        refuse_surrogates(texts)
        return [self._inside.encode(text) for text in texts]

    def encode_batch(self, texts: Sequence[str], threads: int = 1) -> tuple[Ids, Offsets]:
        """Return all ids in one uint32 array, and int64 offsets (n+1): text `i` is `ids[offsets[i]:offsets[i + 1]]`."""
        return self._encoder.encode_batch(texts, threads)

    def decode(self, ids: Iterable[int]) -> str:
        """Return `tokenizers`' own text for the ids, special tokens by their names; an id with no token shows as U+FFFD."""
        text, known = "", []
        for id_ in map(int, ids):
            if self._reference.inner.id_to_token(id_) is not None:
                known.append(id_)
                continue
            text += self._known(known) + "\ufffd"
            known = []
        return text + self._known(known)

    def _known(self, ids: list[int]) -> str:
        with panics_are_told("decoding ids"):
            text: str = self._reference.inner.decode(ids, skip_special_tokens=False)
        return text

    def decode_after(self, ids: Iterable[int]) -> str:
        """Return the text that the ids add after other text."""
        return self._bytes.as_text(ids)

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the bytes that the ids add after other text. Raises `DataError` on an id with no token."""
        return self._bytes.exactly(ids)

    def save(self, folder: Path) -> None:
        """Write the files as they were read, with the tokens of fill-in-the-middle marked as special."""
        self._files.save(folder, self.eos)

    def save_for_transformers(self, folder: Path, context_tokens: int) -> None:
        """Write the files as they were read, except for what would contradict training: ends of texts, what is added to them."""
        self._files.save_for_transformers(folder, self.eos, context_tokens, "PreTrainedTokenizerFast")

    def may_differ(self, text: str) -> bool:
        """False: transformers reads this very file."""
        return False

    def vocabulary(self) -> Vocabulary:
        """Return tokens and merges as llama.cpp reads them. Raises `UsageError` where it does not know the split pattern."""
        if self._plain is None:
            raise UsageError("llama.cpp cannot be given this tokenizer.json exactly: it is no plain byte-level BPE; export hf only")
        return self._plain.vocabulary(self._values)


def _kinds(decoder: Any) -> set[str]:
    """Return the types of a decoder and of those inside it."""
    if not isinstance(decoder, dict):
        return set()
    return {str(decoder.get("type"))}.union(*(_kinds(inner) for inner in decoder.get("decoders") or []))


def _never_first(pre_tokenizer: Any) -> Any:
    """Return a pre-tokenizer that puts no space before a text's first word where it would before that word only."""
    if not isinstance(pre_tokenizer, dict):
        return pre_tokenizer
    if pre_tokenizer.get("type") == "Sequence":
        return {**pre_tokenizer, "pretokenizers": [_never_first(step) for step in pre_tokenizer.get("pretokenizers") or []]}
    return {**pre_tokenizer, "prepend_scheme": "never"} if pre_tokenizer.get("prepend_scheme") == "first" else pre_tokenizer


def import_huggingface(path: Path, eos: str | None) -> HuggingFaceTokenizer:
    """Read a published `tokenizer.json` and its neighbours; `eos` is the recipe's choice. Raises `UsageError`, `DataError`."""
    return HuggingFaceTokenizer(read_imported(KIND, path), eos)


def load_huggingface(folder: Path) -> HuggingFaceTokenizer:
    """Read what `HuggingFaceTokenizer.save` wrote."""
    return HuggingFaceTokenizer(*reload_imported(KIND, folder))
