import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pellucid.core.errors import ArtifactError
from pellucid.export.mlx import write_mlx
from pellucid.export.read_back_mlx import read_back_mlx
from pellucid.export.weight_errors import weight_errors
from pellucid.model.decoder import Decoder
from pellucid.model.hf_names import hf_names
from pellucid.recipe.model import ModelConfig

mx = pytest.importorskip("mlx.core")


@pytest.fixture
def folder(llama, tokenizer, tmp_path):
    write_mlx(llama.state, llama.config, tokenizer, tmp_path, type="int4")
    return tmp_path


def passes(trained, found, kind):
    errors = weight_errors(trained.state, found, kind)
    return 0 < errors["largest_row_error"] <= 0.5 * errors["limit"]


def change(folder, change):
    """Write the folder's tensors again, changed."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_float16_weights_are_read_back_as_they_were_rounded(trained, tokenizer, tmp_path):
    write_mlx(trained.state, trained.config, tokenizer, tmp_path, type="fp16")
    found = read_back_mlx(tmp_path, trained.config)
    assert found.config == trained.config
    for name, tensor in trained.state.items():
        assert torch.equal(found.tensors[name], tensor.half().float()), name
        assert found.types[name] == "float16"
    assert passes(trained, found, "fp16")
    assert all(name == "head.weight" or not found.tensors[name].any() for name in found.tensors.keys() - trained.state.keys())


def test_4_bit_weights_are_what_mlx_itself_makes_of_them(trained, tokenizer, tmp_path):
    write_mlx(trained.state, trained.config, tokenizer, tmp_path, type="int4")
    found, parts = read_back_mlx(tmp_path, trained.config), mx.load(str(tmp_path / "model.safetensors"))
    settings = json.loads((tmp_path / "config.json").read_text())["quantization"]
    matrices = {name for name, tensor in trained.state.items() if tensor.ndim == 2}
    assert passes(trained, found, "int4")
    assert {name for name, kind in found.types.items() if kind == "int4"} - {"head.weight"} == matrices - {"head.weight"}
    names = hf_names(trained.config.model_copy(update={"tied_head": "head.weight" not in found.tensors}))
    for name in matrices:
        module = names[name][0].removesuffix(".weight")
        scales, offsets = (parts[f"{module}.{part}"].astype(mx.float32) for part in ("scales", "biases"))
        group = settings.get(module, settings)["group_size"]
        theirs = torch.tensor(np.array(mx.dequantize(parts[f"{module}.weight"], scales, offsets, group, 4)))
        torch.testing.assert_close(found.tensors[name], theirs, rtol=1e-6, atol=1e-7)


def test_rows_that_no_group_divides_are_read_back_as_float16(stablelm, tokenizer, tmp_path):
    config = ModelConfig(**{**stablelm.config.model_dump(), "mlp_hidden": 80})
    state = Decoder(config).state_dict()
    write_mlx(state, config, tokenizer, tmp_path, type="int4")
    found = read_back_mlx(tmp_path, config)
    assert found.types["blocks.1.mlp.down.weight"] == "float16"
    assert found.types["blocks.1.mlp.up.weight"] == "int4"
    assert torch.equal(found.tensors["blocks.1.mlp.down.weight"], state["blocks.1.mlp.down.weight"].half().float())


def test_the_shape_is_that_of_the_folder(folder, llama):
    values = json.loads((folder / "config.json").read_text())
    rotary = {"rope_theta": 5000.0, "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}}
    (folder / "config.json").write_text(json.dumps(values | rotary))
    found = read_back_mlx(folder, llama.config)
    assert found.config == llama.config.model_copy(update={"rotary_base": 5000.0})


def test_files_that_are_cut_or_changed_are_refused(folder, llama):
    file, whole = folder / "model.safetensors", (folder / "model.safetensors").read_bytes()
    for length in (0, 5, 500, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(ArtifactError, match="cannot be read as safetensors"):
            read_back_mlx(folder, llama.config)
    file.unlink()
    with pytest.raises(ArtifactError, match="has neither"):
        read_back_mlx(folder, llama.config)
    with pytest.raises(ArtifactError, match="no folder"):
        read_back_mlx(folder / "nothing", llama.config)


@pytest.mark.parametrize(
    ("part", "words"),
    [("scales", "do not belong together"), ("biases", r"q_proj\.biases is missing"), ("weight", r"q_proj\.weight is missing")],
)
def test_parts_that_do_not_belong_together_are_refused(folder, llama, part, words):
    module = "model.layers.0.self_attn.q_proj"

    def cut(tensors):
        if part == "scales":
            tensors[f"{module}.scales"] = tensors[f"{module}.scales"][:-1].clone()
        else:
            del tensors[f"{module}.{part}"]

    change(folder, cut)
    with pytest.raises(ArtifactError, match=words):
        read_back_mlx(folder, llama.config)


@pytest.mark.parametrize(
    "settings",
    [None, 3, {}, {"group_size": 64, "bits": 8}, {"group_size": 32, "bits": 4}, {"group_size": 64, "bits": 4, "mode": "x"}],
)
def test_settings_that_are_not_those_of_the_integers_are_refused(folder, llama, settings):
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"quantization": settings}))
    with pytest.raises(ArtifactError, match=r"quantization|groups have 32"):
        read_back_mlx(folder, llama.config)


def test_integers_without_a_meaning_are_refused(folder, llama):
    change(folder, lambda tensors: tensors.update({"model.norm.weight": tensors["model.norm.weight"].to(torch.int32)}))
    with pytest.raises(ArtifactError, match=r"model\.norm\.weight has type torch\.int32, and nothing says"):
        read_back_mlx(folder, llama.config)
