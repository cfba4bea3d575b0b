"""The oracle is the package `sentencepiece`; what is tested is read by the package `tokenizers`."""

import io
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.export.probes import certificate_strings
from pellucid.tokenizer.from_sentencepiece import SentencePieceTokenizer, import_sentencepiece
from pellucid.tokenizer.imported import ImportedFiles
from pellucid.tokenizer.piece_json import PieceTies, piece_merges, piece_tokenizer_json
from pellucid.tokenizer.piece_model import Piece, PieceModel, piece_model_bytes

sentencepiece = pytest.importorskip("sentencepiece")
tokenizers = pytest.importorskip("tokenizers")

LLAMA: dict[str, Any] = {
    "model_type": "bpe",
    "vocab_size": 700,
    "byte_fallback": True,
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
    "split_digits": True,
}
EXACT: dict[str, dict[str, Any]] = {
    "as Llama 2": LLAMA,
    "no space before a text": {**LLAMA, "add_dummy_prefix": False},
    "pieces that are cut out": {**LLAMA, "user_defined_symbols": ["<sep>", "<sep>a", "  "]},
    "no bytes": {**LLAMA, "byte_fallback": False},
    "pieces of blanks": {**LLAMA, "allow_whitespace_only_pieces": True, "split_by_whitespace": False},
}
NORMALISED: dict[str, dict[str, Any]] = {
    "bpe": {**LLAMA, "normalization_rule_name": "nmt_nfkc", "remove_extra_whitespaces": True},
    "unigram, by default": {"model_type": "unigram", "vocab_size": 500},
}
_HARD = [*"abs=-' \n\t019½.▁éα中\U0001f916\u0301\xa0", "<s>", "</s>", "<0x0A>", "<unk>", "<sep>", "    ", "===", "the"]
HARD_TEXT = st.lists(st.sampled_from(_HARD), max_size=40).map("".join)


def learnt(options: dict[str, Any], lines: list[str]) -> SentencePieceTokenizer:
    data = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=data, minloglevel=2, num_threads=1, **options
    )
    return SentencePieceTokenizer(ImportedFiles("sentencepiece", {"tokenizer.model": data.getvalue()}))


def in_tokenizers(model: PieceModel) -> Callable[[str], list[int]]:
    read = tokenizers.Tokenizer.from_str(piece_tokenizer_json(model).decode())
    read.encode_special_tokens = True
    return lambda text: list(read.encode(text, add_special_tokens=False).ids)


@pytest.fixture(scope="session")
def lines(sources: list[str]) -> list[str]:
    return [line for text in sources[:20] for line in text[:8000].splitlines() if line.strip()]


@pytest.fixture(scope="session")
def exact(lines: list[str]) -> dict[str, tuple[SentencePieceTokenizer, Callable[[str], list[int]]]]:
    found = {name: learnt(options, lines) for name, options in EXACT.items()}
    return {name: (tokenizer, in_tokenizers(tokenizer._model)) for name, tokenizer in found.items()}


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | HARD_TEXT, name=st.sampled_from(list(EXACT)))
@settings(max_examples=400)
def test_any_text_gets_sentencepieces_ids_unless_two_pairs_were_equally_good(
    exact: dict[str, tuple[SentencePieceTokenizer, Callable[[str], list[int]]]], text: str, name: str
) -> None:
    tokenizer, encode = exact[name]
    if name == "pieces that are cut out":
        # What stands alone between two of them is looked up whole, a special token's name too.
        text = text.replace("<s>", "").replace("</s>", "").replace("<0x0A>", "").replace("<unk>", "")
    assert encode(text) == tokenizer.encode(text) or tokenizer.may_differ(text)


@pytest.mark.parametrize("name", list(EXACT))
def test_every_string_of_the_certificate_gets_sentencepieces_ids(
    exact: dict[str, tuple[SentencePieceTokenizer, Callable[[str], list[int]]]], hard_texts: tuple[str, ...], name: str
) -> None:
    tokenizer, encode = exact[name]
    texts = [*certificate_strings(), *hard_texts]
    assert [text for text in texts if encode(text) != tokenizer.encode(text)] == []


def test_llama_2s_too(published_file: Callable[[str], Path], hard_texts: tuple[str, ...]) -> None:
    tokenizer = import_sentencepiece(published_file("llama2_tokenizer.model"), None)
    encode = in_tokenizers(tokenizer._model)
    texts = [*certificate_strings(), *hard_texts, *(" " * count + "x" for count in range(40))]
    assert [text for text in texts if encode(text) != tokenizer.encode(text)] == []


@pytest.mark.parametrize("name", list(NORMALISED))
def test_where_texts_are_normalised_what_differs_is_known_beforehand(name: str, lines: list[str]) -> None:
    tokenizer = learnt(NORMALISED[name], lines)
    encode, texts = in_tokenizers(tokenizer._model), certificate_strings()
    unlike = [text for text in texts if encode(text) != tokenizer.encode(text)]
    assert 0 < len(unlike) < 0.06 * len(texts)
    assert all(map(tokenizer.may_differ, unlike))
    assert sum(map(tokenizer.may_differ, texts)) < 0.3 * len(texts)


def tied() -> PieceModel:
    """Two ways to make `aaa`, of which a list of merges prefers one everywhere."""
    spelled = ["▁", "a", "b", "c", "aa", "aab", "ab", "baa"]
    made = [Piece("<unk>", 0.0, "unknown"), Piece("</s>", 0.0, "control")]
    made += [Piece(text, -float(place), "normal") for place, text in enumerate(spelled)]
    return PieceModel(tuple(made), True, False, False, False)


def test_a_tie_is_told_where_two_pairs_make_pieces_of_one_score_and_only_there() -> None:
    model = tied()
    assert piece_merges(model) == [("a", "a"), ("aa", "b"), ("a", "ab"), ("a", "b"), ("b", "aa")]
    # Both `a` + `ab` and `aa` + `b` make `aab`.
    even = PieceTies(replace(model, pieces=(*model.pieces, Piece("ba", -9.0, "normal"), Piece("bab", -9.0, "normal"))))
    assert even.found_in("bacab") is False
    assert even.found_in("c") is False
    score = {piece.text: piece.score for piece in model.pieces}
    level = replace(model, pieces=tuple(replace(one, score=score["aa"]) if one.text == "ab" else one for one in model.pieces))
    assert PieceTies(level).found_in("aab")
    assert not PieceTies(level).found_in("aa ab"[:2])


def test_without_a_tie_any_vocabulary_gets_equal_ids_whatever_its_scores() -> None:
    """Vocabularies nobody would train: random pieces of two letters, of which some are as good as others."""
    random_ = random.Random(7)
    compared = ties = 0
    for _ in range(60):
        texts = {"".join(random_.choice("ab") for _ in range(random_.randint(2, 5))) for _ in range(12)}
        pieces = [Piece("<unk>", 0.0, "unknown"), Piece("</s>", 0.0, "control"), Piece("a", -99.0, "normal")]
        pieces += [Piece("b", -99.0, "normal"), *(Piece(text, -float(random_.randint(1, 30)), "normal") for text in sorted(texts))]
        model = PieceModel(tuple(pieces), True, False, False, False)
        data = piece_model_bytes(model, {"unk": "<unk>", "bos": None, "eos": "</s>", "pad": None})
        tokenizer, encode = SentencePieceTokenizer(ImportedFiles("sentencepiece", {"tokenizer.model": data})), in_tokenizers(model)
        for _ in range(40):
            text = "".join(random_.choice("ab") for _ in range(random_.randint(1, 25)))
            compared += 1
            if tokenizer.may_differ(text):
                ties += 1
            else:
                assert encode(text) == tokenizer.encode(text), (text, [(one.text, one.score) for one in pieces])
    assert compared - ties > 200 and ties > 200
