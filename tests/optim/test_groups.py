import torch
from torch import nn

from pellucid.model.decoder import Decoder
from pellucid.optim.groups import group_parameters, set_learning_rate
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.training import OptimizerConfig

TINY = ModelConfig(
    vocab_tokens=64, context_tokens=16, layers=2, hidden=16, heads=2, kv_heads=2, mlp_hidden=32, norm="layernorm",
    norm_bias=True, rotary_frac=0.25, qkv_bias=True, tied_head=False,
)  # fmt: skip


def test_decay_falls_on_matrices_only_and_every_parameter_is_in_one_group() -> None:
    model = Decoder(TINY)
    groups = group_parameters(model, OptimizerConfig(weight_decay=0.1))
    names = [name for group in groups for name in group["param_names"]]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    for group in groups:
        assert all((parameter.ndim == 2) == (group["weight_decay"] == 0.1) for parameter in group["params"])
    members = {group["name"]: group["param_names"] for group in groups}
    assert members["embedding"] == ["embedding.weight"]
    assert members["head"] == ["head.weight"]


def test_norms_of_queries_and_keys_are_not_decayed_nor_given_to_muon() -> None:
    for norm in ("layernorm", "rmsnorm"):
        shape = {"norm": norm, "norm_bias": False, "qkv_bias": False, "qk_norm": True}
        groups = group_parameters(Decoder(TINY.model_copy(update=shape)), OptimizerConfig(kind="muon", weight_decay=0.1))
        members = {name: group for group in groups for name in group["param_names"]}
        for name in ("blocks.0.attention.query_norm.weight", "blocks.1.attention.key_norm.weight"):
            assert (members[name]["method"], members[name]["weight_decay"]) == ("adamw", 0.0)


def test_a_tied_head_counts_once() -> None:
    model = Decoder(TINY.model_copy(update={"tied_head": True}))
    members = {group["name"]: group["param_names"] for group in group_parameters(model, OptimizerConfig())}
    assert members["embedding"] == ["embedding.weight"]
    assert "head" not in members


def test_muon_takes_the_matrices_of_the_blocks_and_nothing_else() -> None:
    model = Decoder(TINY)
    groups = group_parameters(model, OptimizerConfig(kind="muon", muon_lr_ratio=3.0, embedding_lr_ratio=2.0, head_lr_ratio=0.5))
    methods = {group["name"]: group["method"] for group in groups}
    assert methods == {"matrices": "muon", "embedding": "adamw", "head": "adamw", "norms_and_biases": "adamw"}
    set_learning_rate(groups, 0.01)
    assert {group["name"]: round(group["lr"], 6) for group in groups} == {
        "matrices": 0.03, "embedding": 0.02, "head": 0.005, "norms_and_biases": 0.01,
    }  # fmt: skip


def test_frozen_parameters_are_left_out_and_empty_groups_too() -> None:
    model = nn.Linear(4, 4)
    model.bias.requires_grad_(False)
    groups = group_parameters(model, OptimizerConfig())
    assert [group["param_names"] for group in groups] == [["weight"]]
    assert torch.equal(groups[0]["params"][0], model.weight)
