"""Which kind of place a likeness is read from."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from pellucid.core.errors import ArtifactError, UsageError
from pellucid.recipe.like import describe_weights, has_norm_bias, is_gguf_file


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


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize("value", [0.0, -0.0, 1e-3])
def test_biases_of_norms_are_looked_up_in_the_weights(tmp_path: Path, kind: type, value: float) -> None:
    assert has_norm_bias(tmp_path) is None
    save_file({"a.bias": np.ones(3, kind), "norm.weight": np.ones(3, kind)}, tmp_path / "model-00001-of-00002.safetensors")
    assert has_norm_bias(tmp_path) is False
    save_file({"x_norm.bias": np.array([0.0, value], kind)}, tmp_path / "model-00002-of-00002.safetensors")
    assert has_norm_bias(tmp_path) is bool(value)


def test_files_that_are_no_safetensors_tell_nothing(tmp_path: Path) -> None:
    for data in (b"", b"\xff" * 20, (2).to_bytes(8, "little") + b"[]", (2).to_bytes(8, "little") + b"{x"):
        (tmp_path / "model.safetensors").write_bytes(data)
        assert has_norm_bias(tmp_path) is None
