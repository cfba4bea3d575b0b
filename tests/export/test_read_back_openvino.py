import shutil

import numpy as np
import pytest
import torch

from pellucid.core.errors import ArtifactError
from pellucid.export.openvino import write_openvino
from pellucid.export.read_back_openvino import read_back_openvino
from pellucid.export.runtimes.openvino import EXACT
from pellucid.export.weight_errors import weight_errors
from pellucid.model.decoder import Decoder
from pellucid.recipe.model import ModelConfig

openvino = pytest.importorskip("openvino")
pytest.importorskip("nncf")

LIMITS = {"float16": 2**-11, "int8": 1e-2, "int4": 0.2}
QUERY = "blocks.0.attention.query.weight"


@pytest.fixture(scope="module")
def written(stablelm, tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("openvino")
    for kind in ("fp16", "int4"):
        write_openvino(stablelm.state, stablelm.config, tokenizer, folder / kind, type=kind)
    return folder


@pytest.fixture(params=["fp16", "int4"])
def folder(request, written, tmp_path):
    return shutil.copytree(written / request.param, tmp_path / request.param)


@pytest.fixture
def int4(written, tmp_path):
    return shutil.copytree(written / "int4", tmp_path / "int4")


def computed(folder):
    """The matrices that reach multiplications and look-ups, by OpenVINO's own reckoning, under the names of their constants."""
    core = openvino.Core()
    found = {}
    for node in core.read_model(folder / "openvino_model.xml").get_ops():
        place = {"MatMul": 1, "Gather": 0}.get(node.get_type_name())
        if (
            place is None
            or node.get_input_partial_shape(place).rank.get_length() != 2
            or node.get_input_partial_shape(place).is_dynamic
        ):
            continue
        port = node.input_value(place)
        above = port.get_node()
        while above.get_type_name() != "Constant":
            above = above.input_value(0).get_node()
        name = above.get_friendly_name().removesuffix("_compressed")
        if "." in name:
            part = core.compile_model(openvino.Model([port], []), "CPU", dict(EXACT))
            found[name] = torch.tensor(np.array(part([])[0]))
    return found


def row_error(ours, theirs):
    rows, other = (tensor.reshape(tensor.shape[0] if tensor.ndim > 1 else 1, -1) for tensor in (ours, theirs))
    return float(((other - rows).norm(dim=1) / rows.norm(dim=1)).max())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fp16", "int4"])
def test_every_weight_of_every_shape_is_read_back(trained, tokenizer, tmp_path, kind):
    write_openvino(trained.state, trained.config, tokenizer, tmp_path, type=kind)
    found = read_back_openvino(tmp_path, trained.config)
    assert found.config == trained.config
    assert found.tensors.keys() == found.types.keys() == trained.state.keys()
    errors = weight_errors(trained.state, found, kind)
    assert 0 < errors["largest_row_error"] <= 0.5 * errors["limit"]
    for name, tensor in trained.state.items():
        assert found.tensors[name].shape == tensor.shape
        assert row_error(tensor, found.tensors[name]) <= LIMITS.get(found.types[name], 0.0), name


def test_the_matrices_are_what_openvino_itself_makes_of_them(folder, stablelm):
    found, theirs = read_back_openvino(folder, stablelm.config), computed(folder)
    assert theirs.keys() == {name for name, tensor in stablelm.state.items() if tensor.ndim == 2}
    for name, matrix in theirs.items():
        # It rounds integer times scale to float16.
        torch.testing.assert_close(found.tensors[name], matrix, rtol=2**-10, atol=1e-6)
    kinds = {"fp16": {"float16"}, "int4": {"int8", "int4", "float32"}}[folder.name]
    assert set(found.types.values()) == kinds
    assert found.config == stablelm.config
    errors = weight_errors(stablelm.state, found, folder.name)
    assert 0 < errors["largest_row_error"] <= 0.5 * errors["limit"]


def test_rows_that_no_group_divides_and_a_tied_head_are_read_back(llama, tokenizer, tmp_path):
    config = ModelConfig(**{**llama.config.model_dump(), "mlp_hidden": 80, "tied_head": True})
    state = Decoder(config).state_dict()
    write_openvino(state, config, tokenizer, tmp_path, type="int4")
    found = read_back_openvino(tmp_path, config)
    assert found.types["blocks.1.mlp.down.weight"] == found.types["embedding.weight"] == "int8"
    assert "head.weight" not in found.tensors
    for name, tensor in state.items():
        assert row_error(tensor, found.tensors[name]) <= LIMITS.get(found.types[name], 0.0), name
    # The conversion leaves a norm's ones out.
    assert torch.equal(found.tensors["norm.weight"], torch.ones(64))


def test_files_that_are_cut_or_missing_are_refused(folder, stablelm):
    for name in ("openvino_model.bin", "openvino_model.xml"):
        file = folder / name
        whole = file.read_bytes()
        for length in (0, 5, len(whole) // 2, len(whole) - 16):
            file.write_bytes(whole[:length])
            with pytest.raises(ArtifactError, match=r"openvino_model\.xml"):
                read_back_openvino(folder, stablelm.config)
        file.unlink()
        with pytest.raises(ArtifactError, match=r"openvino_model\.xml"):
            read_back_openvino(folder, stablelm.config)
        file.write_bytes(whole)
    read_back_openvino(folder, stablelm.config)


def edited(folder, before, after, count=1):
    file = folder / "openvino_model.xml"
    text = file.read_text()
    assert text.count(before) >= 1
    file.write_text(text.replace(before, after, count))


def test_a_graph_that_names_or_uses_its_constants_otherwise_is_refused(int4, stablelm):
    for before, after, words in (
        (f'name="{QUERY}"', 'name="hidden"', "holds numbers, and is no weight"),
        (f'name="{QUERY}"', 'name="blocks.1.attention.query.weight"', "two constants of the name"),
        ('transpose_b="true"', 'transpose_b="false"', "goes into MatMul|cannot be read back"),
        ('element_type="u4"', 'element_type="i4"', "cannot be read back|has type i4"),
    ):
        whole = (int4 / "openvino_model.xml").read_bytes()
        edited(int4, before, after)
        with pytest.raises(ArtifactError, match=words):
            read_back_openvino(int4, stablelm.config)
        (int4 / "openvino_model.xml").write_bytes(whole)


def test_another_rotation_is_refused_and_another_epsilon_is_told(folder, stablelm):
    with pytest.raises(ArtifactError, match="is not the table of this shape"):
        read_back_openvino(folder, stablelm.config.model_copy(update={"rotary_base": 20_000.0}))
    told = read_back_openvino(folder, stablelm.config.model_copy(update={"norm_eps": 1e-6})).config
    assert told is not None
    assert told.norm_eps == pytest.approx(1e-5, rel=1e-6)


def test_an_entity_in_the_graph_is_refused_before_it_is_read(int4, stablelm):
    edited(int4, '<?xml version="1.0"?>', '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]>')
    with pytest.raises(ArtifactError, match="document type declaration"):
        read_back_openvino(int4, stablelm.config)
