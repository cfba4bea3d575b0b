from pathlib import Path

import pytest

from pellucid.core.artifacts import fingerprint, read_manifest
from pellucid.core.errors import UsageError
from pellucid.recipe.load import load_recipe
from pellucid.stages.stage import Context, run_stage
from pellucid.stages.tokenizer import TOKENIZER
from pellucid.tokenizer.bpe import BytePairTokenizer
from pellucid.tokenizer.huggingface import tokenizer_json
from pellucid.tokenizer.tokenizer import load_tokenizer
from pellucid.tokenizer.training import train_bpe


def test_the_vocabulary_has_the_size_of_the_recipe_and_names_its_documents(finished_run: Path) -> None:
    manifest = read_manifest(finished_run / "tokenizer", "tokenizer")
    assert load_tokenizer(finished_run / "tokenizer").vocab_tokens == manifest.config["vocab_tokens"] == 1024
    assert manifest.inputs["documents"] == fingerprint(finished_run / "documents")
    assert 0 < manifest.summary["train_bytes"] <= 2_000_000


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


def test_what_a_plan_can_do_without_the_stage_asks_for(tmp_path: Path, vocabulary: BytePairTokenizer) -> None:
    overrides = ["tokenizer.path=null", "tokenizer.hub=a/b", "tokenizer.vocab_tokens=512"]
    with pytest.raises(UsageError, match=r"tokenizer\.path: missing; with hub: a/b .* Download that model's tokenizer\.json"):
        run_stage(TOKENIZER, context_at(tmp_path, vocabulary, *overrides))
    with pytest.raises(UsageError, match=r"tokenizer\.path: .*gone is not there"):
        run_stage(TOKENIZER, context_at(tmp_path, vocabulary, "tokenizer.path=gone", "tokenizer.vocab_tokens=512"))
