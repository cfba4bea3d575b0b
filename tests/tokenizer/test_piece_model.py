"""The oracle is the package `sentencepiece`, which reads the same file."""

import io

import pytest

from pellucid.core.errors import DataError
from pellucid.tokenizer.piece_model import piece_model_bytes, read_piece_model

sentencepiece = pytest.importorskip("sentencepiece")


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize("identity", [True, False])
def test_pieces_scores_and_rules_are_those_that_sentencepiece_reads(kind: str, identity: bool, sources: list[str]) -> None:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sources[0][:30_000].splitlines()),
        model_writer=model,
        model_type=kind,
        vocab_size=600 if kind == "bpe" else 400,
        byte_fallback=True,
        control_symbols=["<c>"],
        user_defined_symbols=["<u>"],
        normalization_rule_name="identity" if identity else "nmt_nfkc",
        add_dummy_prefix=identity,
        remove_extra_whitespaces=not identity,
        minloglevel=2,
    )
    read = read_piece_model(model.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    ids = range(processor.vocab_size())
    assert [piece.text for piece in read.pieces] == [processor.id_to_piece(id_) for id_ in ids]
    assert [piece.score for piece in read.pieces] == [processor.get_score(id_) for id_ in ids]
    kinds = [piece.kind for piece in read.pieces]
    assert [kind_ == "control" for kind_ in kinds] == [processor.is_control(id_) for id_ in ids]
    assert [kind_ == "byte" for kind_ in kinds] == [processor.is_byte(id_) for id_ in ids]
    assert [kind_ == "unknown" for kind_ in kinds] == [processor.is_unknown(id_) for id_ in ids]
    assert kinds[processor.piece_to_id("<u>")] == "user_defined"
    assert (read.is_bpe, read.normalises) == (kind == "bpe", not identity)
    assert (read.adds_dummy_prefix, read.removes_extra_whitespaces) == (identity, not identity)


@pytest.mark.parametrize("prefix", [True, False])
def test_a_model_that_is_written_is_read_as_it_was_and_encodes_alike_in_sentencepiece(prefix: bool, sources: list[str]) -> None:
    data = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sources[0][:30_000].splitlines()), model_writer=data, model_type="bpe", vocab_size=600,
        byte_fallback=True, normalization_rule_name="identity", add_dummy_prefix=prefix, remove_extra_whitespaces=False,
        eos_piece="<|end|>", minloglevel=2,
    )  # fmt: skip
    model = read_piece_model(data.getvalue())
    written = piece_model_bytes(model, {"unk": "<unk>", "bos": "<s>", "eos": "<|end|>", "pad": None})
    assert read_piece_model(written) == model
    ours, theirs = (sentencepiece.SentencePieceProcessor(model_proto=one) for one in (written, data.getvalue()))
    assert (ours.eos_id(), ours.bos_id(), ours.unk_id()) == (theirs.eos_id(), theirs.bos_id(), theirs.unk_id())
    assert ours.encode(sources[1].splitlines()) == theirs.encode(sources[1].splitlines())


@pytest.mark.parametrize("data", [b"", b"{}", b"\x0a\x05ab", b"\x0a\x02\x18\x09"])
def test_bytes_that_are_no_model_are_refused(data: bytes) -> None:
    with pytest.raises(DataError, match="this is no SentencePiece model"):
        read_piece_model(data)
