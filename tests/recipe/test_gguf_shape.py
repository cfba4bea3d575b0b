"""What the fields of a GGUF file say; files of our own export and their refusals are in tests/checkpoint/test_gguf_file.py."""

import os
from pathlib import Path

import pytest

from pellucid.core.errors import ArtifactError
from pellucid.recipe.gguf_shape import read_gguf_config


def test_numbers_are_the_decimals_that_were_rounded_to_the_files_float32(gguf_file: Path) -> None:
    config = read_gguf_config(gguf_file)
    assert (config.norm_eps, config.rotary_base) == (1e-5, 1e5)
    assert (config.vocab_tokens, config.kv_heads, config.tied_head) == (1000, 1, True)


def test_an_architecture_that_is_not_ours_is_refused(gguf_file: Path) -> None:
    gguf_file.write_bytes(gguf_file.read_bytes().replace(b"\5\0\0\0\0\0\0\0llama", b"\5\0\0\0\0\0\0\0gemma"))
    with pytest.raises(
        ArtifactError, match=r"general\.architecture: got 'gemma'; weights can be imported from llama, qwen3, stablelm"
    ):
        read_gguf_config(gguf_file)


def test_smollm2_has_its_published_shape() -> None:
    named = os.environ.get("PELLUCID_SMOLLM2_GGUF", "")
    if not Path(named).is_file():
        pytest.skip("PELLUCID_SMOLLM2_GGUF does not name the file SmolLM2-135M-Instruct.Q4_1.gguf")
    config = read_gguf_config(Path(named))
    assert (config.layers, config.hidden, config.heads, config.kv_heads, config.mlp_hidden) == (30, 576, 9, 3, 1536)
    assert (config.vocab_tokens, config.context_tokens, config.rotary_base, config.tied_head) == (49_152, 8192, 1e5, True)
