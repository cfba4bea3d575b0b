import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.errors import DataError, PellucidWarning
from pellucid.export.gguf import write_gguf
from pellucid.export.probes import probe_texts
from pellucid.model.decoder import Decoder
from pellucid.recipe.model import ModelConfig
from pellucid.stages.other_tokens import tokens_by_id, warn_of_other_tokens
from pellucid.tokenizer.bpe import BytePairTokenizer
from pellucid.tokenizer.from_gguf import import_gguf
from pellucid.tokenizer.from_sentencepiece import SentencePieceTokenizer, import_sentencepiece
from pellucid.tokenizer.training import train_bpe

SHAPE: dict[str, Any] = {
    "vocab_tokens": 640, "context_tokens": 96, "layers": 1, "hidden": 32, "heads": 2, "kv_heads": 2, "mlp_hidden": 32,
    "norm": "rmsnorm", "norm_bias": False, "rotary_frac": 1.0, "qkv_bias": False, "tied_head": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def vocabulary() -> BytePairTokenizer:
    return train_bpe(probe_texts(), 600)


@pytest.fixture(scope="module")
def other() -> BytePairTokenizer:
    return train_bpe(probe_texts()[:60], 600)


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> SentencePieceTokenizer:
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = tmp_path_factory.mktemp("pieces")
    with (folder / "tokenizer.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(line for text in probe_texts() for line in text.splitlines()), model_writer=file,
            model_type="bpe", vocab_size=630, byte_fallback=True, normalization_rule_name="identity", minloglevel=2,
            remove_extra_whitespaces=False, num_threads=1,
        )  # fmt: skip
    return import_sentencepiece(folder, None)


def saved(tokenizer: Any, folder: Path) -> Path:
    folder.mkdir(parents=True)
    tokenizer.save(folder)
    return folder


def exported(tokenizer: Any, file: Path) -> Path:
    pytest.importorskip("gguf")
    model = Decoder(ModelConfig(**SHAPE))
    write_gguf(model.state_dict(), model.config, tokenizer, file, dtype="F16", name="t")
    return file


def warned(start: Path, tokenizer: Path) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PellucidWarning)
        warn_of_other_tokens(start, tokenizer)
    return [str(one.message) for one in caught]


def test_nothing_is_said_of_the_very_vocabulary_that_lies_with_the_weights(
    vocabulary: BytePairTokenizer, pieces: SentencePieceTokenizer, tmp_path: Path
) -> None:
    for name, tokenizer in (("bpe", vocabulary), ("pieces", pieces)):
        ours = saved(tokenizer, tmp_path / f"{name}-run")
        file = exported(tokenizer, tmp_path / f"{name}.gguf")
        taken = saved(import_gguf(file, None), tmp_path / f"{name}-taken")
        for start in (file, ours, taken):
            assert warned(start, ours) == warned(start, taken) == []


def test_other_tokens_are_counted_whatever_the_weights_lie_in(
    vocabulary: BytePairTokenizer, other: BytePairTokenizer, pieces: SentencePieceTokenizer, tmp_path: Path
) -> None:
    ours = saved(vocabulary, tmp_path / "ours")
    theirs = {id_: token for token, id_ in json.loads((ours / "tokenizer.json").read_text())["model"]["vocab"].items()}
    for start in (saved(other, tmp_path / "folder"), exported(other, tmp_path / "m.gguf")):
        found = tokens_by_id(start if start.is_file() else start / "tokenizer.json")
        differing = sum(found[id_] != token for id_, token in theirs.items())
        (message,) = warned(start, ours)
        assert message.startswith(f"{differing} of 600 token ids stand for another token in {start}")
    (message,) = warned(saved(pieces, tmp_path / "pieces"), ours)
    assert "stand for another token in" in message and "tokenizer.model" in message


def test_a_checkpoint_of_another_run_has_its_vocabulary_in_that_run(
    vocabulary: BytePairTokenizer, other: BytePairTokenizer, tmp_path: Path
) -> None:
    ours = saved(vocabulary, tmp_path / "ours")
    saved(other, tmp_path / "run" / "tokenizer")
    checkpoint = tmp_path / "run" / "pretrain" / "checkpoints" / "step-00000001"
    checkpoint.mkdir(parents=True)
    assert len(warned(checkpoint, ours)) == 1
    assert warned(checkpoint, tmp_path / "run" / "tokenizer") == []


def test_where_no_vocabulary_lies_with_the_weights_nothing_is_said(vocabulary: BytePairTokenizer, tmp_path: Path) -> None:
    assert warned(tmp_path, saved(vocabulary, tmp_path / "ours")) == []


def test_a_list_of_pieces_is_read_by_its_order_and_a_broken_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": [["a", -1.0], ["b", -2.0]]}, "added_tokens": []}))
    assert tokens_by_id(tmp_path / "tokenizer.json") == {0: "a", 1: "b"}
    (tmp_path / "tokenizer.model").write_bytes(b"{}")
    with pytest.raises(DataError, match=r"tokenizer\.model: this is no SentencePiece model"):
        tokens_by_id(tmp_path / "tokenizer.model")
