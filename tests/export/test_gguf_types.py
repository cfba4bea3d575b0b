import ctypes
import os
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.export.gguf import write_gguf
from pellucid.export.gguf_types import GgufType, Mix, bits_per_weight, block_weights, explain_fallbacks, file_type
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig

gguf = pytest.importorskip("gguf")

SHAPE = {
    "vocab_tokens": 608, "context_tokens": 64, "layers": 2, "hidden": 256, "heads": 4, "kv_heads": 2, "mlp_hidden": 512,
    "norm": "rmsnorm", "norm_bias": False, "rotary_frac": 1.0, "qkv_bias": False, "tied_head": False, "init_std": 0.1,
}  # fmt: skip
QUANTISED = [kind for kind in get_args(GgufType) if kind.startswith("Q")]

# What llama.cpp's own quantiser (v0.5.0, its prebuilt library) made of files with that many layers: those in which attn_v and
# ffn_down became Q6_K, alike for Q4_K_M and Q5_K_M.
MORE_BITS = {
    1: [0],
    2: [1],
    4: [2, 3],
    7: [2, 5, 6],
    9: [0, 3, 6, 7, 8],
    12: [0, 3, 6, 9, 10, 11],
    16: [0, 1, 4, 7, 10, 13, 14, 15],
    24: [0, 1, 2, 5, 8, 11, 14, 17, 20, 21, 22, 23],
    30: [0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 26, 27, 28, 29],
    32: [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31],
}

# Likewise: file type → embedding beside a head of its own, head, tied embedding, attn_q; at a width of 256, and at one of 64.
OUTER = {
    "Q8_0": ("Q8_0 Q8_0 Q8_0 Q8_0", "Q8_0 Q8_0 Q8_0 Q8_0"),
    "Q4_0": ("Q4_0 Q6_K Q6_K Q4_0", "Q4_0 Q8_0 Q8_0 Q4_0"),
    "Q4_1": ("Q4_1 Q6_K Q6_K Q4_1", "Q4_1 Q8_0 Q8_0 Q4_1"),
    "Q4_K_M": ("Q4_K Q6_K Q6_K Q4_K", "Q5_0 Q8_0 Q8_0 Q5_0"),
    "Q5_K_M": ("Q5_K Q6_K Q6_K Q5_K", "Q5_1 Q8_0 Q8_0 Q5_1"),
    "Q6_K": ("Q6_K Q6_K Q6_K Q6_K", "Q8_0 Q8_0 Q8_0 Q8_0"),
}


def mix(dtype, *, has_head=True, **changes):
    return Mix(dtype, ModelConfig(**(SHAPE | changes)), has_head)


@pytest.mark.parametrize("dtype", ["Q4_K_M", "Q5_K_M"])
@pytest.mark.parametrize("layers", MORE_BITS)
def test_the_layers_that_get_more_bits_are_those_of_llama_cpps_quantiser(dtype, layers):
    types = mix(dtype, layers=layers)
    for part in ("attn_v", "ffn_down"):
        got = [types.choose(f"blk.{layer}.{part}.weight", (256, 256)).got for layer in range(layers)]
        assert [layer for layer, kind in enumerate(got) if kind == "Q6_K"] == MORE_BITS[layers]
    for part in ("attn_q", "attn_k", "attn_output", "ffn_gate", "ffn_up"):
        assert {types.choose(f"blk.{layer}.{part}.weight", (256, 256)).got for layer in range(layers)} == {dtype.removesuffix("_M")}


@pytest.mark.parametrize("dtype", QUANTISED)
def test_embedding_and_head_get_what_llama_cpps_quantiser_gives_them(dtype):
    own, tied = mix(dtype), mix(dtype, has_head=False)
    for width, expected in zip((256, 64), OUTER[dtype], strict=True):
        found = [
            own.choose("token_embd.weight", (608, width)).got,
            own.choose("output.weight", (608, width)).got,
            tied.choose("token_embd.weight", (608, width)).got,
            own.choose("blk.0.attn_q.weight", (256, width)).got,
        ]
        assert " ".join(found) == expected


def test_values_of_llamas_70b_get_a_bit_more_in_q4_k_m():
    # In llama.cpp's quantiser: 40 of 80 layers Q6_K, 40 Q5_K.
    grouped, every_head = mix("Q4_K_M", layers=80), mix("Q4_K_M", layers=80, kv_heads=4)
    got = [grouped.choose(f"blk.{layer}.attn_v.weight", (64, 256)).got for layer in range(80)]
    assert (got.count("Q6_K"), got.count("Q5_K")) == (40, 40)
    assert "Q5_K" not in [every_head.choose(f"blk.{layer}.attn_v.weight", (64, 256)).got for layer in range(80)]


# Matrices by type in the files that llama.cpp's own quantiser made of SmolLM2-135M, 576 wide with an MLP of 1536 and a tied head.
SMOLLM2 = {
    "Q8_0": {"Q8_0": 211},
    "Q4_0": {"Q8_0": 1, "Q4_0": 210},
    "Q4_K_M": {"Q8_0": 15, "Q5_0": 166, "Q6_K": 14, "Q4_K": 16},
}


@pytest.mark.parametrize("dtype", SMOLLM2)
def test_smollm2_gets_what_llama_cpps_quantiser_gives_it(dtype):
    types = mix(dtype, has_head=False, layers=30)
    widths = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up"), 576) | {"ffn_down": 1536}
    matrices = {f"blk.{layer}.{part}.weight": width for layer in range(30) for part, width in widths.items()}
    matrices["token_embd.weight"] = 576
    assert Counter(types.choose(name, (192, width)).got for name, width in matrices.items()) == SMOLLM2[dtype]


@pytest.mark.parametrize("dtype", get_args(GgufType))
def test_vectors_and_norms_stay_float32_and_unquantised_files_keep_a_head_of_their_own_so(dtype):
    types = mix(dtype)
    for name, shape in (("blk.0.attn_norm.weight", (256,)), ("blk.0.attn_q.bias", (256,)), ("blk.0.attn_q_norm.weight", (4, 256))):
        assert types.choose(name, shape).got == "F32"
    if dtype in ("F16", "BF16"):
        assert types.choose("output.weight", (608, 256)).got == "F32"
        assert types.choose("token_embd.weight", (608, 256)).got == dtype


@given(st.sampled_from(get_args(GgufType)), st.integers(1, 2048), st.sampled_from(["attn_v", "attn_q", "ffn_down"]))
def test_rows_are_always_whole_blocks_and_only_what_does_not_fit_gets_another_type(dtype, width, part):
    choice = mix(dtype).choose(f"blk.1.{part}.weight", (8, width))
    assert width % block_weights(choice.got) == 0
    assert (choice.got == choice.wanted) == (width % block_weights(choice.wanted) == 0)
    # What stands in is never coarser than what was wanted.
    assert bits_per_weight(choice.got) >= bits_per_weight(choice.wanted)
    assert bool(explain_fallbacks(dtype, [choice])) == (choice.got != choice.wanted)


def test_the_explanation_names_width_block_and_cost_once_for_all_tensors_alike():
    types = mix("Q4_K_M", layers=2)
    choices = [types.choose(f"blk.{layer}.{part}.weight", (8, 96)) for layer in range(2) for part in ("ffn_down", "attn_q")]
    assert explain_fallbacks("Q4_K_M", choices) == (
        "Q4_K_M does not fit every tensor: "
        "3 tensors with rows of 96: Q4_K needs multiples of 256, so Q5_0 is written, 5.5 instead of 4.5 bits a weight; "
        "1 tensor with rows of 96: Q6_K needs multiples of 256, so Q8_0 is written, 8.5 instead of 6.56 bits a weight. "
        "Rows are as wide as model.hidden and model.mlp_hidden: multiples of 256 get what Q4_K_M means"
    )
    assert "multiples of 32 get what Q4_0 means" in explain_fallbacks("Q4_0", [mix("Q4_0").choose("blk.0.attn_q.weight", (8, 48))])


def test_every_type_of_file_is_one_of_the_formats():
    assert all(file_type(dtype) in gguf.LlamaFileType.__members__ for dtype in get_args(GgufType))


class QuantizeParams(ctypes.Structure):
    """The beginning of llama.cpp's `llama_model_quantize_params`, and room for the rest of it."""

    _fields_ = (("threads", ctypes.c_int32), ("file_type", ctypes.c_int32), ("rest", ctypes.c_uint8 * 248))


@pytest.fixture(scope="module")
def llama_quantize():
    """`llama_model_quantize` of llama.cpp's shared libraries in the folder PELLUCID_LIBLLAMA (no Python package shows it)."""
    if "PELLUCID_LIBLLAMA" not in os.environ:
        pytest.skip("PELLUCID_LIBLLAMA names no folder with llama.cpp's libraries")
    folder = Path(os.environ["PELLUCID_LIBLLAMA"])
    files = [*folder.glob("libggml-base.so*"), *folder.glob("libggml.*so*"), *folder.glob("libllama.*so*")]
    libraries = [ctypes.CDLL(str(file), mode=ctypes.RTLD_GLOBAL) for file in files]
    libraries[-2].ggml_backend_load_all_from_path(str(folder).encode())
    library = libraries[-1]
    library.llama_model_quantize_default_params.restype = QuantizeParams

    def quantize(source, target, dtype):
        params = library.llama_model_quantize_default_params()
        params.threads, params.file_type = 1, gguf.LlamaFileType[file_type(dtype)]
        status = library.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params))
        assert status == 0

    return quantize


@pytest.mark.filterwarnings("ignore::pellucid.core.errors.PellucidWarning")
@pytest.mark.parametrize("dtype", QUANTISED)
@pytest.mark.parametrize("tied", [False, True], ids=["own head", "tied"])
@pytest.mark.parametrize(
    "changes", [{"layers": 9}, {"hidden": 64, "mlp_hidden": 96}, {"mlp_hidden": 352, "norm": "layernorm", "qk_norm": True}], ids=str
)
def test_the_whole_file_is_what_llama_cpps_quantiser_makes_of_the_float32_one(
    changes, tied, dtype, llama_quantize, tokenizer, tmp_path
):
    model = Decoder(ModelConfig(**(SHAPE | changes | {"tied_head": tied})))
    init_weights(model, 3)
    for name, kind in (("f32", "F32"), ("ours", dtype)):
        write_gguf(model.state_dict(), model.config, tokenizer, tmp_path / name, dtype=kind, name="t")
    llama_quantize(tmp_path / "f32", tmp_path / "theirs", dtype)
    theirs, ours = gguf.GGUFReader(tmp_path / "theirs"), gguf.GGUFReader(tmp_path / "ours")
    assert {t.name: t.tensor_type.name for t in ours.tensors} == {t.name: t.tensor_type.name for t in theirs.tensors}
    assert {t.name: t.data.tobytes() for t in ours.tensors} == {t.name: t.data.tobytes() for t in theirs.tensors}
    fields = [{name: field.contents() for name, field in of.fields.items() if name[:5] != "GGUF."} for of in (ours, theirs)]
    assert fields[0] == fields[1]
