"""Sources of conversations: what is told of their shape."""

import pytest

from pellucid.recipe.conversations import ConversationConfig


@pytest.mark.parametrize(("shape", "pairs"), [("auto", None), ("messages", False), ("alpaca", False), ("pairs", True)])
def test_only_the_first_record_tells_what_a_source_of_shape_auto_holds(shape: str, pairs: bool | None) -> None:
    source = ConversationConfig.model_validate({"name": "a", "path": "a.jsonl", "shape": shape})
    assert source.holds_pairs is pairs
