"""The oracle is the package `sentencepiece`: `EncodeAsIds` and `DecodeIds`."""

import io
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.errors import DataError, MissingExtraError, UsageError
from pellucid.tokenizer.from_sentencepiece import SentencePieceTokenizer, import_sentencepiece
from pellucid.tokenizer.tokenizer import load_tokenizer

sentencepiece = pytest.importorskip("sentencepiece")

# As Llama 2's: blanks kept, single digits, bytes for what has no piece. And as the package does by itself.
LLAMA = {
    "model_type": "bpe",
    "vocab_size": 700,
    "byte_fallback": True,
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
    "split_digits": True,
    "user_defined_symbols": ["<sep>"],
    "control_symbols": ["<fim_prefix>"],
}
SETTINGS: dict[str, dict[str, Any]] = {"llama": LLAMA, "unigram": {"model_type": "unigram", "vocab_size": 500}}
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
_HARD = [*"aeSs' \n\t019²½.▁éα中\U0001f916\u0301\xa0\0", "<s>", "</s>", "<0x0A>", "<unk>", "<sep>", "<fim_prefix>", "   "]
HARD_TEXT = st.lists(st.sampled_from(_HARD), max_size=40).map("".join)


@pytest.fixture(scope="session")
def folder(sources: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pieces")
    lines = [line for text in sources[:20] for line in text[:8000].splitlines() if line.strip()]
    for name, settings_ in SETTINGS.items():
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=model, minloglevel=2, num_threads=1, **settings_
        )
        (folder / f"{name}.model").write_bytes(model.getvalue())
    return folder


@pytest.fixture(scope="session")
def imported(folder: Path) -> dict[str, SentencePieceTokenizer]:
    return {name: import_sentencepiece(folder / f"{name}.model", None) for name in SETTINGS}


def oracle(tokenizer: SentencePieceTokenizer) -> Any:
    return sentencepiece.SentencePieceProcessor(model_proto=tokenizer._files.main)


@given(text=ANY_TEXT | HARD_TEXT, name=st.sampled_from(list(SETTINGS)))
@settings(max_examples=300)
def test_any_text_gets_sentencepieces_own_ids_and_never_a_special_one(
    imported: dict[str, SentencePieceTokenizer], text: str, name: str
) -> None:
    tokenizer = imported[name]
    ids = tokenizer.encode(text)
    assert ids == oracle(tokenizer).EncodeAsIds(text)
    assert not set(ids) & set(tokenizer.special.values())
    assert tokenizer.decode(ids) == oracle(tokenizer).DecodeIds(ids)


@given(text=ANY_TEXT | HARD_TEXT)
@settings(max_examples=200)
def test_with_bytes_to_fall_back_on_any_text_without_its_mark_for_a_space_comes_back_exactly(
    imported: dict[str, SentencePieceTokenizer], text: str
) -> None:
    tokenizer, text = imported["llama"], text.replace("▁", "")
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    # After other text, the space that was put before it is there.
    assert tokenizer.decode_bytes(ids) == (" " + text if text else "").encode()
    assert tokenizer.decode_after(ids) == tokenizer.decode_bytes(ids).decode()


def test_batches_give_flat_ids_and_offsets(imported: dict[str, SentencePieceTokenizer], hard_texts: tuple[str, ...]) -> None:
    tokenizer, texts = imported["llama"], list(hard_texts)
    ids, offsets = tokenizer.encode_batch(texts)
    assert (ids.dtype, offsets.dtype) == (np.uint32, np.int64)
    assert [ids[start:end].tolist() for start, end in pairwise(offsets)] == [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode_batch([])[1].tolist() == [0]


def test_control_pieces_are_special_and_the_model_says_which_ends_a_text(imported: dict[str, SentencePieceTokenizer]) -> None:
    tokenizer = imported["llama"]
    assert tokenizer.special == {"<s>": 1, "</s>": 2, "<fim_prefix>": 3}
    assert (tokenizer.eos_id, tokenizer.vocab_tokens) == (2, 700)
    assert tokenizer.decode([*tokenizer.encode("ab"), 2, *tokenizer.encode("cd"), 700]) == "ab</s> cd\ufffd"
    with pytest.raises(DataError, match="id 700 has no token"):
        tokenizer.decode_bytes([700])


def test_the_recipe_may_name_another_end_of_text_but_only_a_special_one(folder: Path) -> None:
    assert import_sentencepiece(folder / "llama.model", "<s>").eos_id == 1
    with pytest.raises(UsageError, match=r"tokenizer\.eos: '<sep>' is no special token.*'<s>', '</s>', '<fim_prefix>'"):
        import_sentencepiece(folder / "llama.model", "<sep>")


def test_what_is_saved_loads_as_the_same_tokenizer_with_its_file_unchanged(
    imported: dict[str, SentencePieceTokenizer], tmp_path: Path
) -> None:
    tokenizer = imported["llama"]
    tokenizer.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert loaded.encode("a b  c") == tokenizer.encode("a b  c")
    assert (loaded.special, loaded.eos_id) == (tokenizer.special, tokenizer.eos_id)
    assert (tmp_path / "tokenizer.model").read_bytes() == tokenizer._files.main


def test_transformers_gets_a_tokenizer_json_with_the_same_ids_whatever_lay_beside_the_model(
    folder: Path, hard_texts: tuple[str, ...], tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    beside = {
        "tokenizer_config.json": b'{"legacy": true, "add_prefix_space": true, "tokenizer_class": "LlamaTokenizer"}',
        "tokenizer.json": b"{}",
    }
    (tmp_path / "in").mkdir()
    for name, data in {**beside, "tokenizer.model": (folder / "llama.model").read_bytes()}.items():
        (tmp_path / "in" / name).write_bytes(data)
    tokenizer = import_sentencepiece(tmp_path / "in", None)
    tokenizer.save_for_transformers(tmp_path / "out", 1024)
    read = transformers.AutoTokenizer.from_pretrained(tmp_path / "out", local_files_only=True)
    # Alone between pieces that are cut out, the name of a special token is looked up whole.
    for text in (*(text for text in hard_texts if "<s>" not in text), " a", "  a", "▁a", "<sep> a<sep>"):
        ids = read(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        assert ids == tokenizer.encode(text)
        assert read.decode(ids) == tokenizer.decode(ids)
    after = tokenizer.encode_after([" b", "c"])
    assert read("a</s> b</s>c")["input_ids"] == [*tokenizer.encode("a"), 2, *after[0], 2, *after[1]]
    assert load_tokenizer(tmp_path / "out").encode(" a") == tokenizer.encode(" a")


def test_only_texts_that_can_be_split_in_two_good_ways_or_are_prepared_otherwise_may_differ(
    imported: dict[str, SentencePieceTokenizer],
) -> None:
    plain, normalised = imported["llama"], imported["unigram"]
    assert [plain.may_differ(text) for text in ("", "def f(x):", " a", "e\u0301")] == [False] * 4
    assert [normalised.may_differ(text) for text in ("", "x = self", " a", "\u3000a", "e\u0301")] == [
        False,
        False,
        True,
        True,
        True,
    ]


def test_llama_2_gives_sentencepieces_ids_in_seven_languages(
    published_file: Callable[[str], Path], seven_languages: list[str], hard_texts: tuple[str, ...]
) -> None:
    tokenizer = import_sentencepiece(published_file("llama2_tokenizer.model"), None)
    assert (tokenizer.vocab_tokens, tokenizer.eos_id, tokenizer.special) == (32_000, 2, {"<s>": 1, "</s>": 2})
    texts = [*hard_texts, *seven_languages]
    ids, offsets = tokenizer.encode_batch(texts)
    assert [ids[start:end].tolist() for start, end in pairwise(offsets)] == oracle(tokenizer).EncodeAsIds(texts)
    assert all(tokenizer.decode(tokenizer.encode(text)) == text for text in seven_languages[:100])


def test_a_lone_surrogate_is_named_with_its_place(imported: dict[str, SentencePieceTokenizer]) -> None:
    with pytest.raises(DataError, match=r"text 1 of 2 holds the lone surrogate U\+DC80 at character 2"):
        imported["llama"].encode_batch(["fine", "ab\udc80"])


@pytest.mark.parametrize("data", [b"", b"\x0a\xff", b"not a model at all", b"\x0a\x02\x18\x09"])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "tokenizer.model").write_bytes(data)
    with pytest.raises(DataError, match="no SentencePiece model"):
        import_sentencepiece(tmp_path, None)


def test_a_place_without_a_model_is_told_with_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"tokenizer\.path: .* is a folder; tokenizer\.model is not in it"):
        import_sentencepiece(tmp_path, None)
    with pytest.raises(UsageError, match=r"tokenizer\.path: .*x\.model is not there; download"):
        import_sentencepiece(tmp_path / "x.model", None)


def test_llama_cpp_is_told_pieces_scores_and_kinds_or_refused(imported: dict[str, SentencePieceTokenizer]) -> None:
    vocabulary = imported["llama"].vocabulary()
    processor = oracle(imported["llama"])
    assert vocabulary.tokens == {id_: processor.id_to_piece(id_) for id_ in range(700)}
    assert vocabulary.scores == {id_: pytest.approx(processor.get_score(id_)) for id_ in range(700)}
    kinds = {id_ for id_, kind in vocabulary.kinds.items() if kind == "byte"}
    assert kinds == {id_ for id_ in range(700) if processor.is_byte(id_)} and len(kinds) == 256
    assert vocabulary.kinds[0] == "unknown" and vocabulary.kinds[2] == "control" and vocabulary.adds_space_prefix
    assert [vocabulary.tokens[id_] for id_, kind in vocabulary.kinds.items() if kind == "user_defined"] == ["<sep>"]
    with pytest.raises(UsageError, match="its algorithm is not BPE"):
        imported["unigram"].vocabulary()


def test_without_the_package_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pellucid\[sentencepiece\]'"):
        import_sentencepiece(folder / "llama.model", None)
