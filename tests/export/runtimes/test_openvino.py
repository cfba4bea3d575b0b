import numpy as np
import pytest
import torch

from pellucid.core.errors import ArtifactError
from pellucid.export.beside import ChatExport
from pellucid.export.openvino import write_openvino
from pellucid.export.probes import probe_texts
from pellucid.export.runtimes.openvino import OpenVinoRuntime
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig

pytest.importorskip("openvino")

CONFIG = ModelConfig(
    vocab_tokens=608, context_tokens=64, layers=1, hidden=32, heads=2, kv_heads=1, mlp_hidden=64, norm="layernorm", norm_bias=True,
    rotary_frac=0.25, qkv_bias=True, tied_head=False, init_std=0.1,
)  # fmt: skip
TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("openvino")
    model = Decoder(CONFIG)
    init_weights(model, 5)
    chat = ChatExport(TEMPLATE, (tokenizer.eos_id, 300))
    write_openvino(model.state_dict(), CONFIG, tokenizer, folder, type="fp16", chat=chat)
    return folder


def test_texts_and_conversations_become_the_runs_ids_and_answers_end_where_training_ends_them(folder, tokenizer):
    with OpenVinoRuntime(folder) as runtime:
        for text in [*probe_texts(), "a <|endoftext|>"]:
            assert runtime.encode(text) == tokenizer.encode(text)
        assert runtime.encode_chat([{"role": "user", "content": "The river"}]) == tokenizer.encode("The river")
        assert runtime.stop_ids() == {tokenizer.eos_id, 300}
        assert runtime.eos_id == tokenizer.eos_id
        assert runtime.load_s > 0
        assert runtime.name == "OpenVINO"


def test_each_call_begins_anew_and_further_ids_follow(folder):
    ids = torch.randint(0, 600, (30,), generator=torch.Generator().manual_seed(1)).tolist()
    with OpenVinoRuntime(folder) as runtime:
        whole_TV = runtime.log_probabilities(ids)
        assert whole_TV.shape == (30, 608)
        np.testing.assert_allclose(np.exp(whole_TV).sum(-1), 1, atol=1e-6)
        parts = [runtime.log_probabilities(ids[:11]), runtime.further(ids[11:12]), runtime.further(ids[12:])]
        np.testing.assert_allclose(np.concatenate(parts), whole_TV, atol=1e-4)
        np.testing.assert_allclose(runtime.log_probabilities(ids), whole_TV, atol=1e-5)


def test_a_folder_that_is_no_export_or_was_cut_short_is_refused(folder, tmp_path):
    with pytest.raises(ArtifactError, match=r"openvino_model\.xml is missing"):
        OpenVinoRuntime(tmp_path)
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "openvino_model.bin"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ArtifactError, match="OpenVINO does not load"):
        OpenVinoRuntime(tmp_path)
