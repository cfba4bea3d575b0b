from pathlib import Path

import pytest
import torch

from pellucid.core.errors import ArtifactError
from pellucid.export.runtimes.decoder import DecoderRuntime
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.after import ExportConfig
from pellucid.recipe.model import ModelConfig
from pellucid.stages.formats import Planned, Source, open_export, planned_exports, read_export, write_export
from pellucid.tokenizer.bpe import BytePairTokenizer

HF, F16 = Planned("hf", "hf", "float32", "hf"), Planned("gguf-F16", "gguf", "F16", "gguf/model-F16.gguf")


@pytest.fixture(scope="module")
def source(tokenizer: BytePairTokenizer) -> Source:
    config = ModelConfig(
        layers=2, hidden=64, heads=2, kv_heads=1, mlp_hidden=128, vocab_tokens=tokenizer.vocab_tokens, context_tokens=64,
        rotary_frac=1.0, norm="rmsnorm", norm_bias=False, qkv_bias=False, tied_head=False,
    )  # fmt: skip
    model = Decoder(config)
    init_weights(model, seed=0)
    return Source(model.state_dict(), config, tokenizer, "small")


def test_every_type_of_every_format_has_a_name_and_a_place_of_its_own() -> None:
    config = ExportConfig(
        formats=("hf", "gguf", "mlx", "openvino", "torchao", "bitsandbytes", "peft", "gguf"),
        gguf_types=("F16", "Q4_0", "F16"),
        mlx_types=("fp16", "int4"),
    )
    planned = planned_exports(config)
    assert [one.name for one in planned] == [
        "hf", "gguf-F16", "gguf-Q4_0", "mlx-fp16", "mlx-int4", "openvino-fp16", "torchao-int8", "bitsandbytes-int8", "peft",
    ]  # fmt: skip
    assert [one.number_type for one in planned] == ["float32", "F16", "Q4_0", "fp16", "int4", "fp16", "int8", "llm.int8", "float32"]
    assert [one.place for one in planned[:4]] == ["hf", "gguf/model-F16.gguf", "gguf/model-Q4_0.gguf", "mlx-fp16"]
    assert len({one.place for one in planned}) == len(planned)


@pytest.mark.parametrize(("one", "relative", "absolute"), [(HF, 0.0, 0.0), (F16, 2**-11, 2**-24)])
def test_what_is_written_is_read_back_within_its_type(
    one: Planned, relative: float, absolute: float, source: Source, tmp_path: Path
) -> None:
    if one.format == "gguf":
        pytest.importorskip("gguf")
    path = tmp_path / one.place
    path.parent.mkdir(exist_ok=True)
    facts = write_export(one, path, source)
    found = read_export(one, path, source.config)
    assert facts["type"] == one.type and found.tensors.keys() == source.state.keys()
    for name, weight in source.state.items():
        torch.testing.assert_close(found.tensors[name], weight, rtol=relative, atol=absolute, msg=name)


def test_a_folder_is_opened_by_our_own_decoder_where_nothing_else_is_installed(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_export(HF, tmp_path, source)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with open_export(HF, tmp_path, 64, is_chat=False) as runtime:
        assert isinstance(runtime, DecoderRuntime)
        ids = runtime.encode("The river")
        assert ids == source.tokenizer.encode("The river")
        model = Decoder(source.config)
        model.load_state_dict(source.state)
        expected = torch.log_softmax(model.logits(model(torch.tensor([ids]))).double(), dim=-1)[0].detach().numpy()
        assert abs(runtime.log_probabilities(ids) - expected).max() < 1e-5


def test_a_folder_that_holds_no_weights_is_no_export(source: Source, tmp_path: Path) -> None:
    write_export(HF, tmp_path, source)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ArtifactError, match="safetensors"):
        read_export(HF, tmp_path, source.config)
