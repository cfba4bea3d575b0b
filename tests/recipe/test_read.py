"""Files along `extends`, and presets."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.core.errors import RecipeError
from pellucid.recipe.load import load_recipe
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.read import preset_names, read_chain, read_preset
from pellucid.recipe.tree import plain

Write = Callable[..., Path]


def problem(path: Path) -> str:
    with pytest.raises(RecipeError) as caught:
        read_chain(path)
    return str(caught.value)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_fills_the_whole_model(name: str) -> None:
    model = ModelConfig.model_validate(plain(read_preset(name)))
    assert model.vocab_tokens % 64 == 0


def test_a_chain_is_read_from_the_furthest_ancestor(write: Write) -> None:
    write("seed: 1\n", "a.yaml")
    write("extends: ../a.yaml\nseed: 2\n", "sub/b.yaml")
    path = write("extends: sub/b.yaml\nseed: 3\n", "c.yaml")
    assert [plain(tree) for tree in read_chain(path)] == [{"seed": 1}, {"seed": 2}, {"seed": 3}]
    assert [tree["seed"].place for tree in read_chain(path)] == ["a.yaml:1", "sub/b.yaml:2", "c.yaml:2"]  # type: ignore[union-attr]


def test_source_paths_start_from_the_file_that_names_them(write: Write, tmp_path: Path) -> None:
    write("sources:\n  - {name: a, path: data/*.txt}\n  - {name: b, path: /absolute/x}\n  - {name: c, hub: x/y}\n", "base/r.yaml")
    path = write("extends: ../base/r.yaml\nsources: {d: {path: own.txt}}\n", "child/r.yaml")
    first, second = (plain(tree)["sources"] for tree in read_chain(path))
    assert first[0]["path"] == "../base/data/*.txt"
    assert "path" not in first[2]
    assert (path.parent / first[1]["path"]).resolve() == Path("/absolute/x")
    assert second["d"]["path"] == "own.txt"


def test_folders_and_templates_start_from_the_file_that_names_them_and_urls_stay(write: Write) -> None:
    sources = [
        "{name: a, hub: ./copy, template: t.yaml}",
        "{name: b, hub: ../copy:en, template: sentiment}",
        "{name: c, hub: owner/name}",
        "{name: d, path: 's3://bucket/*.parquet', template: '{a} t.yaml'}",
    ]
    write("sources:\n" + "".join(f"  - {source}\n" for source in sources), "base/r.yaml")
    a, b, c, d = plain(read_chain(write("extends: base/r.yaml\n", "child.yaml"))[0])["sources"]
    assert (a["hub"], a["template"]) == ("./base/copy", "base/t.yaml")
    assert (b["hub"], b["template"]) == ("./copy:en", "sentiment")
    assert c["hub"] == "owner/name"
    assert (d["path"], d["template"]) == ("s3://bucket/*.parquet", "{a} t.yaml")


def test_first_weights_start_from_the_file_that_names_them(write: Write) -> None:
    write("train:\n  - {name: a, init_from: weights/hf}\n  - {name: b, init_from: null}\n", "base/r.yaml")
    path = write("extends: ../base/r.yaml\ntrain: {b: {init_from: own.gguf}}\n", "child/r.yaml")
    first, second = (plain(tree)["train"] for tree in read_chain(path))
    assert [stage["init_from"] for stage in first] == ["../base/weights/hf", None]
    assert second["b"]["init_from"] == "own.gguf"


def test_a_circle_is_named(write: Write) -> None:
    write("extends: b.yaml\n", "a.yaml")
    assert "goes in a circle: a.yaml → b.yaml → a.yaml" in problem(write("extends: a.yaml\n", "b.yaml").parent / "a.yaml")


def test_a_missing_file_names_its_neighbours(write: Write, tmp_path: Path) -> None:
    write(name="pocket.yaml")
    assert "did you mean" in problem(tmp_path / "poket.yaml")
    assert "pocket.yaml" in problem(tmp_path / "zzzzzzzz.yaml")
    assert "does not exist" in problem(tmp_path / "no" / "where.yaml")


def test_a_missing_ancestor_is_told_where_it_was_named(write: Write) -> None:
    text = problem(write("seed: 1\nextends: gone.yaml\n"))
    assert "extends (small.yaml:2)" in text
    assert "gone.yaml" in text
    assert "does not exist" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"# only a comment\n", "is empty"),
        (b"- a\n", "must be a mapping"),
        (b"just text", "must be a mapping"),
        (b"name: caf\xe9\n", "line 1"),
        (b"a: 1\nb: \xff\n", "is not UTF-8: byte 8 is 0xff"),
        (b"a: [1\n", "not YAML"),
        (b"extends: [a, b]\n", "must be the name of one recipe file"),
        (b"extends:\n", "must be the name of one recipe file"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_in_words(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(content)
    assert message in problem(path)


def test_a_folder_is_refused_with_what_is_in_it(write: Write, tmp_path: Path) -> None:
    write()
    assert "is a folder, not a recipe" in problem(tmp_path)
    assert "small.yaml" in problem(tmp_path)


def test_a_byte_order_mark_is_not_part_of_the_first_key(write: Write) -> None:
    path = write()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_recipe(path).recipe.name == "small"


def test_a_vocabulary_starts_from_the_file_that_names_it(write: Write, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    write("tokenizer: {kind: huggingface, path: vocabularies/tokenizer.json}\n", "small.yaml")
    (tmp_path / "deep" / "child.yaml").write_text("extends: ../small.yaml\n")
    tree = read_chain(tmp_path / "deep" / "child.yaml")[0]["tokenizer"]
    assert isinstance(tree, dict) and plain(tree)["path"] == "../vocabularies/tokenizer.json"
