import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pellucid.core.errors import ArtifactError, UsageError
from pellucid.export.hf import write_hf
from pellucid.export.mlx import write_mlx
from pellucid.export.probes import probe_texts
from pellucid.export.runtimes.mlx import MlxRuntime
from pellucid.model.decoder import Decoder
from pellucid.model.hf_names import from_hf
from pellucid.recipe.model import ModelConfig
from pellucid.tokenizer.arcade import arcade100k

mlx_lm = pytest.importorskip("mlx_lm")
mx = pytest.importorskip("mlx.core")

IDS = torch.randint(0, 600, (60,), generator=torch.Generator().manual_seed(1)).tolist()

# Mean, in nats: what 4 bits cost these models, whose weights are drawn at random and so have nothing to spare.
INT4_KL = 0.05


def untied(trained):
    """The same model with its head written out: what mlx-lm's StableLM has to be given."""
    if trained.config.norm == "rmsnorm" or not trained.config.tied_head:
        return trained.state, trained.config
    return {**trained.state, "head.weight": trained.state["embedding.weight"].clone()}, changed(trained.config, tied_head=False)


def changed(config, **values):
    return ModelConfig(**{**config.model_dump(), **values})


def log_probabilities(model, ids):
    with torch.inference_mode():
        return torch.log_softmax(model.logits(model(torch.tensor([ids])))[0].double(), -1).numpy()


def kl(ours_TV, theirs_TV):
    return (np.exp(ours_TV) * (ours_TV - theirs_TV)).sum(-1)


def decoder(tensors, config):
    model = Decoder(config)
    model.load_state_dict(
        from_hf({name: torch.tensor(np.array(array.astype(mx.float32))) for name, array in tensors.items()}, config)
    )
    return model


def dense(folder):
    """The weights in a folder by MLX's own reckoning, made dense again."""
    tensors, found = mx.load(str(folder / "model.safetensors")), {}
    quantization = json.loads((folder / "config.json").read_text()).get("quantization", {})
    for name, array in tensors.items():
        module, _, part = name.rpartition(".")
        if part == "weight" and f"{module}.scales" in tensors:
            group = quantization.get(module, quantization)["group_size"]
            scales, offsets = (tensors[f"{module}.{part}"].astype(mx.float32) for part in ("scales", "biases"))
            array = mx.dequantize(array, scales, offsets, group, 4)
        elif part in ("scales", "biases"):
            continue
        found[name] = array
    return found


@pytest.mark.parametrize("kind", ["fp16", "int4"])
def test_it_is_what_mlx_lm_makes_of_the_hugging_face_folder(trained, tokenizer, tmp_path, kind):
    def choose(path, module):
        return {"group_size": 64 if module.weight.shape[-1] % 64 == 0 else 32, "bits": 4, "mode": "affine"}

    write_hf(*untied(trained), tokenizer, tmp_path / "hf")
    mlx_lm.convert(
        str(tmp_path / "hf"),
        str(tmp_path / "theirs"),
        dtype="float16",
        quantize=kind == "int4",
        q_group_size=32,
        quant_predicate=choose,
    )
    write_mlx(trained.state, trained.config, tokenizer, tmp_path / "ours", type=kind)
    theirs, ours = (load_file(tmp_path / name / "model.safetensors") for name in ("theirs", "ours"))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name
    if kind == "int4":
        assert ours["model.layers.0.mlp.gate_proj.weight"].dtype == torch.uint32


@pytest.mark.parametrize("kind", ["fp16", "int4"])
def test_mlx_computes_what_our_decoder_computes_of_the_same_weights(trained, tokenizer, tmp_path, kind):
    write_mlx(trained.state, trained.config, tokenizer, tmp_path, type=kind)
    ours = log_probabilities(decoder(dense(tmp_path), untied(trained)[1]), IDS)
    with MlxRuntime(tmp_path) as runtime:
        in_half = runtime.log_probabilities(IDS)
        # What is computed in float16 there is computed in float32 here, so that nothing hides behind its rounding.
        runtime._model.set_dtype(mx.float32)
        in_single = runtime.log_probabilities(IDS)
    assert np.abs(in_single - ours).max() < 1e-4
    assert kl(ours, in_half).max() < 1e-4
    divergence = kl(log_probabilities(trained.model, IDS), in_half)
    assert divergence.mean() < {"fp16": 1e-5, "int4": INT4_KL}[kind]


def test_heads_in_another_order_are_seen_through_4_bits(llama, tokenizer, tmp_path):
    ours, found = log_probabilities(llama.model, IDS), {}
    for name, state in (("right", llama.state), ("permuted", llama.heads_flipped())):
        write_mlx(state, llama.config, tokenizer, tmp_path / name, type="int4")
        with MlxRuntime(tmp_path / name) as runtime:
            found[name] = kl(ours, runtime.log_probabilities(IDS)).mean()
    assert found["right"] < INT4_KL < found["permuted"], found


def test_a_sentencepiece_vocabulary_is_read_alike(llama, pieces, tmp_path):
    write_mlx(llama.state, llama.config, pieces, tmp_path, type="fp16")
    with MlxRuntime(tmp_path) as runtime:
        equal = [runtime.encode(text) == pieces.encode(text) for text in probe_texts()]
    assert all(equal)


def test_arcade100k_is_read_alike(stablelm, tmp_path):
    pytest.importorskip("tiktoken_ext")
    tokenizer = arcade100k()
    config = changed(stablelm.config, vocab_tokens=tokenizer.vocab_tokens, hidden=32)
    write_mlx(Decoder(config).state_dict(), config, tokenizer, tmp_path, type="int4")
    with MlxRuntime(tmp_path) as runtime:
        for text in probe_texts():
            assert runtime.encode(text) == tokenizer.encode(text)


def test_rows_that_no_group_divides_stay_float16_and_are_named(stablelm, tokenizer, tmp_path):
    config = changed(stablelm.config, mlp_hidden=80)
    model = Decoder(config)
    facts = write_mlx(model.state_dict(), config, tokenizer, tmp_path, type="int4")
    kept = [f"model.layers.{layer}.mlp.down_proj.weight" for layer in range(2)]
    assert [(case["tensor"], case["row"], case["got"]) for case in facts["kept"]] == [(name, 80, "float16") for name in kept]
    assert load_file(tmp_path / "model.safetensors")[kept[0]].dtype == torch.float16
    assert facts["group_weights"] == [64]
    with MlxRuntime(tmp_path) as runtime:
        assert runtime.log_probabilities(IDS).shape == (60, 608)


def test_weights_that_float16_does_not_hold_are_refused(stablelm, tokenizer, tmp_path):
    for value, words in ((7e4, "reaches 7e\\+04, float16 ends at 65504"), (float("nan"), "not finite")):
        state = {name: tensor.clone() for name, tensor in stablelm.state.items()}
        state["blocks.0.mlp.up.weight"][3, 3] = value
        with pytest.raises(ArtifactError, match=words):
            write_mlx(state, stablelm.config, tokenizer, tmp_path, type="fp16")
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_together_is_refused(stablelm, tokenizer, tmp_path):
    with pytest.raises(UsageError, match="rmsnorm"):
        write_mlx(stablelm.state, changed(stablelm.config, norm="rmsnorm", norm_bias=False), tokenizer, tmp_path, type="fp16")
    with pytest.raises(ArtifactError, match="600 ids"):
        write_mlx(stablelm.state, changed(stablelm.config, vocab_tokens=599), tokenizer, tmp_path, type="fp16")
