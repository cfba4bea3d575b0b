import pytest
import torch
from safetensors.torch import load_file, save_file

from pellucid.core.errors import ArtifactError
from pellucid.export.bitsandbytes import write_llm_int8
from pellucid.export.read_back_bitsandbytes import read_back_bitsandbytes
from pellucid.export.weight_errors import weight_errors
from pellucid.model.hf_names import hf_names

transformers = pytest.importorskip("transformers")
functional = pytest.importorskip("bitsandbytes.functional")
pytest.importorskip("accelerate")

QUERY = "model.layers.0.self_attn.q_proj"


@pytest.fixture
def folder(stablelm, tokenizer, tmp_path):
    write_llm_int8(stablelm.state, stablelm.config, tokenizer, tmp_path)
    return tmp_path


def test_the_weights_are_what_bitsandbytes_itself_makes_of_them(trained, tokenizer, tmp_path):
    write_llm_int8(trained.state, trained.config, tokenizer, tmp_path)
    found = read_back_bitsandbytes(tmp_path, trained.config)
    assert found.config == trained.config
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, device_map="cpu", local_files_only=True)
    modules, parameters, compared = dict(theirs.named_modules()), dict(theirs.named_parameters()), 0
    for name, (first, *others) in hf_names(trained.config).items():
        module = modules[first.rpartition(".")[0]]
        if "Linear8bit" in type(module).__name__ and name.endswith("weight"):
            dense = functional.int8_vectorwise_dequant(module.weight.data, module.weight.SCB)
            torch.testing.assert_close(found.tensors[name], dense.float(), rtol=1e-6, atol=0)
            assert found.types[name] == "int8"
            compared += 1
        else:
            assert torch.equal(found.tensors[name], torch.cat([parameters[one].data for one in (first, *others)]).float())
            assert found.types[name] == "bfloat16"
    assert compared == 14
    errors = weight_errors(trained.state, found, "int8")
    assert 0 < errors["largest_row_error"] <= 0.5 * errors["limit"]


def test_files_that_are_cut_are_refused(folder, stablelm):
    whole = (folder / "model.safetensors").read_bytes()
    for length in (0, 5, 500, len(whole) // 2, len(whole) - 1):
        (folder / "model.safetensors").write_bytes(whole[:length])
        with pytest.raises(ArtifactError, match="cannot be read as safetensors"):
            read_back_bitsandbytes(folder, stablelm.config)


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("SCB", None, "has type torch.int8, and nothing says"),
        ("SCB", torch.ones(63), "do not belong together"),
        ("SCB", torch.ones(64, dtype=torch.int8), "SCB has type torch.int8"),
        ("weight_format", None, "weight_format is missing"),
        ("weight_format", torch.tensor(2, dtype=torch.uint8), "weight_format: got 2; must be 0"),
        ("weight", torch.zeros(64, 64), "weight has type torch.float32"),
        ("weight", torch.zeros(64, 32, dtype=torch.int8), "has shape"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(folder, stablelm, part, value, words):
    tensors = load_file(folder / "model.safetensors")
    tensors.pop(f"{QUERY}.{part}")
    save_file(tensors | ({} if value is None else {f"{QUERY}.{part}": value}), folder / "model.safetensors")
    with pytest.raises(ArtifactError, match=words):
        read_back_bitsandbytes(folder, stablelm.config)
