import sys

import numpy as np
import pytest
import torch

from pellucid.core.errors import ArtifactError, UsageError
from pellucid.export.openvino import write_openvino
from pellucid.export.runtimes.openvino import OpenVinoRuntime
from pellucid.model.decoder import Decoder
from pellucid.recipe.model import ModelConfig

openvino = pytest.importorskip("openvino")
pytest.importorskip("nncf")

IDS = torch.randint(0, 600, (60,), generator=torch.Generator().manual_seed(1)).tolist()
# Mean, in nats: what 4 bits cost these models, whose weights are drawn at random and so have nothing to spare.
INT4_KL = 0.045


def changed(config, **values):
    return ModelConfig(**{**config.model_dump(), **values})


def log_probabilities(model, ids=IDS):
    with torch.inference_mode():
        return torch.log_softmax(model.logits(model(torch.tensor([ids])))[0].double(), -1).numpy()


def kl(ours_TV, theirs_TV):
    return (np.exp(ours_TV) * (ours_TV - theirs_TV)).sum(-1)


def rounded(model):
    copy = Decoder(model.config)
    copy.load_state_dict({name: tensor.half().float() for name, tensor in model.state_dict().items()})
    copy.rotary_cos_TR.copy_(copy.rotary_cos_TR.half())
    copy.rotary_sin_TR.copy_(copy.rotary_sin_TR.half())
    return copy


def dense(path):
    """The weights of a compressed file, made dense by the definition: (integer less zero point) times scale, group by group."""
    constants = {
        node.get_friendly_name(): node for node in openvino.Core().read_model(path).get_ops() if node.get_type_name() == "Constant"
    }
    found = {}
    for name in constants:
        if f"{name}/zero_point" in constants:
            value, zero, scale = (unpacked(constants[part]) for part in (name, f"{name}/zero_point", f"{name}/scale"))
            found[name] = ((value - zero) * scale).reshape(len(value), -1)
    return found


def unpacked(node):
    if node.get_element_type().get_type_name() != "u4":
        return node.data.astype(np.float32)
    # Two to a byte, the first in the lower half.
    both = np.stack([node.data & 15, node.data >> 4], -1).reshape(-1)
    return both[: np.prod(node.get_output_shape(0))].reshape(node.get_output_shape(0)).astype(np.float32)


@pytest.mark.slow
def test_openvino_computes_what_our_decoder_computes_of_the_same_float16_weights(trained, tokenizer, tmp_path):
    facts = write_openvino(trained.state, trained.config, tokenizer, tmp_path, type="fp16")
    with OpenVinoRuntime(tmp_path) as runtime:
        theirs = runtime.log_probabilities(IDS)
    assert np.abs(theirs - log_probabilities(rounded(trained.model))).max() < 1e-4
    assert kl(log_probabilities(trained.model), theirs).max() < 1e-5
    # A tied head is held once, and every weight in two bytes; the rotary tables and the mask's few constants come on top.
    parameters = sum(parameter.numel() for parameter in trained.model.parameters())
    assert facts["weight_bytes"] < 2 * parameters + 4096


@pytest.mark.slow
def test_openvino_computes_what_our_decoder_computes_of_the_4_bit_weights(trained, tokenizer, tmp_path):
    facts = write_openvino(trained.state, trained.config, tokenizer, tmp_path, type="int4")
    model, found = rounded(trained.model), dense(tmp_path / "openvino_model.xml")
    matrices = {name for name, tensor in trained.model.named_parameters() if tensor.ndim == 2}
    assert found.keys() == matrices
    model.load_state_dict({name: torch.tensor(array) for name, array in found.items()}, strict=False)
    with OpenVinoRuntime(tmp_path) as runtime:
        theirs = runtime.log_probabilities(IDS)
    # What is left (0.004 at most) is probably the rounding of integer times scale to float16.
    assert np.abs(theirs - log_probabilities(model)).max() < 1e-2
    assert kl(log_probabilities(model), theirs).max() < 1e-5
    assert kl(log_probabilities(trained.model), theirs).mean() < INT4_KL
    ends = {"embedding.weight", "head.weight"} & matrices
    assert {case["tensor"]: case["got"] for case in facts["kept"]} == dict.fromkeys(ends, "int8")
    assert facts["matrices"] == {"int4": 14, "int8": len(ends)}


def test_heads_in_another_order_are_seen_through_4_bits(llama, tokenizer, tmp_path):
    found = {}
    for name, state in (("right", llama.state), ("permuted", llama.heads_flipped())):
        write_openvino(state, llama.config, tokenizer, tmp_path / name, type="int4")
        with OpenVinoRuntime(tmp_path / name) as runtime:
            found[name] = kl(log_probabilities(llama.model), runtime.log_probabilities(IDS)).mean()
    assert found["right"] < INT4_KL < found["permuted"], found


def test_rows_that_no_group_divides_get_8_bits_and_are_named_and_nothing_of_nncf_is_printed(stablelm, tokenizer, tmp_path, capsys):
    config = changed(stablelm.config, mlp_hidden=80)
    facts = write_openvino(Decoder(config).state_dict(), config, tokenizer, tmp_path, type="int4")
    sys.stdout.flush()
    assert capsys.readouterr().out == ""
    got = {case["tensor"]: case["got"] for case in facts["kept"]}
    # Vectors are no matrices that were kept wider.
    ends = dict.fromkeys(("embedding.weight", "head.weight"), "int8")
    assert got == ends | {f"blocks.{i}.mlp.down.weight": "int8" for i in range(2)}


def test_what_does_not_fit_together_is_refused(stablelm, tokenizer, tmp_path):
    with pytest.raises(UsageError, match="rmsnorm"):
        write_openvino(stablelm.state, changed(stablelm.config, norm="rmsnorm", norm_bias=False), tokenizer, tmp_path, type="fp16")
    with pytest.raises(ArtifactError, match="600 ids"):
        write_openvino(stablelm.state, changed(stablelm.config, vocab_tokens=599), tokenizer, tmp_path, type="fp16")
    state = {**stablelm.state, "blocks.0.mlp.up.weight": stablelm.state["blocks.0.mlp.up.weight"] + 7e4}
    with pytest.raises(ArtifactError, match=r"blocks\.0\.mlp\.up\.weight reaches 7e\+04"):
        write_openvino(state, stablelm.config, tokenizer, tmp_path, type="fp16")
    assert list(tmp_path.iterdir()) == []
