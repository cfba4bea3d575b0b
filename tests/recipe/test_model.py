"""The decoder's section."""

from pellucid.recipe.model import ModelConfig
from pellucid.recipe.read import read_preset
from pellucid.recipe.tree import plain


def test_stable_lm_2_rotates_16_of_64_channels() -> None:
    model = ModelConfig.model_validate(plain(read_preset("stable-lm-2-1.6b")))
    assert (model.head_channels, model.rotary_channels) == (64, 16)
