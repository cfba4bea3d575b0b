"""Sections of the text side."""

import pytest
from pydantic import ValidationError

from pellucid.recipe.data import ARCADE100K_TOKENS, CATEGORIES, SourceConfig, TokenizerConfig


def test_arcade100k_is_cl100ks_ranks_an_unused_id_and_32_specials() -> None:
    assert ARCADE100K_TOKENS == 100_256 + 1 + 32


def test_the_categories_are_the_nine_of_table_1() -> None:
    assert len(CATEGORIES) == len(set(CATEGORIES)) == 9


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a b", "..", "-x"])
def test_a_source_name_is_a_safe_folder(name: str) -> None:
    with pytest.raises(ValidationError):
        SourceConfig(name=name, path="x", weight=1, category="Web")


def test_a_vocabulary_has_room_for_bytes_and_specials() -> None:
    with pytest.raises(ValidationError):
        TokenizerConfig(vocab_tokens=256)
