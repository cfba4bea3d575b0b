import numpy as np
import pytest
import torch

from pellucid.export.openvino_graph import stateful_graph
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig

openvino = pytest.importorskip("openvino")

CONFIG = ModelConfig(
    vocab_tokens=100, context_tokens=64, layers=2, hidden=64, heads=4, kv_heads=2, mlp_hidden=96, norm="rmsnorm", norm_bias=False,
    rotary_frac=1.0, qkv_bias=False, tied_head=True, init_std=0.1,
)  # fmt: skip
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}


@pytest.fixture(scope="module")
def model():
    model = Decoder(CONFIG)
    init_weights(model, 5)
    return model


@pytest.fixture(scope="module")
def before(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.fixture(scope="module")
def graph(model, before):
    return stateful_graph(model)


@pytest.fixture
def request_(graph):
    return openvino.Core().compile_model(graph, "CPU", EXACT).create_infer_request()


def logits(model, ids):
    with torch.inference_mode():
        return model.logits(model(torch.tensor([ids])))[0].numpy()


def step(request_, ids_BT, mask_BS, positions_BT, beams):
    arrays = (np.array(part, dtype=np.int64) for part in (ids_BT, mask_BS, positions_BT))
    inputs = dict(zip(("input_ids", "attention_mask", "position_ids"), arrays, strict=True))
    return request_.infer({**inputs, "beam_idx": np.array(beams, dtype=np.int32)})["logits"].copy()


def test_the_interface_is_the_one_that_language_model_pipelines_ask_for(graph):
    assert [port.any_name for port in graph.inputs] == ["input_ids", "attention_mask", "position_ids", "beam_idx"]
    assert [port.any_name for port in graph.outputs] == ["logits"]
    assert len(graph.get_sinks()) == 2 * CONFIG.layers


def test_matrices_have_the_models_names(graph, model):
    named = {node.get_friendly_name() for node in graph.get_ops() if node.get_type_name() == "Constant"}
    assert {name for name, tensor in model.named_parameters() if tensor.ndim == 2} <= named
    assert {"rotary_cos_TR", "rotary_sin_TR"} <= named


def test_a_prompt_and_then_token_by_token_is_the_same_as_all_at_once(request_, model):
    ids = torch.randint(0, 100, (64,), generator=torch.Generator().manual_seed(1)).tolist()
    rows = [step(request_, [ids[:30]], [[1] * 30], [range(30)], [0])[0]]
    rows += [step(request_, [[ids[at]]], [[1] * (at + 1)], [[at]], [0])[0] for at in range(30, 64)]
    np.testing.assert_allclose(np.concatenate(rows), logits(model, ids), atol=1e-4)


def test_padding_on_the_left_changes_nothing(request_, model):
    long, short = [3, 14, 15, 92, 65], [35, 89]
    mask_BS = [[1] * 5, [0, 0, 0, 1, 1]]
    first_BTV = step(request_, [long, [0, 0, 0, *short]], mask_BS, [range(5), [0, 0, 0, 0, 1]], [0, 1])
    np.testing.assert_allclose(first_BTV[0], logits(model, long), atol=1e-4)
    np.testing.assert_allclose(first_BTV[1, 3:], logits(model, short), atol=1e-4)
    next_BTV = step(request_, [[7], [8]], [[*row, 1] for row in mask_BS], [[5], [2]], [0, 1])
    np.testing.assert_allclose(next_BTV[0, 0], logits(model, [*long, 7])[-1], atol=1e-4)
    np.testing.assert_allclose(next_BTV[1, 0], logits(model, [*short, 8])[-1], atol=1e-4)


def test_sequences_change_places_by_the_beam_index(request_, model):
    step(request_, [[1, 2, 3], [4, 5, 6]], [[1] * 3] * 2, [range(3)] * 2, [0, 1])
    next_BTV = step(request_, [[7], [8]], [[1] * 4] * 2, [[3]] * 2, [1, 1])
    for row, last in enumerate((7, 8)):
        np.testing.assert_allclose(next_BTV[row, 0], logits(model, [4, 5, 6, last])[-1], atol=1e-4)


def test_tracing_leaves_the_model_as_it_was(model, before, graph):
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
