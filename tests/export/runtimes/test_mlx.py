import numpy as np
import pytest
import torch

from pellucid.core.errors import ArtifactError
from pellucid.export.beside import ChatExport
from pellucid.export.mlx import write_mlx
from pellucid.export.probes import probe_texts
from pellucid.export.runtimes.mlx import MlxRuntime
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig

pytest.importorskip("mlx_lm")

CONFIG = ModelConfig(
    vocab_tokens=608, context_tokens=64, layers=2, hidden=64, heads=4, kv_heads=2, mlp_hidden=96, norm="rmsnorm", norm_bias=False,
    rotary_frac=1.0, qkv_bias=False, tied_head=False, init_std=0.1,
)  # fmt: skip
TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"


@pytest.fixture(scope="module")
def model():
    model = Decoder(CONFIG)
    init_weights(model, 5)
    return model


def test_texts_and_conversations_become_the_runs_ids_and_answers_end_where_training_ends_them(model, tokenizer, tmp_path):
    chat = ChatExport(TEMPLATE, (tokenizer.eos_id, 300))
    write_mlx(model.state_dict(), CONFIG, tokenizer, tmp_path / "chat", type="fp16", chat=chat)
    with MlxRuntime(tmp_path / "chat") as runtime:
        for text in [*probe_texts(), "a <|endoftext|>"]:
            assert runtime.encode(text) == tokenizer.encode(text)
        assert runtime.encode_chat([{"role": "user", "content": "The river"}]) == tokenizer.encode("The river")
        assert runtime.stop_ids() == {tokenizer.eos_id, 300}
        assert runtime.eos_id == tokenizer.eos_id
        assert runtime.load_s > 0
        assert runtime.name == "MLX"
        assert "mlx-lm" in runtime.version
    write_mlx(model.state_dict(), CONFIG, tokenizer, tmp_path / "base", type="fp16")
    with MlxRuntime(tmp_path / "base") as runtime:
        assert runtime.encode_chat([{"role": "user", "content": "The river"}]) is None
        assert runtime.stop_ids() == {tokenizer.eos_id}


def test_each_row_is_the_distribution_after_its_own_tokens(model, tokenizer, tmp_path):
    write_mlx(model.state_dict(), CONFIG, tokenizer, tmp_path, type="fp16")
    ids = torch.randint(0, 600, (30,), generator=torch.Generator().manual_seed(1)).tolist()
    with MlxRuntime(tmp_path) as runtime:
        whole_TV = runtime.log_probabilities(ids)
        assert whole_TV.shape == (30, 608)
        assert whole_TV.dtype == np.float64
        np.testing.assert_allclose(np.exp(whole_TV).sum(-1), 1, atol=1e-6)
        for length in (1, 7, 29):
            np.testing.assert_allclose(runtime.log_probabilities(ids[:length])[-1], whole_TV[length - 1], atol=0.02)


def test_it_writes_the_text_that_the_likeliest_tokens_spell(model, tokenizer, tmp_path):
    write_mlx(model.state_dict(), CONFIG, tokenizer, tmp_path, type="fp16")
    prompt = tokenizer.encode("The river")
    with MlxRuntime(tmp_path) as runtime:
        ids, expected = list(prompt), []
        for _ in range(5):
            ids.append(int(runtime.log_probabilities(ids)[-1].argmax()))
            expected.append(ids[-1])
        assert tokenizer.eos_id not in expected
        assert runtime.generate(prompt, 5).strip() == tokenizer.decode(expected).strip()


def test_a_folder_that_is_no_export_or_was_cut_short_is_refused(model, tokenizer, tmp_path):
    with pytest.raises(ArtifactError, match=r"config\.json is missing"):
        MlxRuntime(tmp_path / "nowhere")
    write_mlx(model.state_dict(), CONFIG, tokenizer, tmp_path, type="fp16")
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ArtifactError, match=r"model\.safetensors cannot be read"):
        MlxRuntime(tmp_path)
