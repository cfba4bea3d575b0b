"""Vocabularies out of GGUF files: the ids are those of the vocabulary that was written, of llama.cpp, and of transformers."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.errors import ArtifactError, DataError, UsageError
from pellucid.export.gguf import write_gguf
from pellucid.export.llama_cpp import LlamaCpp
from pellucid.export.probes import probe_texts
from pellucid.model.decoder import Decoder
from pellucid.recipe.model import ModelConfig
from pellucid.tokenizer.bpe import BytePairTokenizer
from pellucid.tokenizer.from_gguf import _PATTERNS, import_gguf, read_gguf_vocabulary
from pellucid.tokenizer.from_sentencepiece import import_sentencepiece
from pellucid.tokenizer.tokenizer import Tokenizer, load_tokenizer
from pellucid.tokenizer.training import train_bpe
from pellucid.tokenizer.vocabulary import Vocabulary

gguf = pytest.importorskip("gguf")
pytest.importorskip("tokenizers")

TINY = {
    "context_tokens": 64, "layers": 1, "hidden": 32, "heads": 2, "kv_heads": 2, "mlp_hidden": 32, "norm": "rmsnorm",
    "norm_bias": False, "rotary_frac": 1.0, "qkv_bias": False, "tied_head": True,
}  # fmt: skip
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


class Changed:
    """A vocabulary as it stands, but for what a test changes of its description."""

    def __init__(self, tokenizer: Tokenizer, **changes: Any) -> None:
        self._changed = replace(tokenizer.vocabulary(), **changes)
        self.eos_id, self.vocab_tokens = tokenizer.eos_id, tokenizer.vocab_tokens

    def vocabulary(self) -> Vocabulary:
        return self._changed


def exported(tokenizer: Any, file: Path, *, rows: int | None = None) -> Path:
    """A GGUF file of our own export with this vocabulary and rows that no token has."""
    model = Decoder(ModelConfig(vocab_tokens=rows or tokenizer.vocab_tokens + 8, **TINY))
    write_gguf(model.state_dict(), model.config, tokenizer, file, dtype="F16", name="t")
    return file


def rewritten(file: Path, **fields: Any) -> Path:
    """The same file with fields of its vocabulary changed, or (None) left out."""
    reader = gguf.GGUFReader(file)
    out = file.with_name("rewritten.gguf")
    writer = gguf.GGUFWriter(out, "llama")
    old = {name: (field.types[0], field.contents()) for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    del old["general.architecture"]
    changed = {f"tokenizer.{name.replace('__', '.')}": value for name, value in fields.items()}
    for name, value in changed.items():
        old[name] = (None if value is None else gguf.GGUFValueType.get_type(value), value)
    for name, (kind, value) in old.items():
        if value is not None:
            writer.add_key_value(name, value, kind, gguf.GGUFValueType.get_type(value[0]) if isinstance(value, list) else None)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def assert_equal_ids(tokenizer: Tokenizer, encode: Callable[[str], Sequence[int]], texts: Sequence[str]) -> None:
    for text in texts:
        assert tokenizer.encode(text) == list(encode(text)), text[:200]


@pytest.fixture(scope="module")
def small() -> BytePairTokenizer:
    return train_bpe(probe_texts() * 2, 900)


@pytest.fixture(scope="module")
def texts(hard_texts: tuple[str, ...]) -> list[str]:
    return [*probe_texts(), *hard_texts]


def test_our_own_vocabulary_comes_back_from_our_export(small: BytePairTokenizer, texts: list[str], tmp_path: Path) -> None:
    again = import_gguf(exported(small, tmp_path / "m.gguf"), None)
    assert (again.special, again.eos_id, again.vocab_tokens) == (small.special, small.eos_id, small.vocab_tokens)
    assert again.is_fast
    assert_equal_ids(again, small.encode, texts)
    assert again.vocabulary().tokens == small.vocabulary().tokens
    assert again.vocabulary().merges == small.vocabulary().merges


@pytest.mark.filterwarnings("ignore:quicktok gives other ids")
@pytest.mark.parametrize("pre", _PATTERNS)
def test_every_split_pattern_is_llama_cpps(small: BytePairTokenizer, texts: list[str], tmp_path: Path, pre: str) -> None:
    pytest.importorskip("xllamacpp")
    # With half of the merges, some tokens are only found by looking parts up whole, which not every name stands for.
    merges = list(small.vocabulary().merges)
    file = exported(Changed(small, pre=pre, merges=merges[: len(merges) // 2]), tmp_path / "m.gguf")
    tokenizer = import_gguf(file, None)
    with LlamaCpp(file, 64) as runtime:
        assert_equal_ids(tokenizer, runtime.tokenize, texts)


def test_a_files_end_of_text_flags_and_template_come_along(small: BytePairTokenizer, tmp_path: Path) -> None:
    names = {"<|im_end|>": "eos", "<|endoftext|>": "padding"}
    fields = {f"ggml__{kind}_token_id": small.special[name] for name, kind in names.items()}
    file = rewritten(exported(small, tmp_path / "m.gguf"), **fields, ggml__add_bos_token=True, chat_template=TEMPLATE)
    tokenizer = import_gguf(file, None)
    assert tokenizer.eos == "<|im_end|>"
    assert import_gguf(file, "<|endoftext|>").eos == "<|endoftext|>"
    tokenizer.save(tmp_path / "tokenizer")
    assert (tmp_path / "tokenizer" / "chat_template.jinja").read_text() == TEMPLATE
    again = load_tokenizer(tmp_path / "tokenizer")
    assert (again.eos_id, again.special, again.vocab_tokens) == (tokenizer.eos_id, tokenizer.special, tokenizer.vocab_tokens)
    values = read_gguf_vocabulary(file).values("tokenizer_config.json")
    assert (values["add_bos_token"], values["add_eos_token"], values["pad_token"]) == (True, False, "<|endoftext|>")


def test_transformers_converses_with_the_saved_folder(small: BytePairTokenizer, texts: list[str], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    file = rewritten(exported(small, tmp_path / "m.gguf"), chat_template=TEMPLATE)
    tokenizer = import_gguf(file, None)
    tokenizer.save_for_transformers(tmp_path / "hf", 64)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert_equal_ids(tokenizer, lambda text: theirs(text, split_special_tokens=True)["input_ids"], texts)
    ids = theirs.apply_chat_template([{"role": "user", "content": "Hi"}], return_dict=False)
    start, end = tokenizer.special["<|im_start|>"], tokenizer.special["<|im_end|>"]
    assert ids == [start, *tokenizer.encode("user\nHi"), end, *tokenizer.encode("\n")]


def test_tokens_that_users_defined_are_cut_out_of_text_and_no_special_ones(
    small: BytePairTokenizer, texts: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("xllamacpp")
    kinds = dict(small.vocabulary().kinds)
    kinds[small.special["<|fim_prefix|>"]] = kinds[small.special["<|im_start|>"]] = "user_defined"
    file = exported(Changed(small, kinds=kinds), tmp_path / "m.gguf")
    tokenizer = import_gguf(file, None)
    # Tokens of fill-in-the-middle are never made of text here, whatever a file says.
    assert {"<|im_start|>"} == small.special.keys() - tokenizer.special.keys()
    with LlamaCpp(file, 64) as runtime:
        assert_equal_ids(tokenizer, runtime.tokenize, [*texts, "a<|im_start|>b <|im_start|>\n"])


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A SentencePiece vocabulary by Llama 2's rules, and a piece of its user's."""
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = tmp_path_factory.mktemp("pieces")
    with (folder / "tokenizer.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(line for text in probe_texts() for line in text.splitlines() if line.strip()),
            model_writer=file, model_type="bpe", vocab_size=800, byte_fallback=True, split_digits=True, minloglevel=2,
            normalization_rule_name="identity", remove_extra_whitespaces=False, num_threads=1, user_defined_symbols=["<u>"],
            control_symbols=["<|im_end|>"],
        )  # fmt: skip
    return import_sentencepiece(folder, None)


@pytest.mark.parametrize("prefix", [True, False])
def test_a_sentencepiece_vocabulary_comes_back_from_our_export(pieces: Any, texts: list[str], tmp_path: Path, prefix: bool) -> None:
    pytest.importorskip("xllamacpp")
    file = exported(Changed(pieces, adds_space_prefix=prefix), tmp_path / "m.gguf")
    again = import_gguf(file, None)
    assert (again.special, again.eos, again.vocab_tokens) == (pieces.special, pieces.eos, pieces.vocab_tokens)
    if prefix:
        assert_equal_ids(again, pieces.encode, texts)
        assert replace(again.vocabulary()) == pieces.vocabulary()
        assert [again.decode(again.encode(text)) for text in texts] == [pieces.decode(pieces.encode(text)) for text in texts]
    with LlamaCpp(file, 64) as runtime:
        assert_equal_ids(again, runtime.tokenize, [text for text in texts if "\0" not in text and "<u>" not in text])


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a pattern without a name here": ({"ggml__pre": "tekken"}, r"tokenizer\.ggml\.pre: got 'tekken'.*known are default, gpt-2"),
    "another algorithm": ({"ggml__model": "bert"}, r"tokenizer\.ggml\.model: got 'bert'; vocabularies can be taken from gpt2"),
    "no vocabulary": ({"ggml__tokens": None}, r"it holds no vocabulary \(tokenizer\.ggml\.tokens\)"),
    "no merges": ({"ggml__merges": None}, r"tokenizer\.ggml\.merges: missing"),
    "no scores": ({"ggml__model": "llama"}, r"tokenizer\.ggml\.scores: missing"),
    "the same token twice": ({"ggml__tokens": ["a", "b", "a"], "ggml__token_type": [1, 1, 1]}, r"'a' is there twice"),
}


@pytest.mark.parametrize(("fields", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_taken_is_refused_by_field(
    small: BytePairTokenizer, tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    file = rewritten(exported(small, tmp_path / "m.gguf"), **fields)
    with pytest.raises(DataError, match=message):
        import_gguf(file, None)


def test_where_there_is_no_file_or_none_that_can_be_read_it_is_said(small: BytePairTokenizer, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is neither a GGUF file nor a folder that holds exactly one"):
        import_gguf(tmp_path, None)
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    with pytest.raises(ArtifactError, match=r"m\.gguf cannot be read"):
        import_gguf(tmp_path, None)


@pytest.fixture(scope="module")
def smollm2() -> Path:
    named = os.environ.get("PELLUCID_SMOLLM2_GGUF", "")
    if not Path(named).is_file():
        pytest.skip("PELLUCID_SMOLLM2_GGUF does not name the file SmolLM2-135M-Instruct.Q4_1.gguf")
    return Path(named)


@pytest.fixture(scope="module")
def many_texts(texts: list[str], pocket_beginnings: list[str]) -> list[str]:
    assert len(pocket_beginnings) > 1000
    return [*texts, *pocket_beginnings]


def test_smollm2_reads_the_pocket_corpus_as_llama_cpp_does(smollm2: Path, many_texts: list[str]) -> None:
    pytest.importorskip("xllamacpp")
    tokenizer = import_gguf(smollm2, None)
    assert (tokenizer.eos, tokenizer.vocab_tokens, tokenizer.is_fast) == ("<|im_end|>", 49_152, True)
    with LlamaCpp(smollm2, 64) as runtime:
        assert_equal_ids(tokenizer, runtime.tokenize, many_texts)


@pytest.mark.slow
def test_smollm2_reads_the_pocket_corpus_as_transformers_does(smollm2: Path, many_texts: list[str]) -> None:
    """Given the split of single digits, which transformers leaves out when it reads a GGUF file."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import pre_tokenizers

    theirs = transformers.AutoTokenizer.from_pretrained(smollm2.parent, gguf_file=smollm2.name)
    theirs._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    encode = lambda text: theirs(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]  # noqa: E731
    tokenizer = import_gguf(smollm2, None)
    assert_equal_ids(tokenizer, encode, many_texts)
    assert theirs.chat_template == read_gguf_vocabulary(smollm2).files["chat_template.jinja"].decode()
