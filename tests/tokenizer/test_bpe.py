import base64
import pickle
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pellucid.core.errors import ArtifactError, DataError
from pellucid.core.files import read_json, write_json
from pellucid.tokenizer.bpe import SPECIAL_TOKENS
from pellucid.tokenizer.bpe import BytePairTokenizer as Tokenizer
from pellucid.tokenizer.tokenizer import load_tokenizer

VALID = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


@given(text=VALID)
@example("")
@example("a\0b\x7f\x80\x9f")
@example("e\u0301\u0327 \U0010ffff\U0001f469\u200d\U0001f680\ufeff\ufffe")
@example("\r\n\r \n\t\u2028")
@example("<|endoftext|><|im_start|>")
@settings(max_examples=400, deadline=None)
def test_any_valid_unicode_comes_back_exactly(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode_bytes(ids) == text.encode()


@given(parts=st.lists(st.sampled_from(SPECIAL_TOKENS) | VALID, max_size=6))
@settings(max_examples=200, deadline=None)
def test_names_of_special_tokens_in_text_never_become_special_ids(tokenizer: Tokenizer, parts: list[str]) -> None:
    text = "".join(parts)
    lowest = min(tokenizer.special.values())
    ids, _ = tokenizer.encode_batch([text, *parts])
    assert all(id_ < lowest for id_ in [*tokenizer.encode(text), *ids.tolist()])


def test_every_special_token_is_text_when_written_and_has_its_name_when_decoded(tokenizer: Tokenizer) -> None:
    for name, id_ in tokenizer.special.items():
        assert id_ not in tokenizer.encode(name)
        assert id_ not in tokenizer.encode(f"a {name}\n")
        assert tokenizer.decode([id_]) == name


def test_one_byte_and_nothing_are_encoded(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("") == []
    assert tokenizer.decode([]) == ""
    assert [len(tokenizer.encode(chr(point))) for point in range(128)] == [1] * 128


def test_half_a_character_shows_as_the_replacement_character_and_its_bytes_are_kept(trained: Tokenizer) -> None:
    half = [trained.ranks[b"\xc3"]]
    assert trained.decode(half) == "\ufffd"
    assert trained.decode_bytes(half) == b"\xc3"


def test_an_id_without_a_token_is_refused_as_bytes_and_shown_as_replacement_in_text(trained: Tokenizer) -> None:
    with pytest.raises(DataError, match="id 2048 has no token; the vocabulary has ids below 2048"):
        trained.decode_bytes([2048])
    assert trained.decode([2048]) == "\ufffd"


def test_what_is_saved_loads_as_the_same_tokenizer(tokenizer: Tokenizer, tmp_path: Path, sources: list[str]) -> None:
    tokenizer.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert (loaded.ranks, loaded.special, loaded.kind, loaded.vocab_tokens, loaded.eos_id, loaded.pattern) == (
        *(tokenizer.ranks, tokenizer.special, tokenizer.kind, tokenizer.vocab_tokens, tokenizer.eos_id, tokenizer.pattern),
    )
    assert list(loaded.special) == list(tokenizer.special)
    assert loaded.encode(sources[0]) == tokenizer.encode(sources[0])


def test_saving_twice_writes_the_same_bytes(trained: Tokenizer, tmp_path: Path) -> None:
    for name in ("one", "two"):
        trained.save(tmp_path / name)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["pellucid_tokenizer.json", "ranks.tiktoken", "tokenizer.json", "tokenizer_config.json"]
    assert [(tmp_path / "one" / name).read_bytes() for name in names] == [(tmp_path / "two" / name).read_bytes() for name in names]


def test_it_can_be_sent_to_another_process(trained: Tokenizer) -> None:
    assert pickle.loads(pickle.dumps(trained)).encode("def f(x):") == trained.encode("def f(x):")


@pytest.mark.parametrize("name", ["ranks.tiktoken", "pellucid_tokenizer.json"])
def test_a_missing_file_is_named(trained: Tokenizer, tmp_path: Path, name: str) -> None:
    trained.save(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name} is missing"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("alter", "says"),
    [
        (lambda lines: [*lines[:-1], lines[-1][:3]], "is no list of ranks"),
        (lambda lines: lines[:300] + lines[301:], "their ranks are not 0 to"),
        (lambda lines: [base64.b64encode(b"\xff\xfe\xfd") + b" 65", *lines[:65], *lines[66:]], "single bytes .65. are missing"),
    ],
)
def test_altered_ranks_are_refused(trained: Tokenizer, tmp_path: Path, alter, says: str) -> None:  # type: ignore[no-untyped-def]
    trained.save(tmp_path)
    lines = (tmp_path / "ranks.tiktoken").read_bytes().splitlines()
    (tmp_path / "ranks.tiktoken").write_bytes(b"\n".join(alter(lines)))
    with pytest.raises(ArtifactError, match=says):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"pattern": r"\w+"}, "has the split pattern"),
        ({"special": {"<|endoftext|>": 7}}, "with ids from 2016 on"),
        ({"special": {"<|im_end|>": 2016}}, "must name <.endoftext"),
    ],
)
def test_facts_made_by_other_rules_are_refused(trained: Tokenizer, tmp_path: Path, change: dict[str, object], says: str) -> None:
    trained.save(tmp_path)
    write_json(tmp_path / "pellucid_tokenizer.json", read_json(tmp_path / "pellucid_tokenizer.json") | change)
    with pytest.raises(ArtifactError, match=says):
        load_tokenizer(tmp_path)
