"""What the rest of Pellucid may ask of any tokenizer, and that each is found again by its folder."""

import inspect
from pathlib import Path

import pytest

from pellucid.core.errors import ArtifactError
from pellucid.core.files import write_json
from pellucid.tokenizer.bpe import BytePairTokenizer
from pellucid.tokenizer.from_huggingface import HuggingFaceTokenizer
from pellucid.tokenizer.from_sentencepiece import SentencePieceTokenizer
from pellucid.tokenizer.tokenizer import Tokenizer, load_tokenizer


@pytest.mark.parametrize("kind", [BytePairTokenizer, HuggingFaceTokenizer, SentencePieceTokenizer])
def test_every_kind_answers_what_is_asked_of_a_tokenizer_with_the_same_parameters(kind: type) -> None:
    asked = {name: value for name, value in vars(Tokenizer).items() if callable(value) and not name.startswith("_")}
    assert {
        "encode",
        "encode_after",
        "encode_batch",
        "decode",
        "decode_after",
        "decode_bytes",
        "save",
        "vocabulary",
    } <= asked.keys()
    for name, value in asked.items():
        assert inspect.signature(getattr(kind, name)).parameters.keys() == inspect.signature(value).parameters.keys()


def test_a_folder_is_read_as_what_it_says_it_is(trained: BytePairTokenizer, tmp_path: Path) -> None:
    trained.save(tmp_path)
    assert isinstance(load_tokenizer(tmp_path), BytePairTokenizer)
    write_json(tmp_path / "pellucid_tokenizer.json", {"kind": "wordpiece"})
    with pytest.raises(ArtifactError, match="is of the kind 'wordpiece'; this version reads bpe, arcade100k, huggingface"):
        load_tokenizer(tmp_path)
    (tmp_path / "pellucid_tokenizer.json").unlink()
    with pytest.raises(ArtifactError, match=r"pellucid_tokenizer\.json is missing"):
        load_tokenizer(tmp_path)
