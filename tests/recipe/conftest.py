"""A small valid recipe to start from, and a way to load a changed one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.core.errors import Problem, RecipeError
from pellucid.recipe.load import LoadedRecipe, load_recipe

SMALL = """\
name: small
sources:
  - {name: wiki, path: texts/*.txt, category: Wiki, weight: 3}
  - {name: code-python, hub: owner/code, category: Code, weight: 1, available_tokens: 1_000_000}
model: {preset: pocket}
train:
  - name: pretrain
    length_tokens: 2e6
    batch_tokens: 8192
    seq_tokens: 512
    micro_seqs: 16
    schedule: {peak_lr: 1e-3, warmup_steps: 10}
"""

Write = Callable[..., Path]
Load = Callable[..., LoadedRecipe]
Problems = Callable[..., list[Problem]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a recipe file: SMALL unless other text is given, with replacements."""

    def make(text: str = SMALL, name: str = "small.yaml", **replace: str) -> Path:
        for old, new in replace.items():
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return make


@pytest.fixture
def load(write: Write) -> Load:
    """Return a function that loads SMALL with `--set` overrides."""
    return lambda *overrides: load_recipe(write(), overrides)


@pytest.fixture
def problems(write: Write) -> Problems:
    """Return a function that loads SMALL with overrides and returns the problems that it must have."""

    def find(*overrides: str, text: str = SMALL) -> list[Problem]:
        with pytest.raises(RecipeError) as caught:
            load_recipe(write(text), overrides)
        return list(caught.value.problems)

    return find
