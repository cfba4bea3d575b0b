"""What a config.json says, without weights; the weights themselves are held to it in tests/checkpoint."""

import json
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.errors import ArtifactError
from pellucid.recipe.hf_shape import read_hf_config


def edited(folder: Path, **values: Any) -> Path:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    return file


def test_transformers_4_and_5_write_the_same_shape_in_two_ways(hf_folder: Path) -> None:
    before = read_hf_config(hf_folder / "config.json")
    after = read_hf_config(edited(hf_folder, rope_theta=None, rope_parameters={"rope_type": "default", "rope_theta": 100_000}))
    assert before == after
    assert before.rotary_base == 100_000.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"architectures": ["GPT2LMHeadModel"]},
            "architectures: got 'GPT2LMHeadModel'; weights can be imported from LlamaForCausalLM",
        ),
        ({"attention_bias": True, "hidden_act": "gelu"}, "hidden_act: got 'gelu'.*\n.*attention_bias: got true"),
        ({"num_hidden_layers": 0}, "num_hidden_layers: got 0; must be a whole number of 1 or more"),
    ],
)
def test_what_the_decoder_lacks_is_refused_by_field(hf_folder: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        read_hf_config(edited(hf_folder, **values))
