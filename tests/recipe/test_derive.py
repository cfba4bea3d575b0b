"""Values that follow from others."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.errors import RecipeError
from pellucid.recipe.derive import fill_in
from pellucid.recipe.load import LoadedRecipe, load_recipe
from pellucid.recipe.tree import Node, Stamp, parse_yaml, plain

Load = Callable[..., LoadedRecipe]
Write = Callable[..., Path]


def filled(text: str, path: str = "run.yaml") -> dict[str, object]:
    tree = parse_yaml(text, Stamp("given", "run.yaml"))
    assert isinstance(tree, dict)
    assert fill_in(tree, Path(path)) == []
    result: dict[str, object] = plain(tree)
    return result


def test_a_run_is_named_after_its_file_unless_it_says_otherwise(write: Write) -> None:
    write()
    child = write("extends: small.yaml\n", "variant.yaml")
    assert load_recipe(child).recipe.name == "variant"
    assert load_recipe(child, ["name=other"]).recipe.name == "other"
    assert load_recipe(write("extends: small.yaml\nname: mine\n", "variant.yaml")).recipe.name == "mine"


def test_a_plan_is_made_for_the_devices_of_the_launch_unless_it_says_otherwise() -> None:
    assert filled("launch: {nodes: 4, devices_per_node: 8}")["plan"] == {"devices": 32}
    assert filled("launch: {nodes: 4}")["plan"] == {"devices": 4}
    assert filled("launch: {nodes: 4}\nplan: {devices: 2}")["plan"] == {"devices": 2}
    assert filled("launch: {nodes: many}")["plan"] == filled("seed: 1")["plan"] == {}


@given(st.integers(512, 300_000))
def test_the_model_has_the_tokenizers_vocabulary_padded_to_64(tokens: int) -> None:
    result = filled(f"model: {{preset: pocket}}\ntokenizer: {{vocab_tokens: {tokens}}}")
    padded = result["model"]["vocab_tokens"]  # type: ignore[index]
    assert padded % 64 == 0
    assert tokens <= padded < tokens + 64


def test_arcade100k_counts_100289_and_is_padded_to_100352(load: Load) -> None:
    recipe = load("tokenizer.kind=arcade100k").recipe
    assert (recipe.tokenizer.vocab_tokens, recipe.model.vocab_tokens) == (100_289, 100_352)


def test_a_vocabulary_that_is_given_stays(load: Load) -> None:
    loaded = load("model.vocab_tokens=9000")
    assert loaded.recipe.model.vocab_tokens == 9000
    assert loaded.origins["model.vocab_tokens"] == "override"


def test_the_evaluation_window_is_the_last_stages_sequence_in_half_steps(load: Load) -> None:
    evaluate = load().recipe.evaluate
    assert (evaluate.seq_tokens, evaluate.stride_tokens) == (512, 256)
    evaluate = load("evaluate.seq_tokens=100").recipe.evaluate
    assert (evaluate.seq_tokens, evaluate.stride_tokens) == (100, 50)


@pytest.mark.parametrize("text", ["model: 3", "model: {preset: 3}", "tokenizer: 3", "train: 3", "train: [3]", "evaluate: []", "{}"])
def test_nonsense_is_left_for_validation(text: str) -> None:
    tree: Node | None = parse_yaml(text, Stamp("given", "run.yaml"))
    assert isinstance(tree, dict)
    found = fill_in(tree, Path("run.yaml"))
    assert all(one.loc == ("model", "preset") for one in found)


def test_derived_values_tell_what_they_follow_from(load: Load) -> None:
    loaded = load()
    assert loaded.origins["model.vocab_tokens"] == "derived"
    assert loaded.places["model.vocab_tokens"].startswith("from tokenizer.vocab_tokens")


VOCABULARY = '{"model": {"vocab": {"a": 0, "b": 999}}}'


def test_an_imported_vocabulary_is_counted_and_the_model_padded_to_it(write: Write, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(VOCABULARY)
    loaded = load_recipe(write(), ["tokenizer.kind=huggingface", "tokenizer.path=tokenizer.json"])
    assert (loaded.recipe.tokenizer.vocab_tokens, loaded.recipe.model.vocab_tokens) == (1000, 1024)
    assert loaded.places["tokenizer.vocab_tokens"] == "from tokenizer.path"


@pytest.mark.parametrize(
    ("overrides", "field", "message"),
    [
        (["tokenizer.path=none.json"], "tokenizer.vocab_tokens", "missing, and none.json is not there to be counted"),
        (["tokenizer.hub=a/b"], "tokenizer.vocab_tokens", "missing, and there is no path to be counted"),
        (
            ["tokenizer.path=tokenizer.json", "tokenizer.vocab_tokens=999"],
            "tokenizer.vocab_tokens",
            "got 999; tokenizer.json has 1000",
        ),
        (["tokenizer.path=small.yaml"], "tokenizer.path", "cannot be read as huggingface"),
    ],
)
def test_an_imported_vocabulary_of_unknown_or_other_size_is_told(
    write: Write, tmp_path: Path, overrides: list[str], field: str, message: str
) -> None:
    (tmp_path / "tokenizer.json").write_text(VOCABULARY)
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(), ["tokenizer.kind=huggingface", *overrides])
    (problem,) = caught.value.problems
    assert problem.field == field and message in problem.message
