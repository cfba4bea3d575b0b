import shutil
from pathlib import Path

import pytest

from pellucid.core.artifacts import read_manifest
from pellucid.core.errors import UsageError
from pellucid.recipe.recipe import Recipe
from pellucid.release.selection import PARTS, Selection, matches, select
from pellucid.release.sources import ReleasedSource, sources_of
from pellucid.stages.run_folder import open_recipe


@pytest.fixture(scope="module")
def recipe(finished_run: Path) -> Recipe:
    return open_recipe(finished_run)


@pytest.fixture(scope="module")
def sources(finished_run: Path, recipe: Recipe) -> list[ReleasedSource]:
    return sources_of(finished_run, recipe)


def left(chosen: Selection) -> set[str]:
    return {one.path for one in chosen.left_out}


def test_every_file_of_a_manifest_is_released_or_left_out_with_its_digest(
    finished_run: Path, recipe: Recipe, sources: list[ReleasedSource]
) -> None:
    chosen = select(finished_run, recipe, sources)
    named = {}
    for manifest in finished_run.glob("*/manifest.json"):
        folder = manifest.parent
        named |= {f"{folder.name}/{name}": output for name, output in read_manifest(folder).outputs.items()}
    assert left(chosen) | {name for name, known in chosen.files.items() if known} == named.keys()
    assert not left(chosen) & chosen.files.keys()
    for one in chosen.left_out:
        assert (one.bytes, one.sha256) == (named[one.path]["bytes"], named[one.path]["sha256"]) and one.why
    assert {"recipe.resolved.yaml", "ledger.jsonl", "shards/manifest.json"} <= chosen.files.keys()


def test_by_default_each_stage_s_last_weights_go_along_and_nothing_that_only_training_needs(
    finished_run: Path, recipe: Recipe, sources: list[ReleasedSource]
) -> None:
    held = select(finished_run, recipe, sources).files
    assert "pretrain/checkpoints/step-00000030/model.safetensors" in held
    assert "pretrain/checkpoints/step-00000020/model.safetensors" not in held
    assert not [name for name in held if name.endswith(("optimizer.safetensors", "random.safetensors"))]
    assert "pretrain/checkpoints/step-00000020/manifest.json" in held, "the account of what is left out stays"
    everything = select(finished_run, recipe, sources, checkpoints="all")
    assert everything.left_out == []
    none = select(finished_run, recipe, sources, checkpoints="none")
    assert not [name for name in none.files if "/checkpoints/" in name and name.endswith(".safetensors")]


@pytest.mark.parametrize("part", [part for part in PARTS if part != "code"])
def test_a_part_that_is_not_wanted_is_left_out_and_said_to_be(
    finished_run: Path, recipe: Recipe, sources: list[ReleasedSource], part: str
) -> None:
    chosen = select(finished_run, recipe, sources, without=[part], checkpoints="all")
    assert chosen.left_out and {one.why for one in chosen.left_out} == {f"asked: --without {part}"}
    assert all(any(matches(path, pattern) for pattern in PARTS[part]) for path in left(chosen))


def test_texts_that_may_not_be_passed_on_stay_behind_with_all_that_holds_them(finished_run: Path, recipe: Recipe) -> None:
    closed = ReleasedSource("three-js.en", ("documents/three-js.en", "shards/three-js.en"), {"LicenseRef-secret": 134}, ())
    chosen = select(finished_run, recipe, [closed], checkpoints="all")
    why = {one.path: one.why for one in chosen.left_out}
    assert "LicenseRef-secret (134 records)" in why["documents/three-js.en/train/00000.parquet"]
    assert "shards/three-js.en/train/00000.bin" in why
    assert why["report/data.html"].startswith("it quotes documents") and "pretrain/curves.items.json" in why
    assert not [name for name in why if name.startswith(("documents/chatterbot", "conversations/"))]
    assert "documents/funnel.json" in chosen.files


def test_what_is_hidden_set_aside_unfinished_or_an_index_is_never_released(
    run_copy: Path, recipe: Recipe, sources: list[ReleasedSource]
) -> None:
    for name in (".lock", ".shards.part/x", "throughput/tmp/x", "report/.hidden"):
        (run_copy / name).parent.mkdir(parents=True, exist_ok=True)
        (run_copy / name).write_text("x")
    for name in ("shards.superseded-1", "ngrams", ".export.old"):
        shutil.copytree(run_copy / "plan", run_copy / name)
    assert select(run_copy, recipe, sources).files.keys() == select(run_copy, recipe, sources).files.keys()
    names = select(run_copy, recipe, sources).files
    assert not [name for name in names if "superseded" in name or name.startswith((".", "ngrams", "throughput")) or "/." in name]


def test_parts_and_kinds_that_do_not_exist_are_refused(finished_run: Path, recipe: Recipe) -> None:
    with pytest.raises(UsageError, match=r"--without: got 'weights'; must be one of documents, shards"):
        select(finished_run, recipe, [], without=["weights"])
    with pytest.raises(UsageError, match="--checkpoints: got 'some'"):
        select(finished_run, recipe, [], checkpoints="some")


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("documents/a/train/0.parquet", "documents/*/*", True),
        ("documents/funnel.json", "documents/*/*", False),
        ("evals/a/b/c/items.jsonl", "evals/**/items.jsonl", True),
        ("evals/items.jsonl", "evals/**/items.jsonl", True),
        ("report/data.html", "report/data.html", True),
        ("report/data.htmlx", "report/data.html", False),
        ("a/report/data.html", "report/data.html", False),
    ],
)
def test_patterns(path: str, pattern: str, expected: bool) -> None:
    assert matches(path, pattern) is expected
