import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pellucid.core.errors import ArtifactError
from pellucid.export.read_back_torchao import read_back_torchao
from pellucid.export.torchao import write_torchao
from pellucid.export.weight_errors import weight_errors
from pellucid.model.hf_names import hf_names
from pellucid.recipe.model import ModelConfig

transformers = pytest.importorskip("transformers")
pytest.importorskip("torchao")
pytest.importorskip("accelerate")

QUERY = "model.layers.0.self_attn.q_proj"


@pytest.fixture(params=["int8", "int4"])
def folder(request, stablelm, tokenizer, tmp_path):
    write_torchao(stablelm.state, stablelm.config, tokenizer, tmp_path, type=request.param)
    return tmp_path


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_the_weights_are_what_torchao_itself_makes_of_them(trained, tokenizer, tmp_path, kind):
    write_torchao(trained.state, trained.config, tokenizer, tmp_path, type=kind)
    found = read_back_torchao(tmp_path, trained.config)
    assert found.config == trained.config
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, device_map="cpu", local_files_only=True)
    parameters, compared = dict(theirs.named_parameters()), 0
    for name, places in hf_names(trained.config).items():
        parts = [parameters[place].data for place in places]
        if hasattr(parts[0], "qdata"):
            # torchao rounds what it makes to bfloat16, and a scale before it.
            torch.testing.assert_close(found.tensors[name], parts[0].dequantize().float(), rtol=2**-7, atol=0)
            assert found.types[name] == kind
            compared += 1
        else:
            assert torch.equal(found.tensors[name], torch.cat(parts).float())
            assert found.types[name] == "bfloat16"
    assert compared == 14
    errors = weight_errors(trained.state, found, kind)
    assert 0 < errors["largest_row_error"] <= 0.5 * errors["limit"]


def test_rows_that_no_group_divides_are_read_back_as_bfloat16(stablelm, tokenizer, tmp_path):
    from pellucid.model.decoder import Decoder

    config = ModelConfig(**{**stablelm.config.model_dump(), "mlp_hidden": 80})
    state = Decoder(config).state_dict()
    write_torchao(state, config, tokenizer, tmp_path, type="int4")
    found = read_back_torchao(tmp_path, config)
    assert found.types["blocks.1.mlp.down.weight"] == "bfloat16"
    assert torch.equal(found.tensors["blocks.1.mlp.down.weight"], state["blocks.1.mlp.down.weight"].bfloat16().float())


def test_files_that_are_cut_are_refused(folder, stablelm):
    whole = (folder / "model.safetensors").read_bytes()
    for length in (0, 5, 500, len(whole) // 2, len(whole) - 1):
        (folder / "model.safetensors").write_bytes(whole[:length])
        with pytest.raises(ArtifactError, match="cannot be read as safetensors"):
            read_back_torchao(folder, stablelm.config)


def rewritten(folder, *, tensors=None, told=None):
    """The folder's file with other tensors, or with something else said of one of them."""
    file = folder / "model.safetensors"
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    if told is not None:
        metadata[f"{QUERY}.weight"] = told(metadata[f"{QUERY}.weight"])
    save_file(load_file(file) | (tensors or {}), file, metadata)


@pytest.mark.parametrize(
    "told",
    [
        lambda text: "",
        lambda text: "[" * 100_000,
        lambda text: text.replace("Tensor", "os.system"),
        lambda text: json.dumps([text]),
        lambda text: json.dumps({"_type": ["Int8Tensor"], "_data": {}}),
        lambda text: json.dumps({**json.loads(text), "_data": None}),
    ],
    ids=["nothing", "deep", "unknown", "list", "no name", "no data"],
)
def test_metadata_that_says_nothing_is_refused(folder, stablelm, told):
    rewritten(folder, told=told)
    with pytest.raises(ArtifactError, match="does not say what its integers stand for"):
        read_back_torchao(folder, stablelm.config)


def test_parts_that_do_not_belong_together_are_refused(folder, stablelm):
    rewritten(folder, told=lambda text: text.replace("[1, ", "[2, "))
    with pytest.raises(ArtifactError, match="block_size"):
        read_back_torchao(folder, stablelm.config)
    rewritten(folder, tensors={f"{QUERY}._weight_scale": torch.ones(64, 3)})
    with pytest.raises(ArtifactError, match="do not belong together"):
        read_back_torchao(folder, stablelm.config)
    rewritten(folder, tensors={f"{QUERY}._weight_scale": torch.ones(64, 1, dtype=torch.int8)})
    with pytest.raises(ArtifactError, match="_weight_scale has type"):
        read_back_torchao(folder, stablelm.config)


def test_rounded_activations_and_other_types_are_refused(folder, stablelm):
    data = {"block_size": [1, 64], "act_quant_kwargs": {"x": 1}}
    rewritten(folder, told=lambda text: json.dumps({"_type": "Int8Tensor", "_data": data}))
    with pytest.raises(ArtifactError, match="activations are rounded too"):
        read_back_torchao(folder, stablelm.config)
    data = {"block_size": [1, 64], "target_dtype": {"_type": "torch.dtype", "_data": "int2"}}
    rewritten(folder, told=lambda text: json.dumps({"_type": "IntxUnpackedToInt8Tensor", "_data": data}))
    with pytest.raises(ArtifactError, match="target_dtype"):
        read_back_torchao(folder, stablelm.config)
