from pathlib import Path
from typing import Any

import pytest
import torch

from pellucid.adapters.lora import base_state, is_adapted, trainable_parameters
from pellucid.adapters.peft_format import save_peft
from pellucid.checkpoint.files import save_checkpoint
from pellucid.checkpoint.models import load_model
from pellucid.core.errors import ArtifactError
from pellucid.core.seeds import derive_seed
from pellucid.model.decoder import Block, Decoder, init_weights
from pellucid.recipe.tuning import AdapterConfig
from pellucid.train.build import Start, build_model
from pellucid.train.device import Device

CPU = Device(torch.device("cpu"), "fp32")


@pytest.mark.parametrize("mode", ["none", "block", "selective"])
def test_the_weights_come_from_the_seed_and_the_blocks_from_the_stage(tiny: Any, mode: str) -> None:
    model, compiled = build_model(tiny.stage(1, activation_checkpointing=mode), tiny.model, CPU, 5)
    plain = Decoder(tiny.model)
    init_weights(plain, derive_seed(5, "weights"))
    assert not compiled
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in model.state_dict().items())
    assert all((type(block) is Block) == (mode == "none") for block in model.blocks)


def saved(tiny: Any, root: Path, seed: int, adapter: AdapterConfig | None) -> tuple[Path, Decoder]:
    """A checkpoint as a stage leaves it; its adapters do something."""
    model, _ = build_model(tiny.stage(1, adapter=adapter), tiny.model, CPU, seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("lora_b"):
                parameter.fill_(0.01)
    meta = {"step": 1, "model": tiny.model.model_dump(), "adapter": adapter and adapter.model_dump(mode="json")}
    return save_checkpoint(root, 1, {"model": model.state_dict()}, meta=meta), model


@pytest.mark.parametrize("quantize", ["none", "nf4"])
def test_the_next_stages_adapters_stand_on_what_the_last_ones_learnt(tiny: Any, tmp_path: Path, quantize: Any) -> None:
    adapter = AdapterConfig(rank=4, quantize=quantize)
    path, first = saved(tiny, tmp_path, 1, adapter)
    merged, _ = load_model(path)
    assert not is_adapted(merged)
    assert not torch.equal(merged.blocks[0].mlp.up.weight, base_state(first.state_dict())["blocks.0.mlp.up.weight"])
    stage = tiny.stage(1, adapter=AdapterConfig(rank=2), activation_checkpointing="block")
    second, _ = build_model(stage, tiny.model, CPU, 1, Start(weights=path))
    assert trainable_parameters(second) == sum(t.numel() for name, t in second.state_dict().items() if ".lora_" in name)
    assert all(torch.equal(tensor, merged.state_dict()[name]) for name, tensor in base_state(second.state_dict()).items())
    ids_BT = torch.arange(12).reshape(2, 6)
    assert torch.equal(second(ids_BT), merged(ids_BT))
    whole, _ = build_model(tiny.stage(1), tiny.model, CPU, 1, Start(weights=path))
    assert all(torch.equal(tensor, merged.state_dict()[name]) for name, tensor in whole.state_dict().items())


def test_stages_of_other_names_and_seeds_draw_other_adapters(tiny: Any) -> None:
    one, again, named, seeded = (
        build_model(tiny.stage(1, adapter=AdapterConfig(), name=name), tiny.model, CPU, seed)[0].state_dict()
        for name, seed in (("a", 1), ("a", 1), ("b", 1), ("a", 2))
    )
    name = "blocks.0.mlp.up.lora_a"
    assert torch.equal(one[name], again[name])
    assert not torch.equal(one[name], named[name])
    assert not torch.equal(one[name], seeded[name])


def test_an_adapter_in_pefts_format_is_gone_on_from_and_only_above_its_own_weights(tiny: Any, tmp_path: Path) -> None:
    adapter = AdapterConfig(rank=4)
    base, _ = saved(tiny, tmp_path / "base", 1, None)
    _, tuned = saved(tiny, tmp_path / "tuned", 1, adapter)
    save_peft(tuned.state_dict(), tiny.model, adapter, tmp_path / "peft")
    again, _ = build_model(tiny.stage(1, adapter=adapter), tiny.model, CPU, 7, Start(base, tmp_path / "peft"))
    assert all(torch.equal(tensor, tuned.state_dict()[name]) for name, tensor in again.state_dict().items())
    with pytest.raises(ArtifactError, match="trained beside other weights"):
        build_model(tiny.stage(1, adapter=adapter), tiny.model, CPU, 7, Start(None, tmp_path / "peft"))
