"""Special tokens are those of the template, text is text, and borders inside a run of text fall where its tokens do."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.errors import DataError
from pellucid.tokenizer.bpe import BytePairTokenizer
from pellucid.tokenizer.chat_ids import ChatIds, SpecialText
from pellucid.tokenizer.from_huggingface import HuggingFaceTokenizer
from pellucid.tokenizer.from_sentencepiece import import_sentencepiece
from pellucid.tokenizer.imported import ImportedFiles


class Named(BytePairTokenizer):
    """Names of special tokens that overlap, contain one another, or are a single character."""

    def __init__(self, plain: BytePairTokenizer) -> None:
        first = len(plain.ranks)
        names = ("<|endoftext|>", "<s>", "<s><s>", "ab", "bc", "#")
        super().__init__(plain.ranks, {name: first + index for index, name in enumerate(names)}, "bpe")


@pytest.fixture(scope="module")
def named(trained: BytePairTokenizer) -> Named:
    return Named(trained)


def test_of_two_names_at_one_place_the_longer_is_meant(named: Named) -> None:
    special = named.special
    ids, targets = SpecialText(named).encode("<s><s><s>abc#", [], {})
    assert ids == [special["<s><s>"], special["<s>"], special["ab"], *named.encode("c"), special["#"]]
    assert targets == [False] * len(ids)


@given(st.lists(st.sampled_from(["<s>", "<", "s>", "ab", "bc", "a", "c", "#", " ", "<|endoftext|>", "\ufdd0", "é"]), max_size=12))
def test_hidden_names_are_no_names_and_come_back(named: Named, pieces: list[str]) -> None:
    special = SpecialText(named)
    text = "".join(pieces)
    (message,), back = special.hide([{"role": "user", "content": text}], "")
    assert not special.pattern.search(message["content"])
    assert len(message["content"]) == len(text)
    assert message["content"].translate(back) == text
    assert special.encode(message["content"], [], back).ids == named.encode(text)
    assert not set(named.encode(text)) & set(named.special.values())


@given(st.text("aé🚀 \n<b", max_size=40), st.data())
def test_a_token_is_a_target_where_any_of_its_characters_is(named: Named, text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), min_size=4, max_size=4, unique=True)) if len(text) > 3 else [0, 0])
    spans = [(start, end) for start, end in zip(cuts[::2], cuts[1::2], strict=True) if start < end]
    special = SpecialText(named)
    ids, targets = special.encode(text, spans, {})
    wanted, start = [], 0
    in_span = [any(first <= index < last for first, last in spans) for index, char in enumerate(text) for _ in char.encode()]
    for id_ in ids:
        end = start + len(named.decode_bytes([id_]))
        wanted.append(any(in_span[start:end]))
        start = end
    # The end of one span and the beginning of the next may share a token; tokens between characters of one span are all inside.
    assert (ids, targets) == (special.encode(text, [], {}).ids, wanted)


def test_spans_over_several_runs_take_what_they_touch(named: Named) -> None:
    ids, targets = SpecialText(named).encode("x\n<s>yes<s>\nz", [(5, 8), (8, 9)], {})
    end = named.special["<s>"]
    assert [id_ for id_, target in zip(ids, targets, strict=True) if target] == [*named.encode("yes"), end]
    assert not any(SpecialText(named).encode("x\n<s>", [(0, 0)], {}).targets)


def test_nothing_is_nothing(named: Named) -> None:
    assert SpecialText(named).encode("", [], {}) == ChatIds([], [])


def test_a_vocabulary_without_special_tokens_in_the_text_gives_its_own_ids(named: Named, hard_texts: tuple[str, ...]) -> None:
    for text in hard_texts:
        if not SpecialText(named).pattern.search(text):
            assert SpecialText(named).encode(text, [], {}).ids == named.encode(text)


def test_lone_surrogates_are_refused(named: Named) -> None:
    with pytest.raises(DataError, match="lone surrogate"):
        SpecialText(named).encode("<s>a\ud800b", [(4, 5)], {})


def metaspace(tmp_path: Path, scheme: str, **flags: bool) -> tuple[HuggingFaceTokenizer, object]:
    """A small vocabulary of the `tokenizers` package whose words begin with a mark, and the package's own reading of it."""
    import tokenizers
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

    inner = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=False))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    texts = ["the answer is yes or no, the question was long"] * 3
    inner.train_from_iterator(texts, trainers.BpeTrainer(special_tokens=["<unk>"], vocab_size=60, show_progress=False))
    inner.add_special_tokens([AddedToken("</s>", normalized=False, **flags)])
    path = tmp_path / "tokenizer.json"
    inner.save(str(path))
    return HuggingFaceTokenizer(ImportedFiles("huggingface", {path.name: path.read_bytes()})), tokenizers.Tokenizer.from_file(
        str(path)
    )


@pytest.mark.parametrize("scheme", ["first", "always", "never"])
@pytest.mark.parametrize("flags", [{}, {"rstrip": True}, {"lstrip": True}, {"lstrip": True, "rstrip": True}])
def test_runs_after_special_tokens_are_as_in_tokenizers(tmp_path: Path, scheme: str, flags: dict[str, bool]) -> None:
    ours, theirs = metaspace(tmp_path, scheme, **flags)
    for text in ("yes", "</s>yes", "yes</s> no", "the </s>\n answer</s></s>  is", " </s> ", "</s>\n", "a</s>b \n</s>c"):
        wanted = theirs.encode(text, add_special_tokens=False)
        assert SpecialText(ours).encode(text, [], {}).ids == wanted.ids, text


def test_borders_are_found_where_a_vocabulary_puts_a_space_before_text(tmp_path: Path) -> None:
    ours, _ = metaspace(tmp_path, "first")
    text = "the answer is yes"
    ids, targets = SpecialText(ours).encode(text, [(text.index(" yes"), len(text))], {})
    before = len(ours.encode("the answer is"))
    assert targets == [False] * before + [True] * (len(ids) - before)
    ids, targets = SpecialText(ours).encode(text, [(0, 3)], {})
    assert sum(targets) == len(ours.encode("the")) and targets[0]


def test_borders_are_found_as_well_as_can_be_where_a_vocabulary_changes_text(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, normalizers

    metaspace(tmp_path, "never")
    path = tmp_path / "tokenizer.json"
    inner = Tokenizer.from_file(str(path))
    inner.normalizer = normalizers.Lowercase()
    inner.save(str(path))
    ours = HuggingFaceTokenizer(ImportedFiles("huggingface", {path.name: path.read_bytes()}))
    text = "THE Answer Is Yes"
    ids, targets = SpecialText(ours).encode(text, [(text.index(" Yes"), len(text))], {})
    assert [id_ for id_, target in zip(ids, targets, strict=True) if target] == ours.encode(" yes")


def test_sentencepiece_runs_are_those_of_transformers(published_file: Callable[[str], Path], tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = import_sentencepiece(published_file("llama2_tokenizer.model"), None)
    tokenizer.save_for_transformers(tmp_path, 2048)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    for text in (
        "Is it so?</s>\nIt is.</s> And then?",
        "<s>[INST] Hi [/INST] Yes. </s><s>[INST] é\U0001f680 [/INST]",
        "</s>",
        "a</s>b",
    ):
        ids, targets = SpecialText(tokenizer).encode(text, [(text.index("</s>"), len(text))], {})
        assert ids == theirs(text, add_special_tokens=False)["input_ids"]
        assert targets.index(True) == ids.index(tokenizer.eos_id) and all(targets[targets.index(True) :])
