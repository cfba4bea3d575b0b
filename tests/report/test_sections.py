import re
from pathlib import Path

from pellucid.recipe.documents import NearDedupConfig
from pellucid.report import sections
from pellucid.report.blocks import Section
from pellucid.report.facts import Facts
from pellucid.report.html import Html
from pellucid.stages.run_folder import open_recipe


def shown(section: Section | None) -> str:
    assert section is not None
    return Html().block(section)


def test_the_data_table_has_a_row_for_each_source(finished_run: Path) -> None:
    recipe = open_recipe(finished_run)
    html = shown(sections.data(Facts(finished_run), recipe))
    assert all(f"<td>{source.name}</td>" in html for source in recipe.sources)
    assert "Tokens of pretrain by category" in html and '<th scope="col" class="number">Mean loss</th>' in html


def test_languages_come_by_their_text_over_all_sources_and_codes_of_no_one_language_not_at_all() -> None:
    counted = [{"de": 5, "en": 4, "zxx": 90}, {"en": 3, "": 80, "mul": 70, "und": 60, "fr": 5}]
    told = [{"languages": {code: {"kept_bytes": size} for code, size in one.items()}} for one in counted]
    assert sections.languages_of({"sources": {"a": told[0], "b": told[1]}}) == ["en", "de", "fr"]
    assert sections.languages_of({"sources": {}}) == []


def test_held_out_scores_stand_beside_their_baselines(finished_run: Path) -> None:
    html = shown(sections.heldout(Facts(finished_run), open_recipe(finished_run)))
    for text in ("English", "xz -9", "5-gram", "Perplexity"):
        assert text in html


def test_held_out_scores_name_the_checkpoint_and_the_stages_that_were_not_scored(finished_run: Path) -> None:
    facts, recipe = Facts(finished_run), open_recipe(finished_run)
    html = shown(sections.heldout(facts, recipe))
    assert "Scored was the checkpoint of <" in html and "<i>/checkpoint/step</i>" in html
    assert "What sft, dpo, self_knowledge made of it was not scored on this text." in html
    base = recipe.model_copy(update={"train": recipe.train[:1]})
    assert ", the one that is exported." in shown(sections.heldout(facts, base))
    old = {name: value for name, value in facts.document(sections.SCORES).items() if name != "checkpoint"}
    assert "Scored was" not in shown(sections.heldout(Facts(finished_run, {sections.SCORES: old}), recipe))


def test_times_and_sizes_of_the_machine_are_told_for_people(finished_run: Path) -> None:
    html = shown(sections.machine(Facts(finished_run), open_recipe(finished_run)))
    assert "<td>memory</td>" in html and "memory bytes" not in html
    assert re.search(r">\d{4}-\d\d-\d\d \d\d:\d\d:\d\d</a>", html)


def test_what_is_left_out_follows_the_recipe(finished_run: Path) -> None:
    facts, recipe = Facts(finished_run), open_recipe(finished_run)
    assert "Exact duplicates were dropped" in shown(sections.omissions(facts, recipe))
    keeping = recipe.model_copy(update={"documents": recipe.documents.model_copy(update={"exact_dedup": False})})
    assert "Exact duplicates were kept" in shown(sections.omissions(facts, keeping))
    assert "near-duplicates between held-out and training text were not looked for" in shown(sections.omissions(facts, recipe))
    looking = recipe.model_copy(update={"documents": recipe.documents.model_copy(update={"near_dedup": NearDedupConfig()})})
    told = shown(sections.omissions(facts, looking))
    assert "not looked for in this run" not in told and "near-duplicates were looked for" in told
