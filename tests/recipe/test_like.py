"""Which kind of place a likeness is read from."""

from pathlib import Path

import pytest

from pellucid.core.errors import ArtifactError, UsageError
from pellucid.recipe.like import describe_weights, is_gguf_file


def test_a_folder_and_a_file_of_the_same_shape_are_described_alike(hf_folder: Path, gguf_file: Path) -> None:
    assert is_gguf_file(gguf_file) and not is_gguf_file(hf_folder)
    assert describe_weights(hf_folder) == describe_weights(gguf_file)


def test_what_is_neither_says_what_would_do(hf_folder: Path, gguf_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere does not exist; weights can come from a Hugging Face folder"):
        describe_weights(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"config\.json is no GGUF file"):
        describe_weights(hf_folder / "config.json")
    with pytest.raises(ArtifactError, match=r"has no config\.json; did you mean .*theirs\.gguf"):
        describe_weights(tmp_path)
