from pathlib import Path

import pytest

from pellucid.core.errors import ArtifactError
from pellucid.recipe.foreign import ForeignFields

FILE = Path("config.json")
GOOD = {
    "vocab_tokens": 8, "context_tokens": 8, "layers": 1, "hidden": 8, "heads": 2, "kv_heads": 1, "mlp_hidden": 8, "norm": "rmsnorm",
    "norm_bias": False, "rotary_frac": 1.0, "qkv_bias": False, "tied_head": True,
}  # fmt: skip


def faults(fields: ForeignFields) -> list[str]:
    with pytest.raises(ArtifactError) as raised:
        fields.raise_faults()
    first, *lines = str(raised.value).splitlines()
    assert first == "config.json describes a model that cannot be imported"
    return [line.strip() for line in lines]


def test_values_are_read_by_name_and_null_means_left_out() -> None:
    fields = ForeignFields(FILE, {"layers": 3, "eps": 1e-5, "tied": True, "groups": None})
    assert (fields.integer("layers"), fields.number("eps"), fields.flag("tied", False)) == (3, 1e-5, True)
    assert (fields.integer("groups", 7), fields.number("base", 1e4), fields.flag("bias", False)) == (7, 1e4, False)
    assert fields.number("layers") == 3.0
    assert "layers" in fields and "groups" not in fields
    fields.raise_faults()


def test_every_fault_is_told_with_field_value_and_limit() -> None:
    fields = ForeignFields(FILE, {"layers": 0, "heads": 2.0, "eps": "small", "tied": 1, "act": "gelu", "surplus": 3})
    assert (fields.integer("layers"), fields.integer("heads"), fields.integer("width")) == (1, 1, 1)
    assert (fields.number("eps"), fields.flag("tied", False)) == (1.0, False)
    fields.must_be("act", "silu", "swish")
    fields.must_be("other", False)
    fields.refuse_unread()
    assert faults(fields) == [
        "layers: got 0; must be a whole number of 1 or more",
        "heads: got 2.0; must be a whole number of 1 or more",
        "width: missing",
        "eps: got 'small'; must be a number above 0",
        "tied: got 1; must be true or false",
        "act: got 'gelu'; the decoder has only 'silu' or 'swish'",
        "surplus: got 3; the decoder knows no such field",
    ]


def test_what_nobody_asked_for_is_known() -> None:
    fields = ForeignFields(FILE, {"a.x": 1, "a.y": 2, "b": 3, "c": 4, "d": None})
    fields.integer("a.x")
    fields.skip(["c", "absent"])
    assert fields.unread() == {"a.y": 2, "b": 3}
    assert fields.unread("a.") == {"a.y": 2}
    fields.refuse_unread("a.")
    assert fields.unread() == {"b": 3}
    assert faults(fields) == ["a.y: got 2; the decoder knows no such field"]


def test_a_config_out_of_range_is_a_fault_too() -> None:
    assert ForeignFields(FILE, {}).model_config(**GOOD).heads == 2
    with pytest.raises(ArtifactError, match=r"(?s)config\.json.*rotary_frac: got 1\.5; .*less than or equal to 1"):
        ForeignFields(FILE, {}).model_config(**{**GOOD, "rotary_frac": 1.5})
    fields = ForeignFields(FILE, {})
    fields.integer("width")
    with pytest.raises(ArtifactError, match="width: missing"):
        fields.model_config(**GOOD)
