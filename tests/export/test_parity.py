import json
from importlib import util

import pytest
import torch

from pellucid.adapters.lora import add_adapters, merge_adapters
from pellucid.adapters.peft_format import save_peft
from pellucid.core.errors import ArtifactError
from pellucid.export.hf import write_hf
from pellucid.export.parity import check_peft, check_plain_call, probe_sequences
from pellucid.export.probes import probe_texts
from pellucid.model.decoder import Decoder
from pellucid.recipe.tuning import AdapterConfig
from pellucid.tokenizer.from_huggingface import import_huggingface


def test_the_probe_holds_two_hundred_different_texts_with_every_language():
    texts = probe_texts()
    assert len(texts) == len(set(texts)) >= 200
    together = "".join(texts)
    assert all(letters in together for letters in ("ß", "œ", "¿", "ì", "ij", "ã", "def ", "\r\n"))


def test_probe_sequences_fit_the_context_and_differ(tokenizer):
    for context_tokens in (8, 64, 4096):
        sequences = probe_sequences(tokenizer, context_tokens)
        assert [len(ids) for ids in sequences] == [min(length, context_tokens - 1) for length in (64, 64, 64, 512)]
        assert len({tuple(ids) for ids in sequences}) == 4


def test_a_published_configuration_that_adds_to_texts_and_ends_them_otherwise_is_put_right_and_seen_where_it_is_not(
    llama, published, tmp_path
):
    transformers = pytest.importorskip("transformers")
    values = json.loads(published._files.main)
    values["added_tokens"].append({**values["added_tokens"][0], "id": 600, "content": "<|begin|>"})
    begin, text = {"SpecialToken": {"id": "<|begin|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    template = {
        "type": "TemplateProcessing",
        "single": [begin, text],
        "pair": [begin, text, {"Sequence": {"id": "B", "type_id": 1}}],
    }
    template["special_tokens"] = {"<|begin|>": {"id": "<|begin|>", "ids": [600], "tokens": ["<|begin|>"]}}
    values["post_processor"] = {"type": "Sequence", "processors": [template]}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin|>", "eos_token": "<|begin|>"}
    (tmp_path / "in").mkdir()
    (tmp_path / "in/tokenizer.json").write_text(json.dumps(values))
    (tmp_path / "in/tokenizer_config.json").write_text(json.dumps(config))
    foreign = import_huggingface(tmp_path / "in", "<|endoftext|>")
    write_hf(llama.state, llama.config, foreign, tmp_path / "hf")
    check_plain_call(tmp_path / "hf", foreign)
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert (loaded.eos_token_id, loaded.model_max_length) == (foreign.eos_id, llama.config.context_tokens)
    (tmp_path / "hf/tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ArtifactError, match=r"its end of text is '<\|begin\|>', id 600; training put id 0 between documents"):
        check_plain_call(tmp_path / "hf", foreign)
    (tmp_path / "hf/tokenizer_config.json").write_text(json.dumps(config | {"eos_token": "<|endoftext|>"}))
    (tmp_path / "hf/tokenizer.json").write_text(json.dumps(values))
    with pytest.raises(ArtifactError, match=r"a plain call reads .* something adds tokens to texts"):
        check_plain_call(tmp_path / "hf", foreign)


@pytest.mark.parametrize("package", ["peft", None])
def test_an_adapter_is_certified_by_peft_or_read_back_and_another_is_not(llama, pieces, tmp_path, monkeypatch, package):
    if package is None:
        monkeypatch.setattr(util, "find_spec", lambda name: None)
    else:
        pytest.importorskip(package)
    adapter, model = AdapterConfig(rank=4, targets=("key", "down")), Decoder(llama.config)
    model.load_state_dict(llama.state)
    add_adapters(model, adapter, 1)
    for name, parameter in model.named_parameters():
        if name.endswith("lora_b"):
            torch.nn.init.normal_(parameter, 0.0, 0.02)
    write_hf(llama.state, llama.config, pieces, tmp_path / "base")
    save_peft(model.state_dict(), llama.config, adapter, tmp_path)
    merge_adapters(model)
    result = check_peft(tmp_path, tmp_path / "base", model, pieces)
    assert result["loaded_with"].startswith(package or "Pellucid's own decoder (peft is not installed)")
    assert result["positions"] == 4 * 63
    with pytest.raises(ArtifactError, match="gives other logits than the checkpoint"):
        check_peft(tmp_path, tmp_path / "base", llama.model, pieces)
