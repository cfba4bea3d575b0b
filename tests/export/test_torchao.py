import numpy as np
import pytest
import torch

from pellucid.core.errors import ArtifactError
from pellucid.export.beside import ChatExport
from pellucid.export.torchao import write_torchao
from pellucid.model.decoder import Decoder
from pellucid.model.hf_names import to_hf
from pellucid.recipe.model import ModelConfig

transformers = pytest.importorskip("transformers")
pytest.importorskip("torchao")
pytest.importorskip("accelerate")

IDS = torch.randint(0, 600, (1, 60), generator=torch.Generator().manual_seed(1))
# Mean, in nats, of models whose weights are drawn at random; bfloat16 is a good part of the first.
LIMITS = {"int8": 1e-3, "int4": 0.045}


def loaded(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, device_map="cpu", local_files_only=True)


def kl(model, theirs):
    with torch.inference_mode():
        ours_TV = torch.log_softmax(model.logits(model(IDS))[0].double(), -1)
        theirs_TV = torch.log_softmax(theirs(IDS).logits[0].double(), -1)
    return float((ours_TV.exp() * (ours_TV - theirs_TV)).sum(-1).mean())


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_transformers_loads_it_and_computes_nearly_what_the_checkpoint_does(llama, stablelm, tokenizer, tmp_path, kind):
    for name, trained in (("llama", llama), ("stablelm", stablelm)):
        facts = write_torchao(trained.state, trained.config, tokenizer, tmp_path / name, type=kind)
        theirs = loaded(tmp_path / name)
        assert kl(trained.model, theirs) < LIMITS[kind]
        assert facts["quantised_matrices"] == 14
        assert [case["tensor"] for case in facts["kept"]] == ["model.embed_tokens.weight", "lm_head.weight"]
        assert facts["weight_bytes"] == (tmp_path / name / "model.safetensors").stat().st_size
    assert sorted(path.name for path in tmp_path.iterdir()) == ["llama", "stablelm"]


def test_8_bit_weights_are_within_a_step_of_the_checkpoints(stablelm, tokenizer, tmp_path):
    write_torchao(stablelm.state, stablelm.config, tokenizer, tmp_path, type="int8")
    theirs, compared = dict(loaded(tmp_path).named_parameters()), 0
    for name, tensor in to_hf(stablelm.state, stablelm.config).items():
        if name.endswith("_proj.weight"):
            written = theirs[name]
            scale_R1 = written.scale.float()
            # From -128 to 127, by a scale that is itself rounded to bfloat16.
            torch.testing.assert_close(scale_R1, tensor.abs().amax(1, keepdim=True) / 127.5, rtol=0.01, atol=0)
            assert bool(((written.qdata.float() - tensor / scale_R1).abs() <= 1).all()), name
            compared += 1
    assert compared == 14


def test_heads_in_another_order_are_seen_through_4_bits(llama, tokenizer, tmp_path):
    write_torchao(llama.heads_flipped(), llama.config, tokenizer, tmp_path, type="int4")
    assert kl(llama.model, loaded(tmp_path)) > LIMITS["int4"]


def test_tokenizer_template_and_ends_are_inside(stablelm, tokenizer, tmp_path):
    chat = ChatExport("{{ messages[0]['content'] }}", (tokenizer.eos_id, 300))
    write_torchao(stablelm.state, stablelm.config, tokenizer, tmp_path, type="int8", chat=chat)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = "Größe, là-bas, ¿qué? 1234"
    assert theirs(text)["input_ids"] == tokenizer.encode(text)
    assert theirs.chat_template == chat.template
    assert loaded(tmp_path).generation_config.eos_token_id == [tokenizer.eos_id, 300]


def test_rows_that_no_group_divides_stay_as_they_are_and_are_named(stablelm, tokenizer, tmp_path):
    config = ModelConfig(**{**stablelm.config.model_dump(), "mlp_hidden": 80})
    model = Decoder(config)
    facts = write_torchao(model.state_dict(), config, tokenizer, tmp_path, type="int4")
    kept = {case["tensor"] for case in facts["kept"]}
    assert {f"model.layers.{layer}.mlp.down_proj.weight" for layer in range(2)} <= kept
    assert np.isfinite(kl(model, loaded(tmp_path)))


def test_weights_that_are_not_finite_are_refused(stablelm, tokenizer, tmp_path):
    state = {**stablelm.state, "norm.weight": stablelm.state["norm.weight"] * float("nan")}
    with pytest.raises(ArtifactError, match=r"norm\.weight holds values that are not finite"):
        write_torchao(state, stablelm.config, tokenizer, tmp_path / "x", type="int8")
    assert list(tmp_path.iterdir()) == []
