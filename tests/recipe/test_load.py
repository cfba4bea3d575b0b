"""The whole way from file to recipe; and the recipes that are shipped."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pellucid.core.errors import Problem, RecipeError
from pellucid.recipe.load import LoadedRecipe, fields_of, load_recipe

ROOT = Path(__file__).parents[2]
RECIPES = sorted(path for path in (ROOT / "recipes").glob("*.yaml") if path.stem != "self_knowledge")  # a recipe's facts
Load = Callable[..., LoadedRecipe]
Write = Callable[..., Path]
Problems = Callable[..., list[Problem]]


def test_a_recipe_loads_with_its_folder_and_digest(load: Load, tmp_path: Path) -> None:
    loaded = load()
    assert loaded.base == tmp_path
    assert loaded.recipe.train[0].length_tokens == 2_000_000
    assert loaded.digest == load().digest != load("seed=2").digest
    assert len(loaded.digest) == 64


def test_origins_tell_given_inherited_override_derived_and_default(write: Write) -> None:
    write()
    child = write("extends: small.yaml\ntrain: {pretrain: {seq_tokens: 256}}\n", "child.yaml")
    loaded = load_recipe(child, ["train.0.micro_seqs=8"])
    where = {field: (loaded.origins[field], loaded.places[field]) for field in loaded.origins}
    assert where["train.pretrain.seq_tokens"] == ("given", "child.yaml:2")
    assert where["train.pretrain.batch_tokens"] == ("inherited", "small.yaml:9")
    assert where["train.pretrain.micro_seqs"] == ("override", "--set train.0.micro_seqs")
    assert where["model.hidden"] == ("inherited", "preset pocket:5")
    assert where["name"] == ("derived", "from the file's name")
    assert where["train.pretrain.z_loss"] == ("default", "")
    assert loaded.origins.keys() == loaded.places.keys() == {field for field, _, _ in fields_of(loaded.recipe)}


def test_every_traced_field_can_be_given_back_as_an_override(load: Load) -> None:
    loaded = load()
    fields = [field for field, value, _ in fields_of(loaded.recipe) if isinstance(value, int) and not isinstance(value, bool)]
    again = load(*(f"{field}={value}" for field, value, _ in fields_of(loaded.recipe) if field in fields))
    assert again.recipe == loaded.recipe
    assert {again.origins[field] for field in fields} == {"override"}


def test_relative_source_paths_still_lead_to_their_files_from_a_child(write: Write, tmp_path: Path) -> None:
    write(name="base/small.yaml")
    (tmp_path / "base/texts").mkdir()
    (tmp_path / "base/texts/a.txt").write_text("text")
    loaded = load_recipe(write("extends: ../base/small.yaml\n", "children/child.yaml"))
    found = list(loaded.base.glob(loaded.recipe.sources[0].path or ""))
    assert [path.resolve() for path in found] == [(tmp_path / "base/texts/a.txt").resolve()]


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats()
    | st.text("ab. -\u00e9\ud800", max_size=4)
    | st.sampled_from(["pocket", "wiki"])
)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=3), inner, max_size=3), max_leaves=4
)
FIELDS = [
    *(
        "sources",
        "sources.wiki",
        "sources.wiki.weight",
        "sources.0.name",
        "sources.wiki.path",
        "train",
        "train.0",
        "train.pretrain.name",
    ),
    *(
        "train.0.weights",
        "train.0.weights.wiki",
        "train.0.schedule",
        "train.0.seq_tokens",
        "train.0.micro_seqs",
        "model",
        "model.preset",
    ),
    *(
        "model.heads",
        "model.kv_heads",
        "model.hidden",
        "model.rotary_frac",
        "tokenizer",
        "tokenizer.kind",
        "evaluate",
        "evaluate.seq_tokens",
    ),
    *("launch", "launch.nodes", "launch.kind", "launch.environment", "launch.slurm", "launch.slurm.options", "launch.setup"),
    *("documents.min_bytes", "seed", "seed.x", "name", "export.formats", "plan.device", "unknown", "a.b.c"),
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(FIELDS), trees), min_size=1, max_size=4))
def test_no_value_anywhere_causes_anything_but_a_recipe_or_its_problems(write: Write, changes: list[tuple[str, object]]) -> None:
    overrides = [
        f"{field}={yaml.safe_dump(value, default_flow_style=True).removesuffix('...' + chr(10))}" for field, value in changes
    ]
    try:
        loaded = load_recipe(write(), overrides)
    except RecipeError as error:
        assert error.problems
        assert str(error).startswith(f"{len(error.problems)} problem")
    else:
        assert loaded.origins.keys() == {field for field, _, _ in fields_of(loaded.recipe)}


def test_all_problems_are_shown_at_once_as_the_style_asks(write: Write) -> None:
    path = write(**{"batch_tokens: 8192": "batch_tokens: 100000\n    warmup_step: 3", "weight: 3": "weight: -3"})
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, ["nonsense", "train.4.x=1"])
    assert caught.value.exit_status == 2
    lines = str(caught.value).splitlines()
    assert lines[0] == f"5 problems in {path}"
    text = "\n".join(line.rstrip() for line in lines)
    assert "  sources[0].weight       got -3; must be 0 or more  (source wiki)\n" in text
    assert "must be a multiple of micro_seqs · seq_tokens = 16 · 512 = 8192\n" in text
    assert "\n                          nearest: 98304 or 106496\n" in text
    assert "unknown key; did you mean schedule.warmup_steps?" in text


def test_a_wrong_value_from_elsewhere_says_where_it_stands(write: Write, problems: Problems) -> None:
    write(**{"weight: 3": "weight: -3"})
    with pytest.raises(RecipeError) as caught:
        load_recipe(write("extends: small.yaml\n", "child.yaml"))
    assert caught.value.problems[0].fix == "inherited from small.yaml:3"
    assert problems("sources.wiki.weight=-3")[0].fix == "set by --set sources.wiki.weight"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_loads_and_is_named_after_its_file(path: Path) -> None:
    loaded = load_recipe(path)
    assert loaded.recipe.name == path.stem
    assert loaded.recipe.description
    assert path.read_text().startswith("# yaml-language-server: $schema=../src/pellucid/recipe/recipe.schema.json\n")


@pytest.mark.skipif(not list((ROOT / "corpora/pocket").glob("*.parquet")), reason="the corpus is not built here")
@pytest.mark.parametrize("name", ["pocket", "pocket-smoke"])
def test_the_pocket_recipes_read_the_files_of_the_corpus_and_none_twice(name: str) -> None:
    loaded = load_recipe(ROOT / f"recipes/{name}.yaml")
    corpus = ROOT / "corpora" / "pocket"
    read = [file.name for source in loaded.recipe.sources for file in corpus.glob(Path(source.path or "").name)]
    assert len(read) == len(set(read)) > 0
    if name == "pocket":
        assert set(read) == {file.name for file in (ROOT / "corpora/pocket").glob("*.parquet")}
        assert {file.split(".")[1] for file in read} == {"en", "de", "es", "fr", "it", "nl", "pt"}
        assert len({source.category for source in loaded.recipe.sources}) == 9


def test_the_stable_lm_recipe_has_the_figures_of_its_report() -> None:
    recipe = load_recipe(ROOT / "recipes/stable-lm-2-1.6b.yaml").recipe
    stage = recipe.train[0]
    assert len(recipe.sources) == 28
    assert all(source.epochs is not None and source.available_tokens for source in recipe.sources)
    assert stage.total_steps == 239_591
    assert (stage.schedule.kind, stage.schedule.period_steps, stage.schedule.warmup_steps) == ("hyb", 540_000, 9720)
    assert stage.batch_tokens == 512 * stage.micro_seqs * 2 * stage.seq_tokens
    assert (recipe.model.vocab_tokens, recipe.tokenizer.vocab_tokens) == (100_352, 100_289)


@pytest.mark.parametrize("name", ["pocket", "pocket-smoke"])
def test_the_pocket_recipes_make_an_assistant_in_three_steps_of_files_that_are_there(name: str) -> None:
    loaded = load_recipe(ROOT / f"recipes/{name}.yaml")
    stages = loaded.recipe.train
    assert [stage.objective for stage in stages] == ["next_token", "sft", "dpo", "self_knowledge"]
    sources = [[source.name for source in loaded.recipe.conversations_of(stage)] for stage in stages]
    assert sources == [[], ["chatterbot", "instructions"], ["preferences"], []]
    files = [list(loaded.base.glob(source.path or "")) for source in loaded.recipe.conversations]
    assert [len(found) for found in files] == ([7, 1, 1] if name == "pocket" else [1, 1, 1])


def test_the_zephyr_recipe_has_the_figures_of_the_report() -> None:
    recipe = load_recipe(ROOT / "recipes/stable-lm-2-zephyr.yaml").recipe
    sft, dpo, known = recipe.train
    counts = [source.available_examples or 0 for source in recipe.conversations_of(sft)]
    assert (len(counts), sum(counts)) == (7, 826_938)
    assert [source.available_examples for source in recipe.conversations_of(dpo)] == [63_169, 12_859]
    assert {source.max_turns for source in recipe.conversations} == {8}
    assert (sft.length_epochs, sft.batch_seqs, sft.seq_tokens, sft.packing) == (3, 512, 4096, "best_fit")
    assert (sft.schedule.kind, sft.schedule.peak_lr, sft.schedule.warmup_frac) == ("cosine", 5e-5, 0.1)
    assert (dpo.preference.beta, dpo.schedule.peak_lr) == (0.01, 4e-6)
    assert (known.length_epochs, known.batch_seqs, known.packing) == (6, 256, "none")
    assert (known.schedule.peak_lr, known.schedule.min_lr, known.schedule.warmup_steps) == (3e-6, 0, 100)
    assert known.self_knowledge is not None and known.self_knowledge.first_messages == 10_000


def test_the_tuning_recipe_takes_a_model_and_data_from_files_by_set(tmp_path: Path) -> None:
    overrides = ["conversations.dolly.path=dolly.jsonl", "conversations.dolly.hub=null", f"train.tune.init_from={tmp_path}/m.gguf"]
    recipe = load_recipe(ROOT / "recipes/smollm2-tune.yaml", overrides).recipe
    assert (recipe.conversations[0].path, recipe.conversations[0].hub) == ("dolly.jsonl", None)
    stage = recipe.train[0]
    assert (stage.init_from, stage.adapter is not None, recipe.chat.template) == (f"{tmp_path}/m.gguf", True, "tokenizer")
    assert (recipe.model.vocab_tokens, recipe.tokenizer.vocab_tokens) == (49_152, 49_152)


def test_the_tinyllama_recipe_has_the_figures_of_its_paper() -> None:
    recipe = load_recipe(ROOT / "recipes/tinyllama-1.1b.yaml").recipe
    stage = recipe.train[0]
    weights = recipe.weights_of(stage)
    assert weights["SlimPajama"] / sum(weights.values()) == pytest.approx(0.7)
    assert stage.batch_tokens == 1024 * 2048
    assert (stage.schedule.peak_lr, stage.schedule.min_lr, stage.schedule.warmup_steps) == (4e-4, 4e-5, 2000)
    assert recipe.model.kv_heads == 4
