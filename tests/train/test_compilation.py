import shutil

import pytest
import torch

from pellucid.core.errors import PellucidWarning
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig
from pellucid.train.compilation import compile_model, is_compiled
from pellucid.train.loss import token_loss

CONFIG = ModelConfig(
    vocab_tokens=97, context_tokens=64, layers=1, hidden=32, heads=4, kv_heads=2, mlp_hidden=48, norm="layernorm",
    norm_bias=True, rotary_frac=0.25, qkv_bias=True, tied_head=False,
)  # fmt: skip
CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_auto_compiles_on_a_gpu_and_not_on_a_cpu() -> None:
    assert is_compiled("auto", GPU) and not is_compiled("auto", CPU)
    assert not is_compiled("off", GPU) and is_compiled("on", GPU)


def test_on_without_a_compiler_says_so_and_stays_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.warns(PellucidWarning, match=r"C\+\+ compiler"):
        assert not is_compiled("on", CPU)


def test_off_changes_nothing() -> None:
    model = Decoder(CONFIG)
    assert not compile_model(model, "off", CPU) and not compile_model(model, "auto", CPU)
    assert all(block._compiled_call_impl is None for block in model.blocks)


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler")
def test_the_compiled_model_has_the_same_loss_and_gradients() -> None:
    ids_BT = torch.randint(97, (2, 64), generator=torch.Generator().manual_seed(0))
    results = []
    for mode in ("off", "on"):
        model = Decoder(CONFIG)
        init_weights(model, 0)
        assert compile_model(model, mode, CPU) is (mode == "on")  # type: ignore[arg-type]
        loss = token_loss(model(ids_BT), model.head_weight, ids_BT.roll(-1, 1)).loss_sum
        results.append([loss.detach(), *torch.autograd.grad(loss, list(model.parameters()))])
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, eager, atol=1e-4, rtol=1e-4)
