from pathlib import Path

import pytest

from pellucid.core.artifacts import fingerprint, read_manifest
from pellucid.core.errors import UsageError
from pellucid.documents.document import Document
from pellucid.documents.store import DocumentWriter
from pellucid.recipe.load import load_recipe
from pellucid.stages.stage import Context, run_stage
from pellucid.stages.tokenizer import TOKENIZER, _Lesson, _training_texts
from pellucid.tokenizer.bpe import BytePairTokenizer
from pellucid.tokenizer.huggingface import tokenizer_json
from pellucid.tokenizer.tokenizer import load_tokenizer
from pellucid.tokenizer.training import train_bpe


def test_the_vocabulary_has_the_size_of_the_recipe_and_names_its_documents(finished_run: Path) -> None:
    manifest = read_manifest(finished_run / "tokenizer", "tokenizer")
    assert load_tokenizer(finished_run / "tokenizer").vocab_tokens == manifest.config["vocab_tokens"] == 1024
    assert manifest.inputs["documents"] == fingerprint(finished_run / "documents")
    assert 0 < manifest.summary["train_bytes"] <= 2_000_000


def test_a_source_of_one_long_document_gives_the_beginning_of_it_to_the_vocabulary(tmp_path: Path) -> None:
    texts = {"long": ["é" * 900], "mixed": ["a" * 100, "ß" * 400, "b" * 10]}
    for source, parts in texts.items():
        with DocumentWriter(tmp_path / source / "train" / "00000.parquet") as writer:
            for number, text in enumerate(parts):
                writer.write(Document(str(number), text, source, "en", "MIT", "here", ""))

    def taken(limit: int) -> list[str]:
        return list(_training_texts(_Lesson(tmp_path, tuple(texts), limit, 1024)))

    # 300 bytes for one and 301 for the other, whose last byte would be half a character.
    assert sorted(taken(601)) == sorted(["é" * 150, "a" * 100, "ß" * 100])
    assert sorted(taken(10_000)) == sorted(text for parts in texts.values() for text in parts)
    assert taken(1) in ([], ["a"])


RECIPE = """\
sources: [{name: web, path: web.jsonl, weight: 1, category: Web}]
tokenizer: {kind: huggingface, path: vocabulary, eos: <|im_end|>}
model: {preset: pocket}
train:
  - name: pretrain
    length_tokens: 4096
    batch_tokens: 4096
    seq_tokens: 256
    micro_seqs: 16
    schedule: {kind: constant, peak_lr: 1e-3}
"""


@pytest.fixture(scope="module")
def vocabulary() -> BytePairTokenizer:
    return train_bpe([Path(__file__).read_text()] * 2, 512)


def context_at(folder: Path, vocabulary: BytePairTokenizer, *overrides: str) -> Context:
    (folder / "vocabulary").mkdir(exist_ok=True)
    data = tokenizer_json(vocabulary.ranks, vocabulary.special, vocabulary.pattern)
    (folder / "vocabulary" / "tokenizer.json").write_bytes(data)
    (folder / "recipe.yaml").write_text(RECIPE)
    return Context(load_recipe(folder / "recipe.yaml", overrides), folder / "run")


def test_an_imported_vocabulary_is_copied_and_built_again_only_when_its_files_change(
    tmp_path: Path, vocabulary: BytePairTokenizer
) -> None:
    pytest.importorskip("tokenizers")
    context = context_at(tmp_path, vocabulary)
    assert context.recipe.tokenizer.vocab_tokens == 512
    assert run_stage(TOKENIZER, context) and not run_stage(TOKENIZER, context)
    loaded = load_tokenizer(context.run / "tokenizer")
    assert (loaded.eos_id, loaded.vocab_tokens) == (vocabulary.special["<|im_end|>"], 512)
    assert loaded.encode("def load(path):") == vocabulary.encode("def load(path):")
    given = tmp_path / "vocabulary" / "tokenizer.json"
    assert (context.run / "tokenizer" / "tokenizer.json").read_bytes() == given.read_bytes()
    # The same files in another place are the same vocabulary.
    given.parent.rename(tmp_path / "moved")
    assert not run_stage(TOKENIZER, Context(load_recipe(tmp_path / "recipe.yaml", ["tokenizer.path=moved"]), context.run))
    (tmp_path / "moved" / "tokenizer_config.json").write_text("{}")
    assert run_stage(TOKENIZER, Context(load_recipe(tmp_path / "recipe.yaml", ["tokenizer.path=moved"]), context.run))


def test_what_an_imported_vocabulary_does_not_depend_on_is_not_in_its_key(tmp_path: Path, vocabulary: BytePairTokenizer) -> None:
    context = context_at(tmp_path, vocabulary)
    assert run_stage(TOKENIZER, context)
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("name: web", "name: other"))
    for override in ("tokenizer.train_bytes=1000", "tokenizer.hub=a/b"):
        assert not run_stage(TOKENIZER, Context(load_recipe(tmp_path / "recipe.yaml", [override]), context.run))
    eos = load_recipe(tmp_path / "recipe.yaml", ["tokenizer.eos=<|endoftext|>"])
    assert run_stage(TOKENIZER, Context(eos, context.run))


def test_what_a_plan_can_do_without_the_stage_asks_for(tmp_path: Path, vocabulary: BytePairTokenizer) -> None:
    overrides = ["tokenizer.path=null", "tokenizer.hub=a/b", "tokenizer.vocab_tokens=512"]
    with pytest.raises(UsageError, match=r"tokenizer\.path: missing; with hub: a/b .* Download that model's tokenizer\.json"):
        run_stage(TOKENIZER, context_at(tmp_path, vocabulary, *overrides))
    with pytest.raises(UsageError, match=r"tokenizer\.path: .*gone is not there"):
        run_stage(TOKENIZER, context_at(tmp_path, vocabulary, "tokenizer.path=gone", "tokenizer.vocab_tokens=512"))


def test_the_vocabulary_inside_a_gguf_file_is_taken_with_its_template(tmp_path: Path, vocabulary: BytePairTokenizer) -> None:
    gguf = pytest.importorskip("gguf")
    pytest.importorskip("tokenizers")
    told = vocabulary.vocabulary()
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_tokenizer_model(told.model)
    writer.add_tokenizer_pre(told.pre)
    writer.add_token_list([told.tokens[id_] for id_ in range(512)])
    writer.add_token_types([3 if told.kinds.get(id_) == "control" else 1 for id_ in range(512)])
    writer.add_token_merges(list(told.merges))
    writer.add_eos_token_id(vocabulary.special["<|im_end|>"])
    writer.add_chat_template("{{ messages }}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    context = context_at(tmp_path, vocabulary, "tokenizer={kind: gguf, path: m.gguf}", "tokenizer.eos=null")
    assert context.recipe.tokenizer.vocab_tokens == 512
    assert run_stage(TOKENIZER, context) and not run_stage(TOKENIZER, context)
    loaded = load_tokenizer(context.run / "tokenizer")
    assert (loaded.eos_id, loaded.special) == (vocabulary.special["<|im_end|>"], vocabulary.special)
    assert loaded.encode("def load(path):") == vocabulary.encode("def load(path):")
    assert (context.run / "tokenizer" / "chat_template.jinja").read_text() == "{{ messages }}"
