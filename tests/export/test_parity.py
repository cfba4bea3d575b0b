import json
from importlib import util

import pytest
import torch

from pellucid.adapters.lora import add_adapters, merge_adapters
from pellucid.adapters.peft_format import save_peft
from pellucid.core.errors import ArtifactError
from pellucid.export import parity
from pellucid.export.gguf import write_gguf
from pellucid.export.hf import write_hf
from pellucid.export.parity import check_gguf, check_hf, check_peft, probe_sequences
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


def test_a_hugging_face_folder_is_certified_by_transformers(trained, tokenizer, tmp_path):
    pytest.importorskip("transformers")
    write_hf(trained.state, trained.config, tokenizer, tmp_path)
    result = check_hf(tmp_path, trained.model, tokenizer)
    assert result["loaded_with"].startswith("transformers ")
    assert result["texts_with_equal_ids"] == len(probe_texts())
    assert result["positions"] == 4 * 63
    assert result["largest_logit_difference"] <= result["limit"] == 1e-4


def test_a_bfloat16_folder_is_compared_with_the_rounded_checkpoint(stablelm, tokenizer, tmp_path):
    pytest.importorskip("transformers")
    write_hf(stablelm.state, stablelm.config, tokenizer, tmp_path, dtype="bfloat16")
    assert check_hf(tmp_path, stablelm.model, tokenizer, dtype="bfloat16")["largest_logit_difference"] <= 1e-4
    with pytest.raises(ArtifactError, match="other logits"):
        check_hf(tmp_path, stablelm.model, tokenizer)


def test_without_transformers_the_folder_is_read_back_and_the_result_says_so(trained, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    write_hf(trained.state, trained.config, tokenizer, tmp_path)
    result = check_hf(tmp_path, trained.model, tokenizer)
    assert "transformers is not installed" in result["loaded_with"]
    assert result["largest_logit_difference"] <= 1e-6


def test_a_folder_of_another_checkpoint_is_not_certified(stablelm, tokenizer, tmp_path):
    state = {name: tensor.clone() for name, tensor in stablelm.state.items()}
    state["blocks.1.mlp.up.weight"][0, 0] += 0.5
    write_hf(state, stablelm.config, tokenizer, tmp_path)
    with pytest.raises(ArtifactError, match="gives other logits than the checkpoint: they differ by up to"):
        check_hf(tmp_path, stablelm.model, tokenizer)


def test_another_tokenizer_is_named_with_the_text_that_shows_it(stablelm, tokenizer, tmp_path):
    write_hf(stablelm.state, stablelm.config, tokenizer, tmp_path)

    class Shifted(type(tokenizer)):
        def encode(self, text):
            return [1 if id_ == 101 else id_ for id_ in super().encode(text)]

    other = Shifted(tokenizer.ranks, tokenizer.special, "bpe")
    with pytest.raises(ArtifactError, match="the run's tokenizer as"):
        check_hf(tmp_path, stablelm.model, other)


@pytest.mark.parametrize("dtype", ["F32", "F16"])
def test_a_gguf_file_is_certified_by_llama_cpp(trained, tokenizer, tmp_path, dtype):
    pytest.importorskip("xllamacpp")
    path = tmp_path / "model.gguf"
    write_gguf(trained.state, trained.config, tokenizer, path, dtype=dtype, name="t")
    result = check_gguf(path, trained.model, tokenizer, dtype=dtype, positions=8)
    assert result["loaded_with"].startswith("llama.cpp")
    assert result["positions"] == 8
    assert result["texts_with_equal_ids"] == len(probe_texts())
    assert result["largest_logit_difference"] <= parity.GGUF_LIMITS[dtype]
    assert 0 <= result["largest_kl_nats"] < (1e-9 if dtype == "F32" else 1e-5)
    assert result["generated"]


def test_limits_grow_with_logits_that_reach_further_than_usual_and_never_shrink(stablelm, tokenizer, tmp_path):
    large = type(stablelm.model)(stablelm.config)
    large.load_state_dict(
        stablelm.state | {"norm.weight": stablelm.state["norm.weight"] * 20, "norm.bias": stablelm.state["norm.bias"] * 20}
    )
    limits = []
    for name, model in (("usual", stablelm.model), ("large", large)):
        write_hf(model.state_dict(), model.config, tokenizer, tmp_path / name)
        limits.append(check_hf(tmp_path / name, model, tokenizer)["limit"])
    logits = [parity._logits(large, ids).abs().max() for ids in probe_sequences(tokenizer, large.config.context_tokens)]
    assert limits[0] == parity.HF_LIMIT
    assert limits[1] > 5 * parity.HF_LIMIT
    assert limits[1] == pytest.approx(parity.HF_LIMIT * float(max(logits)) / parity.USUAL_LOGIT)


def test_a_gguf_file_of_another_checkpoint_is_not_certified(stablelm, tokenizer, tmp_path):
    pytest.importorskip("xllamacpp")
    path = tmp_path / "model.gguf"
    state = stablelm.state | {"norm.weight": stablelm.state["norm.weight"] * 1.05}
    write_gguf(state, stablelm.config, tokenizer, path, dtype="F32", name="t")
    with pytest.raises(ArtifactError, match="other logits"):
        check_gguf(path, stablelm.model, tokenizer, dtype="F32", positions=4)


def test_logits_that_are_not_numbers_are_never_certified(stablelm, tokenizer, tmp_path):
    write_hf(stablelm.state, stablelm.config, tokenizer, tmp_path)
    broken = type(stablelm.model)(stablelm.config)
    broken.load_state_dict(stablelm.state | {"norm.weight": torch.full_like(stablelm.state["norm.weight"], float("nan"))})
    with pytest.raises(ArtifactError, match="differ by up to nan"):
        check_hf(tmp_path, broken, tokenizer)


def test_a_tokenizer_json_that_others_made_is_carried_along_unchanged_and_certified_by_both_runtimes(llama, published, tmp_path):
    pytest.importorskip("transformers")
    write_hf(llama.state, llama.config, published, tmp_path / "hf")
    assert (tmp_path / "hf/tokenizer.json").read_bytes() == published._files.main
    assert check_hf(tmp_path / "hf", llama.model, published)["texts_with_equal_ids"] == len(probe_texts())
    pytest.importorskip("xllamacpp")
    write_gguf(llama.state, llama.config, published, tmp_path / "model.gguf", dtype="F32", name="t")
    result = check_gguf(tmp_path / "model.gguf", llama.model, published, dtype="F32", positions=4)
    assert result["texts_with_equal_ids"] == len(probe_texts())


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
    assert check_hf(tmp_path / "hf", llama.model, foreign)["texts_with_equal_ids"] == len(probe_texts())
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert (loaded.eos_token_id, loaded.model_max_length) == (foreign.eos_id, llama.config.context_tokens)
    (tmp_path / "hf/tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ArtifactError, match=r"its end of text is '<\|begin\|>', id 600; training put id 0 between documents"):
        check_hf(tmp_path / "hf", llama.model, foreign)
    (tmp_path / "hf/tokenizer_config.json").write_text(json.dumps(config | {"eos_token": "<|endoftext|>"}))
    (tmp_path / "hf/tokenizer.json").write_text(json.dumps(values))
    with pytest.raises(ArtifactError, match=r"a plain call reads .* something adds tokens to texts"):
        check_hf(tmp_path / "hf", llama.model, foreign)


def test_sentencepieces_file_is_carried_along_and_llama_cpp_reads_every_text_with_its_ids(llama, pieces, tmp_path):
    pytest.importorskip("transformers")
    write_hf(llama.state, llama.config, pieces, tmp_path / "hf")
    assert (tmp_path / "hf/tokenizer.model").read_bytes() == pieces._files.main
    result = check_hf(tmp_path / "hf", llama.model, pieces)
    # transformers makes merges of the pieces, which cannot say all; the certificate counts what it reads otherwise.
    assert 0 < result["texts_with_equal_ids"] <= result["texts_compared"] == len(probe_texts())
    pytest.importorskip("xllamacpp")
    write_gguf(llama.state, llama.config, pieces, tmp_path / "model.gguf", dtype="F32", name="t")
    result = check_gguf(tmp_path / "model.gguf", llama.model, pieces, dtype="F32", positions=4)
    assert result["texts_with_equal_ids"] == len(probe_texts())


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
