from pathlib import Path

from pellucid.core.artifacts import fingerprint, read_manifest
from pellucid.tokenizer.tokenizer import load_tokenizer


def test_the_vocabulary_has_the_size_of_the_recipe_and_names_its_documents(finished_run: Path) -> None:
    manifest = read_manifest(finished_run / "tokenizer", "tokenizer")
    assert load_tokenizer(finished_run / "tokenizer").vocab_tokens == manifest.config["vocab_tokens"] == 1024
    assert manifest.inputs["documents"] == fingerprint(finished_run / "documents")
    assert 0 < manifest.summary["train_bytes"] <= 2_000_000
