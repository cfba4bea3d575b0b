"""Places and names of sources, of text and of conversations alike."""

import pytest

from pellucid.recipe.check_inputs import one_place, unique_names
from pellucid.recipe.conversations import ConversationConfig
from pellucid.recipe.data import SourceConfig

KINDS = [lambda **place: SourceConfig(name="a", category="Wiki", **place), lambda **place: ConversationConfig(name="a", **place)]


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize(("place", "told"), [({}, "neither"), ({"path": "x", "hub": "y"}, "both"), ({"hub": "y"}, "")])
def test_a_source_has_exactly_one_place(make: object, place: dict[str, str], told: str) -> None:
    found = list(one_place(make(**place), ("sources", 0)))  # type: ignore[operator]
    assert [one.message.split()[1] for one in found] == ([told] if told else [])


def test_names_that_differ_in_capitals_only_are_one_folder() -> None:
    found = list(unique_names(["a", "b", "A"], "conversations"))
    assert [(one.loc, one.message) for one in found] == [
        (("conversations", 2, "name"), "got 'A'; conversations[0] has that name already")
    ]
