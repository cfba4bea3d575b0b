"""Whether the ids of a run mean to the weights it begins with what they mean to the run: two vocabularies, token by token."""

import warnings
from collections.abc import Iterator
from pathlib import Path

from pellucid.core.errors import DataError, PellucidWarning
from pellucid.core.files import read_json
from pellucid.core.gguf import read_gguf
from pellucid.recipe.vocabulary import TOKENIZER_FILES
from pellucid.tokenizer.piece_model import read_piece_model

__all__ = ["tokens_by_id", "warn_of_other_tokens"]

# llama.cpp's type of rows that no token has.
_UNUSED = 5


def warn_of_other_tokens(start: Path, tokenizer: Path) -> None:
    """Warn when ids meant other tokens to the weights at `start` than they mean in the folder `tokenizer`.

    Compared is the vocabulary inside a GGUF file, or the one that lies with a Hugging Face folder or with a run; nothing is said
    where there is none. An id that only one of the two has stands for nothing else.
    """
    ours = next(_vocabularies(tokenizer), None)
    file = next(_of_weights(start, ours), None) if ours is not None else None
    if ours is None or file is None:
        return
    theirs, tokens = tokens_by_id(file), tokens_by_id(ours)
    if others := sum(theirs.get(id_, token) != token for id_, token in tokens.items()):
        warnings.warn(
            f"{others} of {len(tokens)} token ids stand for another token in {file}: the weights will have to learn them anew. "
            "Take the vocabulary that lies with the weights (tokenizer.kind: huggingface, sentencepiece or gguf)",
            PellucidWarning,
            stacklevel=2,
        )


def tokens_by_id(file: Path) -> dict[int, str]:
    """Return the tokens of a tokenizer.json, a SentencePiece model or a GGUF file as they are spelled there, by id."""
    if file.name == TOKENIZER_FILES["sentencepiece"]:
        try:
            return {id_: piece.text for id_, piece in enumerate(read_piece_model(file.read_bytes()).pieces)}
        except DataError as error:
            raise DataError(f"{file}: {error}") from error
    if file.name != TOKENIZER_FILES["huggingface"]:
        fields = read_gguf(file).fields
        spelled = fields.get("tokenizer.ggml.tokens") or []
        kinds = fields.get("tokenizer.ggml.token_type") or [1] * len(spelled)
        return {id_: token for id_, (token, kind) in enumerate(zip(spelled, kinds, strict=False)) if kind != _UNUSED}
    values = read_json(file)
    vocabulary = values.get("model", {}).get("vocab", {})
    # Unigram models have a list of pieces and scores, by id.
    entries = ((piece[0], id_) for id_, piece in enumerate(vocabulary)) if isinstance(vocabulary, list) else vocabulary.items()
    return {id_: token for token, id_ in entries} | {token["id"]: token["content"] for token in values.get("added_tokens", [])}


def _of_weights(start: Path, ours: Path) -> Iterator[Path]:
    """The vocabularies that lie with weights, those of the same kind as ours first."""
    if start.is_file():
        yield start
        return
    run = start.resolve().parents[2:3]  # of a checkpoint: RUN/STAGE/checkpoints/step-N
    found = [file for folder in (start, *(parent / "tokenizer" for parent in run)) for file in _vocabularies(folder)]
    yield from sorted(found, key=lambda file: file.name != ours.name)


def _vocabularies(folder: Path) -> Iterator[Path]:
    yield from (folder / name for name in ("tokenizer.json", "tokenizer.model") if (folder / name).is_file())
