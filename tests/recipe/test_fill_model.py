"""A model from a preset, or like a published one."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.core.errors import Problem, RecipeError
from pellucid.recipe.explain import explain
from pellucid.recipe.load import LoadedRecipe, load_recipe

Load = Callable[..., LoadedRecipe]
Write = Callable[..., Path]
Problems = Callable[..., list[Problem]]


def test_a_preset_is_filled_in_under_what_is_given(load: Load) -> None:
    model = load("model.layers=2").recipe.model
    assert (model.layers, model.hidden) == (2, 128)


def test_an_overriding_preset_leaves_behind_what_the_file_said_of_the_model(write: Write) -> None:
    path = write(**{"{preset: pocket}": "{preset: pocket, layers: 6}"})
    model = load_recipe(path, ["model.layers=3", "model.preset=tinyllama-1.1b"]).recipe.model
    assert (model.layers, model.hidden, model.kv_heads) == (3, 2048, 4)
    assert load_recipe(path, ["model.preset=tinyllama-1.1b"]).recipe.model.layers == 22


def test_an_unknown_preset_is_one_problem_that_names_the_nearest(write: Write) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(), ["model.preset=poket"])
    assert [(one.field, one.fix.split(";")[0]) for one in caught.value.problems] == [("model.preset", "did you mean pocket?")]


@pytest.mark.parametrize("kind", ["hf_folder", "gguf_file"])
def test_a_model_has_the_shape_of_the_one_it_is_to_be_like(request: pytest.FixtureRequest, write: Write, kind: str) -> None:
    place = request.getfixturevalue(kind)
    loaded = load_recipe(
        write(**{"{preset: pocket}": f"{{like: {place.name}, context_tokens: 640}}\ntokenizer: {{vocab_tokens: 900}}"})
    )
    model = loaded.recipe.model
    assert (model.layers, model.hidden, model.heads, model.kv_heads, model.mlp_hidden) == (3, 48, 3, 1, 96)
    assert (model.norm, model.rotary_base, model.norm_eps, model.tied_head) == ("rmsnorm", 100_000.0, 1e-5, True)
    assert model.context_tokens == 640
    rows = {row.field: (row.origin, row.place) for row in explain(loaded)}
    assert rows["model.layers"] == ("derived", f"from {place.name}")
    assert rows["model.context_tokens"][0] == "given"


def test_rows_of_the_embedding_are_those_of_the_weights_whatever_the_tokenizer_would_need(hf_folder: Path, write: Write) -> None:
    path = write(**{"{preset: pocket}": "{like: theirs}\ntokenizer: {vocab_tokens: 900}"})
    assert load_recipe(path).recipe.model.vocab_tokens == 1000


def test_set_begins_anew_from_a_preset_or_a_likeness_whatever_the_file_says(hf_folder: Path, write: Write) -> None:
    path = write(**{"{preset: pocket}": "{preset: pocket, layers: 6}"})
    model = load_recipe(path, ["model.like=theirs", "model.mlp_hidden=64", "tokenizer.vocab_tokens=900"]).recipe.model
    assert (model.layers, model.hidden, model.mlp_hidden) == (3, 48, 64)
    path = write(**{"{preset: pocket}": "{like: theirs, layers: 6}"})
    assert load_recipe(path, ["model.preset=tinyllama-1.1b"]).recipe.model.layers == 22


def test_a_recipe_that_extends_another_may_be_like_something_else_and_paths_start_from_the_file_that_names_them(
    hf_folder: Path, write: Write, tmp_path: Path
) -> None:
    write(name="base.yaml", **{"{preset: pocket}": "{like: theirs}\ntokenizer: {vocab_tokens: 900}"})
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "recipe.yaml").write_text("extends: ../base.yaml")
    assert load_recipe(tmp_path / "below" / "recipe.yaml").recipe.model.hidden == 48
    (tmp_path / "other.yaml").write_text("extends: base.yaml\nmodel: {preset: pocket}")
    assert load_recipe(tmp_path / "other.yaml").recipe.model.hidden == 128


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.like=nowhere"], "got 'nowhere'; {here}/nowhere does not exist; weights can come from a Hugging Face folder"),
        (["model.like=small.yaml"], "small.yaml is no GGUF file"),
        (["model.like=3"], "got 3; must name a Hugging Face folder or a GGUF file"),
        (["model.like=theirs", "model.preset=pocket"], "the model has a preset as well"),
    ],
)
def test_what_is_no_likeness_is_one_problem(
    hf_folder: Path, problems: Problems, tmp_path: Path, overrides: list[str], message: str
) -> None:
    (found,) = problems(*overrides)
    assert found.field == "model.like"
    assert message.format(here=tmp_path) in found.message


def test_a_model_that_the_decoder_cannot_be_like_is_refused_by_field(hf_folder: Path, problems: Problems) -> None:
    values = json.loads((hf_folder / "config.json").read_text())
    (hf_folder / "config.json").write_text(json.dumps(values | {"hidden_act": "gelu"}))
    (found,) = problems("model.like=theirs")
    assert "cannot be imported; hidden_act: got 'gelu'; the decoder has only 'silu' or 'swish'" in found.message


def test_a_config_that_leaves_norm_bias_open_says_so_where_values_are_explained(hf_folder: Path, write: Write) -> None:
    values = json.loads((hf_folder / "config.json").read_text())
    del values["rms_norm_eps"]
    (hf_folder / "config.json").write_text(
        json.dumps(values | {"architectures": ["StableLmForCausalLM"], "partial_rotary_factor": 0.5})
    )
    loaded = load_recipe(write(**{"{preset: pocket}": "{like: theirs}\ntokenizer: {vocab_tokens: 900}"}))
    assert loaded.recipe.model.norm_bias is False
    assert loaded.places["model.norm_bias"] == "from theirs, whose config.json leaves it open"


def test_a_likeness_is_read_without_torch_and_without_the_package_gguf(gguf_file: Path, write: Write) -> None:
    path = write(**{"{preset: pocket}": "{like: theirs.gguf}\ntokenizer: {kind: gguf, path: theirs.gguf}"})
    code = (
        "import sys; from pathlib import Path; from pellucid.recipe.load import load_recipe\n"
        f"recipe = load_recipe(Path({str(path)!r})).recipe\n"
        "print(recipe.tokenizer.vocab_tokens, recipe.model.vocab_tokens, {'torch', 'gguf'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "990 1000 set()\n"
