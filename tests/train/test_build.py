from typing import Any

import pytest
import torch

from pellucid.core.seeds import derive_seed
from pellucid.model.decoder import Block, Decoder, init_weights
from pellucid.train.build import build_model
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
