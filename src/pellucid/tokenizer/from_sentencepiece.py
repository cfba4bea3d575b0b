"""A SentencePiece vocabulary (Llama 2): text as the package `sentencepiece` encodes it, one document at a time.

What it does to a text before it looks for pieces is its own: a space is put before it, blanks are kept or joined as the model
says, what has no piece is spelled in bytes. No begin or end of text is added, and the names of control pieces are text.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pellucid.core.errors import DataError, MissingExtraError, UsageError
from pellucid.core.files import read_json, write_bytes, write_json
from pellucid.recipe.vocabulary import TOKENIZER_FILES
from pellucid.tokenizer.checked import Ids, Offsets, join_rows, refuse_surrogates
from pellucid.tokenizer.imported import CONFIG, ImportedFiles, choose_eos, read_imported, reload_imported
from pellucid.tokenizer.piece_json import SPACE, PieceTies, piece_tokenizer_json
from pellucid.tokenizer.piece_model import PieceModel, read_piece_model
from pellucid.tokenizer.token_bytes import TokenBytes
from pellucid.tokenizer.vocabulary import Vocabulary

__all__ = ["SentencePieceTokenizer", "import_sentencepiece", "load_sentencepiece"]

KIND = "sentencepiece"
_SAME_SCORE = 1e-5
_OF_THEIR_READING = (
    "add_prefix_space",
    "added_tokens_decoder",
    "from_slow",
    "legacy",
    "sp_model_kwargs",
    "spaces_between_special_tokens",
)


class SentencePieceTokenizer:
    """A vocabulary from a SentencePiece `.model`; see `Tokenizer` for what it can do. `special` are its control pieces."""

    swallows: Mapping[str, tuple[bool, bool]] = MappingProxyType({})

    def __init__(self, files: ImportedFiles, eos: str | None = None) -> None:
        self._files = files
        self._model: PieceModel = read_piece_model(files.main)
        self._processor = _open(files.main)
        pieces = self._model.pieces
        self.special: dict[str, int] = {piece.text: id_ for id_, piece in enumerate(pieces) if piece.kind == "control"}
        self.vocab_tokens = len(pieces)
        own_eos = int(self._processor.eos_id())
        named = pieces[own_eos].text if own_eos >= 0 else files.named_eos
        self.eos = choose_eos(self.special, eos, named)
        self.eos_id = self.special[self.eos]
        own_bos = int(self._processor.bos_id())
        bos = pieces[own_bos].text if own_bos >= 0 else files.named_bos
        self.bos = bos if bos is not None and bos in self.special else self.eos

    @cached_property
    def _inside(self) -> Any:
        """The processor that puts no space before a text."""
        # Messages written one after the other are merged: this is a normalizer_spec that holds nothing but add_dummy_prefix, false.
        return _open(self._files.main + b"\x1a\x02\x18\x00")

    @cached_property
    def _ties(self) -> PieceTies:
        return PieceTies(self._model)

    @cached_property
    def _bytes(self) -> TokenBytes:
        by_id = {}
        for id_, piece in enumerate(self._model.pieces):
            is_byte = piece.kind == "byte"
            by_id[id_] = bytes([int(piece.text[3:5], 16)]) if is_byte else piece.text.replace(SPACE, " ").encode()
        return TokenBytes(by_id, self.vocab_tokens)

    @property
    def is_fast(self) -> bool:
        """True: there is one encoder."""
        return True

    def encode(self, text: str) -> list[int]:
        """Return the ids of one text, those of `EncodeAsIds`. Raises `DataError` on lone surrogates."""
        ids: list[int] = self.encode_batch([text])[0].tolist()
        return ids

    def encode_after(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text as they are after a special token, without the space that begins a text (as transformers)."""
        refuse_surrogates(texts)
        rows: list[list[int]] = self._inside.encode(list(texts), out_type=int) if texts else []
        return rows

    def encode_batch(self, texts: Sequence[str], threads: int = 1) -> tuple[Ids, Offsets]:
        """Return all ids in one uint32 array, and int64 offsets (n+1): text `i` is `ids[offsets[i]:offsets[i + 1]]`."""
        refuse_surrogates(texts)
        return join_rows(self._processor.encode(list(texts), out_type=int, num_threads=threads) if texts else [])

    def decode(self, ids: Iterable[int]) -> str:
        """Return SentencePiece's own text for the ids, control pieces by their names; an id with no token shows as U+FFFD."""
        parts: list[str] = []
        run: list[int] = []
        for id_ in [*map(int, ids), -1]:
            is_piece = 0 <= id_ < self.vocab_tokens and self._model.pieces[id_].kind != "control"
            if is_piece:
                run.append(id_)
                continue
            if run:
                # Only what begins a text has the space that was put before it.
                parts.append(self._bytes.as_text(run) if parts else self._processor.decode(run))
            if id_ >= 0:
                parts.append(self._model.pieces[id_].text if id_ < self.vocab_tokens else "\ufffd")
            run = []
        return "".join(parts)

    def decode_after(self, ids: Iterable[int]) -> str:
        """Return the text that the ids add after other text: the space that begins a word is kept."""
        return self._bytes.as_text(ids)

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the bytes that the ids add after other text. Raises `DataError` on an id with no token."""
        return self._bytes.exactly(ids)

    def save(self, folder: Path) -> None:
        """Write the files as they were read."""
        self._files.save(folder, self.eos)

    def save_for_transformers(self, folder: Path, context_tokens: int) -> None:
        """Write the files as they were read, except for what would contradict training, and a `tokenizer.json` of them."""
        self._files.save_for_transformers(folder, self.eos, context_tokens, "PreTrainedTokenizerFast")
        write_bytes(folder / TOKENIZER_FILES["huggingface"], piece_tokenizer_json(self._model))
        # These speak of transformers' own reading of the model, or would be taken for more tokens than there are.
        config = {name: value for name, value in read_json(folder / CONFIG).items() if name not in _OF_THEIR_READING}
        write_json(folder / CONFIG, {**config, "tokenizer_class": "PreTrainedTokenizerFast"})

    def may_differ(self, text: str) -> bool:
        """Tell whether transformers may split the text otherwise: two ways are equally good, or it prepares the text otherwise.

        Of a letter with several marks its normaliser loses some; and where SentencePiece takes the blanks away that begin a text,
        it puts no space in their place.
        """
        model = self._model
        if model.normalises and any(map(unicodedata.combining, text)):
            return True
        if model.removes_extra_whitespaces and text and not self.encode(text[0]):
            return True
        return self._ties.found_in(text) if model.is_bpe else self._is_tied(text)

    def _is_tied(self, text: str) -> bool:
        """Whether Unigram's two best splits are equally likely within float32's rounding."""
        if not text:
            return False
        best = self._processor.nbest_encode(text, nbest_size=2, out_type=int)
        scores = [sum(self._model.pieces[id_].score for id_ in ids) for ids in best]
        return len(scores) == 2 and abs(scores[0] - scores[1]) <= _SAME_SCORE * max(1.0, abs(scores[0]))

    def vocabulary(self) -> Vocabulary:
        """Return pieces and scores as llama.cpp reads them. Raises `UsageError` for another algorithm than SentencePiece's BPE."""
        model = self._model
        if not model.is_bpe or model.normalises or model.removes_extra_whitespaces:
            what = "its text is normalised or its blanks are joined" if model.is_bpe else "its algorithm is not BPE"
            raise UsageError(
                f"llama.cpp cannot be given this SentencePiece model exactly: {what}; leave gguf out of export.formats"
            )
        pieces = dict(enumerate(model.pieces))
        kinds = {id_: piece.kind for id_, piece in pieces.items() if piece.kind != "normal"}
        return Vocabulary(
            "llama",
            {id_: piece.text for id_, piece in pieces.items()},
            kinds,
            scores={id_: piece.score for id_, piece in pieces.items()},
            adds_space_prefix=model.adds_dummy_prefix,
        )


def _open(data: bytes) -> Any:
    try:
        import sentencepiece
    except ImportError as error:
        raise MissingExtraError("sentencepiece", "sentencepiece", "a SentencePiece vocabulary") from error
    try:
        return sentencepiece.SentencePieceProcessor(model_proto=data)
    except (RuntimeError, ValueError, OSError) as error:
        raise DataError(f"the package sentencepiece cannot read this model: {error}") from error


def import_sentencepiece(path: Path, eos: str | None) -> SentencePieceTokenizer:
    """Read a published SentencePiece model and its neighbours; `eos` is the recipe's choice. Raises `UsageError`, `DataError`."""
    return SentencePieceTokenizer(read_imported(KIND, path), eos)


def load_sentencepiece(folder: Path) -> SentencePieceTokenizer:
    """Read what `SentencePieceTokenizer.save` wrote."""
    return SentencePieceTokenizer(*reload_imported(KIND, folder))
