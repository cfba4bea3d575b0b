import random
import unicodedata
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pellucid.tokenizer.bpe import BytePairTokenizer as Tokenizer
from pellucid.tokenizer.huggingface import byte_alphabet, merges

HARD = "aeSst'’ \n\r\t019²½٣.,!-_ſßéα中한\U0001f916\u0301\u200d\xa0\u2028\x1c\x85\0"


@pytest.fixture(scope="session")
def exported(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Any:
    transformers = pytest.importorskip("transformers")
    folder: Path = tmp_path_factory.mktemp("huggingface")
    tokenizer.save(folder)
    return transformers.PreTrainedTokenizerFast.from_pretrained(folder)


def ids_of(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    ids, offsets = tokenizer.encode_batch(texts)
    return [ids[start:end].tolist() for start, end in pairwise(offsets)]


def test_transformers_gives_the_same_ids_for_source_text(tokenizer: Tokenizer, exported: Any, sources: list[str]) -> None:
    assert exported(sources[:12])["input_ids"] == ids_of(tokenizer, sources[:12])


def test_transformers_gives_the_same_ids_for_hard_mixtures_and_all_scripts(tokenizer: Tokenizer, exported: Any) -> None:
    chance = random.Random(7)
    known = [chr(point) for point in range(0x110000) if unicodedata.category(chr(point)) not in ("Cs", "Cn")]
    texts = ["".join(chance.choices(HARD, k=chance.randint(1, 40))) for _ in range(3000)]
    texts += ["".join(chance.choices(known, k=20)) for _ in range(1000)]
    assert exported(texts)["input_ids"] == ids_of(tokenizer, texts)


def test_transformers_gives_the_same_ids_for_documents_of_the_corpus(tokenizer: Tokenizer, exported: Any, pocket: Any) -> None:
    texts = [text[:20_000] for index, text in enumerate(pocket) if index % 50 == 0]
    assert exported(texts, split_special_tokens=True)["input_ids"] == ids_of(tokenizer, texts)


def test_special_tokens_have_the_same_ids_and_the_sizes_agree(tokenizer: Tokenizer, exported: Any) -> None:
    assert {name: exported.convert_tokens_to_ids(name) for name in tokenizer.special} == tokenizer.special
    assert len(exported) == tokenizer.vocab_tokens
    assert exported.eos_token_id == exported.bos_token_id == exported.pad_token_id == tokenizer.eos_id
    assert set(exported.all_special_tokens) == set(tokenizer.special)


def test_names_of_special_tokens_in_text_become_ids_there_unless_it_is_told_to_split_them(
    tokenizer: Tokenizer, exported: Any
) -> None:
    text = "a<|im_start|>b<reponame>"
    special = tokenizer.special
    assert exported(text)["input_ids"] == [
        *tokenizer.encode("a"),
        special["<|im_start|>"],
        *tokenizer.encode("b"),
        special["<reponame>"],
    ]
    assert exported(text, split_special_tokens=True)["input_ids"] == tokenizer.encode(text)


def test_nothing_is_added_and_decoding_gives_the_text_back(tokenizer: Tokenizer, exported: Any) -> None:
    text = " Où est-il ? \n\t« 中 » \U0001f916 , . ! n't"
    assert exported.decode(exported(text)["input_ids"]) == text
    assert exported.decode([tokenizer.eos_id, *tokenizer.encode("x")], skip_special_tokens=True) == "x"


def test_each_byte_has_a_printable_character_of_its_own() -> None:
    letters = byte_alphabet()
    assert sorted(letters) == list(range(256)) and len(set(letters.values())) == 256
    assert all(letter.isprintable() and not letter.isspace() for letter in letters.values())
    assert (letters[ord("a")], letters[ord(" ")], letters[ord("\n")]) == ("a", "Ġ", "Ċ")


def test_merges_list_every_split_of_a_token_in_rank_order() -> None:
    ranks = {b"a": 0, b"b": 1, b"aa": 2, b"ab": 3, b"aab": 4}
    assert merges(ranks) == [(b"a", b"a"), (b"a", b"b"), (b"a", b"ab"), (b"aa", b"b")]
