"""The oracle is the package `tokenizers`, told to take the names of special tokens for text."""

import json
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.errors import DataError, PellucidWarning, UsageError
from pellucid.tokenizer import from_huggingface
from pellucid.tokenizer.from_huggingface import HuggingFaceTokenizer, import_huggingface
from pellucid.tokenizer.huggingface import tokenizer_json
from pellucid.tokenizer.tokenizer import load_tokenizer

tokenizers = pytest.importorskip("tokenizers")

SPECIALS = ["<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"]
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
_HARD = [*"aeSst'’ \n\r\t\v019²½٣.,!-_ſßéα中한\U0001f916\u0301\u200d\xa0\u2028\x1c\x85\0▁", *SPECIALS, "<s>", "  "]
HARD_TEXT = st.lists(st.sampled_from(_HARD), max_size=40).map("".join)
PUBLISHED = {"gpt2.json": None, "gptneox_20B_tokenizer.json": "<|endoftext|>"}


def made(kind: str, texts: list[str]) -> str:
    """Train a vocabulary of 600 with the package itself, and return its tokenizer.json."""
    models, pre, norm = tokenizers.models, tokenizers.pre_tokenizers, tokenizers.normalizers
    byte_level = pre.ByteLevel(add_prefix_space=False)
    common = {"vocab_size": 600, "special_tokens": SPECIALS, "show_progress": False}
    alphabet = {"initial_alphabet": pre.ByteLevel.alphabet()}
    if kind == "wordpiece":
        inner = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
        inner.normalizer, inner.pre_tokenizer = norm.BertNormalizer(), pre.BertPreTokenizer()
        inner.decoder = tokenizers.decoders.WordPiece()
        inner.train_from_iterator(texts, tokenizers.trainers.WordPieceTrainer(**{**common, "special_tokens": [*SPECIALS, "[UNK]"]}))
    else:
        inner = tokenizers.Tokenizer(models.BPE())
        inner.decoder = tokenizers.decoders.ByteLevel()
        inner.pre_tokenizer = pre.Sequence([pre.Digits(individual_digits=True), byte_level]) if kind == "digits" else byte_level
        if kind == "nfc":
            inner.normalizer = norm.NFC()
        inner.train_from_iterator(texts, tokenizers.trainers.BpeTrainer(**common, **alphabet))
        if kind == "nfc":
            inner.add_tokens(["    ", "  ", "Größe"])
        inner.enable_truncation(5)
    return str(inner.to_str())


KINDS = ("plain", "digits", "nfc", "wordpiece")


@pytest.fixture(scope="session")
def imported(sources: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, HuggingFaceTokenizer]:
    folder = tmp_path_factory.mktemp("json")
    for kind in KINDS:
        (folder / f"{kind}.json").write_text(made(kind, [text[:20_000] for text in sources]))
    return {kind: import_huggingface(folder / f"{kind}.json", "<|endoftext|>") for kind in KINDS}


def oracle(tokenizer: HuggingFaceTokenizer) -> Any:
    inner = tokenizers.Tokenizer.from_str(tokenizer._files.main.decode())
    inner.no_truncation()
    inner.encode_special_tokens = True
    return lambda text: inner.encode(text, add_special_tokens=False).ids


def rows(tokenizer: HuggingFaceTokenizer, texts: list[str]) -> list[list[int]]:
    ids, offsets = tokenizer.encode_batch(texts)
    return [ids[start:end].tolist() for start, end in pairwise(offsets)]


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_tokenizers_for_source_text_and_hard_text(
    imported: dict[str, HuggingFaceTokenizer], sources: list[str], hard_texts: tuple[str, ...], kind: str
) -> None:
    tokenizer, texts = imported[kind], [*hard_texts, *sources[:10]]
    right = oracle(tokenizer)
    assert rows(tokenizer, texts) == [right(text) for text in texts]
    assert tokenizer.is_fast == (kind != "wordpiece")


@given(text=ANY_TEXT | HARD_TEXT, kind=st.sampled_from(KINDS))
@settings(max_examples=300)
def test_any_text_gets_the_ids_of_tokenizers_and_never_a_special_one(
    imported: dict[str, HuggingFaceTokenizer], text: str, kind: str
) -> None:
    tokenizer = imported[kind]
    ids = tokenizer.encode(text)
    assert ids == oracle(tokenizer)(text)
    assert not set(ids) & set(tokenizer.special.values())


@given(text=ANY_TEXT | HARD_TEXT, kind=st.sampled_from(["plain", "digits"]))
@settings(max_examples=200)
def test_byte_level_text_comes_back_exactly_also_as_bytes(imported: dict[str, HuggingFaceTokenizer], text: str, kind: str) -> None:
    tokenizer = imported[kind]
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == tokenizer.decode_after(ids) == text
    assert tokenizer.decode_bytes(ids) == text.encode()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_vocabularies_give_the_ids_of_tokenizers_in_seven_languages(
    published_file: Callable[[str], Path], seven_languages: list[str], hard_texts: tuple[str, ...], name: str
) -> None:
    tokenizer = import_huggingface(published_file(name), PUBLISHED[name])
    right, texts = oracle(tokenizer), [*hard_texts, *seven_languages]
    assert rows(tokenizer, texts) == [right(text) for text in texts]
    assert tokenizer.is_fast
    assert all(tokenizer.decode(row) == text for row, text in zip(rows(tokenizer, texts[-50:]), texts[-50:], strict=True))


def test_a_file_in_pellucids_own_split_pattern_is_encoded_by_quicktok(trained: Any, sources: list[str], tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_bytes(tokenizer_json(trained.ranks, trained.special, trained.pattern))
    tokenizer = import_huggingface(file, "<|endoftext|>")
    assert tokenizer._plain is not None and tokenizer._plain.engine == "quicktok" and tokenizer.is_fast
    assert rows(tokenizer, sources[:10]) == [trained.encode(text) for text in sources[:10]]
    assert (tokenizer.special, tokenizer.eos_id) == (trained.special, trained.eos_id)


def test_merges_that_another_order_would_change_are_left_to_tokenizers(
    imported: dict[str, HuggingFaceTokenizer], tmp_path: Path
) -> None:
    values = json.loads(imported["plain"]._files.main)
    values["model"]["merges"] = values["model"]["merges"][::-1]
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PellucidWarning)
        tokenizer = import_huggingface(tmp_path, "<|endoftext|>")
        assert tokenizer.encode("the return of the import") == oracle(tokenizer)("the return of the import")
    assert not tokenizer.is_fast


def test_a_fast_encoder_that_errs_on_a_token_is_given_up(
    imported: dict[str, HuggingFaceTokenizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = HuggingFaceTokenizer(imported["plain"]._files, "<|endoftext|>")
    plain = tokenizer._plain
    assert plain is not None
    ranks = dict(plain.ranks)
    longest = max(ranks, key=len)
    del ranks[longest]
    tokenizer._plain = type(plain)(ranks, plain.pattern, plain.nfc, plain.cut_out, probe=(longest.decode(),))
    with pytest.warns(PellucidWarning, match="tiktoken gives other ids than tokenizers on the probe texts"):
        assert tokenizer.encode(longest.decode()) == oracle(tokenizer)(longest.decode())


def test_what_is_saved_loads_as_the_same_tokenizer_with_the_files_unchanged(
    imported: dict[str, HuggingFaceTokenizer], sources: list[str], tmp_path: Path
) -> None:
    for kind, tokenizer in imported.items():
        tokenizer.save(tmp_path / kind)
        loaded = load_tokenizer(tmp_path / kind)
        assert (loaded.special, loaded.eos_id, loaded.vocab_tokens) == (tokenizer.special, tokenizer.eos_id, tokenizer.vocab_tokens)
        assert loaded.encode(sources[0]) == tokenizer.encode(sources[0])
        assert (tmp_path / kind / "tokenizer.json").read_bytes() == tokenizer._files.main


def test_neighbours_of_a_published_vocabulary_come_along_and_name_the_end_of_text(
    imported: dict[str, HuggingFaceTokenizer], tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "tokenizer.json").write_bytes(imported["plain"]._files.main)
    (tmp_path / "in" / "tokenizer_config.json").write_text('{"eos_token": {"content": "<|fim_suffix|>"}}')
    tokenizer = import_huggingface(tmp_path / "in", None)
    assert tokenizer.eos == "<|fim_suffix|>"
    tokenizer.save_for_transformers(tmp_path / "out", 512)
    config = json.loads((tmp_path / "out/tokenizer_config.json").read_text())
    assert (config["eos_token"], config["bos_token"], config["model_max_length"]) == ("<|fim_suffix|>", "<|fim_suffix|>", 512)
    assert import_huggingface(tmp_path / "in", "<|fim_prefix|>").eos == "<|fim_prefix|>"


def test_tokens_of_fill_in_the_middle_that_a_file_does_not_call_special_are_special_and_text_does_not_become_them(
    imported: dict[str, HuggingFaceTokenizer], tmp_path: Path
) -> None:
    values = json.loads(imported["plain"]._files.main)
    for token in values["added_tokens"]:
        token["special"] = token["content"] == "<|endoftext|>"
    values["added_tokens"].append({**values["added_tokens"][1], "id": 600, "content": "<tool_call>"})
    decoder = {str(token["id"]): {"content": token["content"], "special": token["special"]} for token in values["added_tokens"]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": decoder}))
    tokenizer = import_huggingface(tmp_path, "<|endoftext|>")
    assert tokenizer.special == imported["plain"].special
    text = "a <|fim_prefix|> b"
    assert tokenizer.encode(text) == imported["plain"].encode(text)
    assert 600 in tokenizer.encode("a <tool_call> b")
    tokenizer.save_for_transformers(tmp_path / "out", 512)
    loaded = load_tokenizer(tmp_path / "out")
    assert (loaded.special, loaded.encode(text)) == (tokenizer.special, tokenizer.encode(text))
    written = json.loads((tmp_path / "out/tokenizer_config.json").read_text())["added_tokens_decoder"]
    assert [token["content"] for token in written.values() if not token["special"]] == ["<tool_call>"]


def test_an_open_end_of_text_is_an_error_with_the_candidates(imported: dict[str, HuggingFaceTokenizer]) -> None:
    files = imported["plain"]._files
    with pytest.raises(UsageError, match=r"tokenizer\.eos: missing, .* its special tokens: '<\|endoftext\|>', '<\|fim_prefix\|>'"):
        HuggingFaceTokenizer(files)
    with pytest.raises(UsageError, match=r"tokenizer\.eos: '</s>' is no special token of the vocabulary; its special tokens"):
        HuggingFaceTokenizer(files, "</s>")


def test_a_vocabulary_in_which_text_can_be_a_special_token_is_refused(
    imported: dict[str, HuggingFaceTokenizer], tmp_path: Path
) -> None:
    values = json.loads(imported["plain"]._files.main)
    model = values["model"]
    # As in some converted vocabularies: merges that spell the special token out.
    for merge in (["<", "|"], ["|", ">"], ["<|", "|>"]):
        model["vocab"].setdefault("".join(merge), len(model["vocab"]))
        model["merges"].insert(0, merge)
    added = {"id": model["vocab"]["<||>"], "content": "<||>", "special": True}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    values["added_tokens"].append(added | flags)
    model["merges"] = [merge for merge in model["merges"] if merge != ["<|", "|>"]] + [["<|", "|>"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    with pytest.raises(DataError, match=r"the text '<\|\|>' gets the special id"):
        import_huggingface(tmp_path, "<|endoftext|>")


def test_what_stands_for_unknown_text_is_no_special_token(imported: dict[str, HuggingFaceTokenizer]) -> None:
    tokenizer = imported["wordpiece"]
    assert set(tokenizer.special) == set(SPECIALS)
    assert tokenizer.decode(tokenizer.encode("÷")) == "[UNK]"


@pytest.mark.parametrize("text", ["{", "[]", '{"model": 3}'])
def test_a_file_that_is_no_tokenizer_is_named_as_such(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(DataError, match=r"tokenizer\.json"):
        import_huggingface(tmp_path, None)


def test_dropout_is_refused(imported: dict[str, HuggingFaceTokenizer], tmp_path: Path) -> None:
    values = json.loads(imported["plain"]._files.main)
    values["model"]["dropout"] = 0.1
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    with pytest.raises(DataError, match=r"model\.dropout"):
        import_huggingface(tmp_path, "<|endoftext|>")


def test_a_lone_surrogate_is_named_with_its_place(imported: dict[str, HuggingFaceTokenizer]) -> None:
    with pytest.raises(DataError, match=r"text 1 of 2 holds the lone surrogate U\+DC80 at character 2"):
        imported["wordpiece"].encode_batch(["fine", "ab\udc80"])


def test_ids_without_a_token_show_as_replacement_characters(imported: dict[str, HuggingFaceTokenizer]) -> None:
    tokenizer = imported["plain"]
    ids = [*tokenizer.encode("ab"), tokenizer.vocab_tokens, *tokenizer.encode(" c")]
    assert tokenizer.decode(ids) == "ab\ufffd c"
    assert tokenizer.decode_after(ids) == "ab\ufffd c"


def test_without_the_package_the_extra_is_named(imported: dict[str, HuggingFaceTokenizer], monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(from_huggingface.MissingExtraError, match=r"pip install 'pellucid\[huggingface\]'"):
        HuggingFaceTokenizer(imported["plain"]._files, "<|endoftext|>")
