"""A small valid recipe to start from, and a way to load a changed one."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pellucid.core.errors import Problem, RecipeError
from pellucid.recipe.load import LoadedRecipe, load_recipe

SMALL = """\
name: small
sources:
  - {name: wiki, path: texts/*.txt, category: Wiki, weight: 3}
  - {name: code-python, hub: owner/code, category: Code, weight: 1, available_tokens: 1_000_000}
model: {preset: pocket}
train:
  - name: pretrain
    length_tokens: 2e6
    batch_tokens: 8192
    seq_tokens: 512
    micro_seqs: 16
    schedule: {peak_lr: 1e-3, warmup_steps: 10}
"""

Write = Callable[..., Path]
Load = Callable[..., LoadedRecipe]
Problems = Callable[..., list[Problem]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a recipe file: SMALL unless other text is given, with replacements."""

    def make(text: str = SMALL, name: str = "small.yaml", **replace: str) -> Path:
        for old, new in replace.items():
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return make


@pytest.fixture
def load(write: Write) -> Load:
    """Return a function that loads SMALL with `--set` overrides."""
    return lambda *overrides: load_recipe(write(), overrides)


@pytest.fixture
def problems(write: Write) -> Problems:
    """Return a function that loads SMALL with overrides and returns the problems that it must have."""

    def find(*overrides: str, text: str = SMALL) -> list[Problem]:
        with pytest.raises(RecipeError) as caught:
            load_recipe(write(text), overrides)
        return list(caught.value.problems)

    return find


# As SmolLM2 is published, smaller; config.json of transformers 4.
LLAMA_CONFIG = {
    "architectures": ["LlamaForCausalLM"], "vocab_size": 1000, "max_position_embeddings": 512, "num_hidden_layers": 3,
    "hidden_size": 48, "num_attention_heads": 3, "num_key_value_heads": 1, "intermediate_size": 96, "rope_theta": 100000,
    "tie_word_embeddings": True, "rms_norm_eps": 1e-5,
}  # fmt: skip


@pytest.fixture
def hf_folder(tmp_path: Path) -> Path:
    """A Hugging Face folder as far as its config.json goes."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA_CONFIG))
    return folder


@pytest.fixture
def gguf_file(tmp_path: Path) -> Path:
    """The same shape as a GGUF file, with a vocabulary and the tensors by which a shape is told."""
    gguf = pytest.importorskip("gguf")
    file = tmp_path / "theirs.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    for name, value in (
        ("context_length", 512), ("embedding_length", 48), ("block_count", 3), ("head_count", 3), ("head_count_kv", 1),
        ("feed_forward_length", 96), ("rope_freq_base", 100000.0), ("layer_norm_rms_eps", 1e-5), ("tokenizer_model", "gpt2"),
    ):  # fmt: skip
        getattr(writer, f"add_{name}")(value)
    writer.add_token_list([f"t{id_}" for id_ in range(990)] + [f"[PAD{id_}]" for id_ in range(990, 1000)])
    writer.add_token_types([1] * 990 + [5] * 10)
    writer.add_tensor("token_embd.weight", np.zeros((1000, 48), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
