import json

import pytest
import torch

from pellucid.checkpoint.hf_folder import read_hf_folder
from pellucid.core.errors import ArtifactError, UsageError
from pellucid.export.hf import ChatExport, write_hf
from pellucid.model.hf_names import to_hf
from pellucid.recipe.model import ModelConfig
from pellucid.tokenizer.from_huggingface import import_huggingface
from pellucid.tokenizer.tokenizer import load_tokenizer

transformers = pytest.importorskip("transformers")


def test_the_folder_loads_in_transformers_with_equal_logits_and_ids(trained, tokenizer, tmp_path):
    write_hf(trained.state, trained.config, tokenizer, tmp_path)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    with_rmsnorm = "Qwen3ForCausalLM" if trained.config.qk_norm else "LlamaForCausalLM"
    assert type(loaded).__name__ == (with_rmsnorm if trained.config.norm == "rmsnorm" else "StableLmForCausalLM")
    ids_BT = torch.randint(0, trained.config.vocab_tokens, (3, 64), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours = trained.model.logits(trained.model(ids_BT))
        theirs = loaded(ids_BT).logits
    torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=0)
    their_tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = "Größe, là-bas, ¿qué? 1234\n\tx = y"
    assert their_tokenizer(text)["input_ids"] == tokenizer.encode(text)
    assert their_tokenizer.eos_token_id == loaded.config.eos_token_id == tokenizer.eos_id
    assert their_tokenizer.model_max_length == 64


def test_it_generates_in_transformers_from_its_own_settings(stablelm, tokenizer, tmp_path):
    write_hf(stablelm.state, stablelm.config, tokenizer, tmp_path)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    new = loaded.generate(torch.tensor([tokenizer.encode("The river")]), max_new_tokens=5, do_sample=False)
    assert new.shape[1] > len(tokenizer.encode("The river"))
    assert loaded.generation_config.pad_token_id == tokenizer.eos_id
    assert loaded.config.pad_token_id is None


def test_the_config_names_the_rotary_settings_nested_and_at_top_level(stablelm, tokenizer, tmp_path):
    write_hf(stablelm.state, stablelm.config, tokenizer, tmp_path)
    config = json.loads((tmp_path / "config.json").read_bytes())
    for place in (config, config["rope_parameters"]):
        assert place["rope_theta"] == 10_000.0
        assert place["partial_rotary_factor"] == 0.25


def test_the_tokenizer_in_the_folder_is_the_runs_own(stablelm, tokenizer, tmp_path):
    write_hf(stablelm.state, stablelm.config, tokenizer, tmp_path)
    again = load_tokenizer(tmp_path)
    assert again.ranks == tokenizer.ranks
    assert again.special == tokenizer.special


def test_bfloat16_halves_the_weights_and_rounds_them_once(stablelm, tokenizer, tmp_path):
    for dtype in ("float32", "bfloat16"):
        write_hf(stablelm.state, stablelm.config, tokenizer, tmp_path / dtype, dtype=dtype)
    sizes = {dtype: (tmp_path / dtype / "model.safetensors").stat().st_size for dtype in ("float32", "bfloat16")}
    assert sizes["bfloat16"] < 0.55 * sizes["float32"]
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "bfloat16")
    assert loaded.dtype == torch.bfloat16
    torch.testing.assert_close(loaded.model.embed_tokens.weight, stablelm.state["embedding.weight"].bfloat16(), atol=0, rtol=0)


def test_a_tokenizer_with_more_ids_than_the_model_has_rows_is_refused(stablelm, tokenizer, tmp_path):
    small = ModelConfig(**{**stablelm.config.model_dump(), "vocab_tokens": 599})
    with pytest.raises(ArtifactError, match="the tokenizer has 600 ids, the model's embedding 599 rows"):
        write_hf(stablelm.state, small, tokenizer, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_shape_that_transformers_does_not_compute_is_refused(stablelm, tokenizer, tmp_path):
    mixed = ModelConfig(**{**stablelm.config.model_dump(), "norm": "rmsnorm", "norm_bias": False})
    with pytest.raises(UsageError, match="rmsnorm"):
        write_hf(stablelm.state, mixed, tokenizer, tmp_path)


def test_a_template_lies_in_the_folder_instead_of_one_that_the_vocabulary_brought(stablelm, published, tmp_path):
    (tmp_path / "theirs").mkdir()
    published.save(tmp_path / "theirs")
    (tmp_path / "theirs" / "tokenizer_config.json").write_text(json.dumps({"chat_template": "theirs", "model_max_length": 9}))
    brought = import_huggingface(tmp_path / "theirs", None)
    write_hf(stablelm.state, stablelm.config, brought, tmp_path / "hf", chat=ChatExport("{{ 'ours' }}\n", (brought.eos_id, 5)))
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert loaded.chat_template == "{{ 'ours' }}\n"
    assert "chat_template" not in json.loads((tmp_path / "hf" / "tokenizer_config.json").read_text())
    generation = transformers.GenerationConfig.from_pretrained(tmp_path / "hf")
    assert generation.eos_token_id == [brought.eos_id, 5]
    # Without one of its own, a run leaves what the vocabulary brought.
    write_hf(stablelm.state, stablelm.config, brought, tmp_path / "base")
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "base").chat_template == "theirs"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_sharded_weights_load_in_transformers_bit_for_bit(trained, tokenizer, tmp_path, dtype):
    names = write_hf(trained.state, trained.config, tokenizer, tmp_path / "cut", dtype=dtype, shard_bytes=50_000)
    assert len(names) > 2
    assert write_hf(trained.state, trained.config, tokenizer, tmp_path / "whole", dtype=dtype) == ["model.safetensors"]
    # Weights that transformers does not find are new random numbers, so a bit-equal model has found them all.
    cut, whole = (transformers.AutoModelForCausalLM.from_pretrained(tmp_path / name).state_dict() for name in ("cut", "whole"))
    assert cut.keys() == whole.keys()
    assert all(torch.equal(cut[name], whole[name]) for name in whole)
    ours = to_hf(trained.state, trained.config)
    assert all(torch.equal(cut[name], tensor.to(getattr(torch, dtype))) for name, tensor in ours.items())
    if not trained.config.qk_norm:
        _, again = read_hf_folder(tmp_path / "cut")
        assert all(torch.equal(tensor, trained.state[name].to(getattr(torch, dtype)).float()) for name, tensor in again.items())
