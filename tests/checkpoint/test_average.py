from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from pellucid.adapters.lora import add_adapters
from pellucid.checkpoint.average import average_checkpoints
from pellucid.checkpoint.files import save_checkpoint
from pellucid.checkpoint.models import load_model
from pellucid.core.artifacts import find_faults
from pellucid.core.errors import ArtifactError
from pellucid.model.decoder import Decoder
from pellucid.recipe.tuning import AdapterConfig

Ours = Callable[..., Decoder]


def save(root: Path, step: int, model: Decoder) -> Path:
    meta = {"seed": 1, "step": step, "model": model.config.model_dump()}
    return save_checkpoint(root, step, {"model": model.state_dict(), "optimizer": {"m": torch.ones(3)}}, meta=meta)


def test_a_mean_is_a_checkpoint_that_loads_and_says_what_it_was_made_of(ours: Ours, tmp_path: Path) -> None:
    paths = [save(tmp_path / "run", step, ours(step)) for step in (10, 20, 30)]
    path = average_checkpoints(paths, tmp_path / "mean")
    assert path == tmp_path / "mean" / "step-00000030"
    assert find_faults(path) == []
    model, meta = load_model(path)
    assert (meta["step"], sorted(meta["averaged"])) == (30, ["10", "20", "30"])
    for name, tensor in model.state_dict().items():
        exact = np.mean([ours(step).state_dict()[name].double().numpy() for step in (10, 20, 30)], axis=0)
        np.testing.assert_array_equal(tensor.numpy(), exact.astype(np.float32))


@settings(max_examples=20)
@given(copies=st.integers(2, 5), seed=st.integers(0, 50))
def test_the_mean_of_equal_weights_is_those_weights_and_the_order_does_not_matter(
    ours: Ours, tmp_path_factory: pytest.TempPathFactory, copies: int, seed: int
) -> None:
    root = tmp_path_factory.mktemp("mean")
    same = [save(root / "same", step, ours(seed)) for step in range(1, copies + 1)]
    model, _ = load_model(average_checkpoints(same, root / "a"))
    assert all(torch.equal(tensor, ours(seed).state_dict()[name]) for name, tensor in model.state_dict().items())
    two = [save(root / "two", step, ours(step)) for step in (1, 2)]
    there, back = (average_checkpoints(paths, root / name) for paths, name in ((two, "b"), (two[::-1], "c")))
    assert (there / "model.safetensors").read_bytes() == (back / "model.safetensors").read_bytes()


def test_sums_do_not_lose_small_weights_beside_large_ones(ours: Ours, tmp_path: Path) -> None:
    """1e8 + 1 − 1e8 is 0 in float32."""
    paths = []
    for step, value in enumerate((1e8, 1.0, -1e8), 1):
        model = ours()
        with torch.no_grad():
            model.norm.weight.fill_(value)
        paths.append(save(tmp_path / "run", step, model))
    model, _ = load_model(average_checkpoints(paths, tmp_path / "mean"))
    assert torch.equal(model.norm.weight, torch.full((64,), 1 / 3))


def test_less_than_two_and_another_architecture_are_refused(ours: Ours, tmp_path: Path) -> None:
    first = save(tmp_path / "run", 1, ours())
    with pytest.raises(ArtifactError, match="at least 2 checkpoints, got 1"):
        average_checkpoints([first], tmp_path / "mean")
    other = save(tmp_path / "run", 2, ours(layers=3, mlp_hidden=32))
    with pytest.raises(ArtifactError, match=r"(?s)step-00000001 .*another architecture.*layers.*mlp_hidden"):
        average_checkpoints([first, other], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_weights_that_do_not_match_are_named(ours: Ours, tmp_path: Path) -> None:
    paths = [save(tmp_path / "run", step, ours(step)) for step in (1, 2)]
    file = paths[1] / "model.safetensors"
    tensors: dict[str, Any] = load_file(file)
    save_file({**tensors, "norm.weight": torch.ones(3)}, file)
    with pytest.raises(ArtifactError, match=r"step-00000002: norm\.weight has shape \(3,\), in the others \(64,\)"):
        average_checkpoints(paths, tmp_path / "mean")
    del tensors["norm.weight"]
    save_file(tensors, file)
    with pytest.raises(ArtifactError, match=r"hold different tensors, norm\.weight for one"):
        average_checkpoints(paths, tmp_path / "mean")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ArtifactError, match=r"step-00000002/model\.safetensors cannot be read"):
        average_checkpoints(paths, tmp_path / "mean")
    file.unlink()
    with pytest.raises(ArtifactError, match=r"step-00000002/model\.safetensors is missing"):
        average_checkpoints(paths, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


@pytest.mark.parametrize("quantize", ["none", "nf4"])
def test_the_mean_of_adapted_checkpoints_is_that_of_their_merged_weights(ours: Ours, tmp_path: Path, quantize: Any) -> None:
    adapter, paths = AdapterConfig(rank=2, quantize=quantize), []
    for step in (10, 20):
        model = ours(1)
        add_adapters(model, adapter, step)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("lora_b"):
                    parameter.fill_(step)
        meta = {"seed": 1, "step": step, "model": model.config.model_dump(), "adapter": adapter.model_dump(mode="json")}
        paths.append(save_checkpoint(tmp_path / "run", step, {"model": model.state_dict()}, meta=meta))
    one, two, mean = (load_model(path)[0].state_dict() for path in (*paths, average_checkpoints(paths, tmp_path / "mean")))
    assert one.keys() == mean.keys() == ours(1).state_dict().keys()
    name = "blocks.0.mlp.up.weight"
    assert not torch.equal(one[name], two[name])
    assert all(torch.equal(((one[name].double() + two[name].double()) / 2).float(), tensor) for name, tensor in mean.items())
