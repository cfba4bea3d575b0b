from pathlib import Path
from typing import Any

import pytest
import torch

from pellucid.checkpoint.files import save_checkpoint
from pellucid.checkpoint.models import check_start, load_model, load_weights
from pellucid.core.errors import ArtifactError
from pellucid.export.hf import write_hf
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig

TINY = ModelConfig(
    vocab_tokens=32, context_tokens=16, layers=1, hidden=16, heads=2, kv_heads=1, mlp_hidden=24, norm="rmsnorm",
    norm_bias=False, rotary_frac=1.0, qkv_bias=False, tied_head=True,
)  # fmt: skip


def saved(root: Path) -> tuple[Path, Decoder]:
    model = Decoder(TINY)
    init_weights(model, 1)
    meta = {"seed": 1, "step": 5, "model": TINY.model_dump()}
    return save_checkpoint(root, 5, {"model": model.state_dict()}, meta=meta), model


def test_a_model_comes_back_with_its_weights_and_its_own_shape(tmp_path: Path) -> None:
    path, model = saved(tmp_path)
    loaded, meta = load_model(path)
    assert meta["step"] == 5
    assert loaded.config == TINY
    ids_BT = torch.tensor([[1, 2, 3]])
    assert torch.equal(loaded.logits(loaded(ids_BT)), model.logits(model(ids_BT)))


def test_another_architecture_is_refused_with_every_field_and_both_values(tmp_path: Path) -> None:
    path, _ = saved(tmp_path)
    other = Decoder(TINY.model_copy(update={"layers": 2, "tied_head": False}))
    with pytest.raises(ArtifactError) as raised:
        load_weights(other, path)
    text = str(raised.value)
    assert "layers: the checkpoint has 1, the recipe says 2" in text
    assert "tied_head: the checkpoint has True, the recipe says False" in text
    assert "hidden" not in text


def test_a_checkpoint_older_than_a_field_has_its_default(tmp_path: Path) -> None:
    model = Decoder(TINY)
    init_weights(model, 1)
    older = {name: value for name, value in TINY.model_dump().items() if name != "qk_norm"}
    path = save_checkpoint(tmp_path, 5, {"model": model.state_dict()}, meta={"seed": 1, "step": 5, "model": older})
    load_weights(Decoder(TINY), path)
    with pytest.raises(ArtifactError, match="qk_norm: the checkpoint has False, the recipe says True"):
        load_weights(Decoder(TINY.model_copy(update={"qk_norm": True})), path)


def test_a_longer_context_takes_the_same_weights(tmp_path: Path) -> None:
    path, model = saved(tmp_path)
    longer = Decoder(TINY.model_copy(update={"context_tokens": 64}))
    load_weights(longer, path)
    assert torch.equal(longer.embedding.weight, model.embedding.weight)


def test_weights_come_from_a_hugging_face_folder_as_well(tmp_path: Path, ours: Any, tokenizer: Any) -> None:
    source = ours()
    write_hf(source.state_dict(), source.config, tokenizer, tmp_path)
    model = Decoder(source.config.model_copy(update={"context_tokens": 128}))
    load_weights(model, tmp_path)
    assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in model.state_dict().items())
    other = Decoder(source.config.model_copy(update={"vocab_tokens": 640, "qkv_bias": False}))
    with pytest.raises(ArtifactError) as raised:
        load_weights(other, tmp_path)
    assert "vocab_tokens: the checkpoint has 608, the recipe says 640" in str(raised.value)
    assert str(raised.value).endswith("or set model: {qkv_bias: true, vocab_tokens: 608}")


def test_a_start_is_judged_by_its_description_alone(tmp_path: Path, ours: Any, tokenizer: Any) -> None:
    path, _ = saved(tmp_path)
    check_start(path, TINY.model_copy(update={"context_tokens": 64}))
    (path / "model.safetensors").unlink()
    with pytest.raises(ArtifactError, match="layers: the checkpoint has 1, the recipe says 2"):
        check_start(path, TINY.model_copy(update={"layers": 2}))
    source = ours()
    write_hf(source.state_dict(), source.config, tokenizer, tmp_path / "hf")
    (tmp_path / "hf" / "model.safetensors").unlink()
    check_start(tmp_path / "hf", source.config)
    with pytest.raises(ArtifactError, match="tied_head: the checkpoint has False, the recipe says True"):
        check_start(tmp_path / "hf", source.config.model_copy(update={"tied_head": True}))
