import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.files import read_json
from pellucid.core.spending import ACCOUNT
from pellucid.release.account import Account
from pellucid.release.data_cards import card_of
from pellucid.release.machines import trained_on
from pellucid.release.markdown import cell, plain
from pellucid.release.model_card import model_card
from pellucid.release.openness import openness
from pellucid.release.packages import Closure
from pellucid.release.spent import spent_on


def written(account: Account, closure: Closure, **told: Any) -> str:
    options: dict[str, Any] = {"faults": [], "code": True, "code_remark": ""} | told
    return model_card(account, openness(account, closure, code=options["code"]), spent_on(account), **options)


@pytest.fixture(scope="module")
def card(account: Account, closure: Closure) -> str:
    return written(account, closure)


def test_the_hub_s_own_reader_takes_card_and_results(card: str, account: Account) -> None:
    hub = pytest.importorskip("huggingface_hub")
    read = hub.ModelCard(card)
    assert read.data.license == "apache-2.0" and read.data.language == ["en", "fr", "de"]
    assert read.data.model_name == account.recipe.name
    results = read.data.eval_results
    assert all(isinstance(one, hub.EvalResult) for one in results)
    assert results[0].metric_value == account.heldout["bits_per_byte"]["total"]["model"]
    metrics = sum(len(task["metrics"]) for result in account.results.values() for task in result["tasks"].values())
    assert len(results) == 1 + metrics


def test_numbers_of_the_tables_are_those_of_the_artifacts(card: str, account: Account) -> None:
    for code, one in account.heldout["bits_per_byte"]["by_language"].items():
        row = next(line for line in card.splitlines() if line.startswith(f"| {code} |"))
        assert f"{one['model']:.3f}" in row and f"{one['xz']:.3f}" in row
    shown = 0
    for (kind, name), taken in account.consumed.items():
        (row,) = (line for line in card.splitlines() if line.startswith(f"| {cell(name)} | {kind} |"))
        assert f"| {taken.tokens:,} |".replace(",", " ") in row
        shown += int(row.split(" | ")[4].replace(" ", ""))
    assert shown == sum(taken.tokens for taken in account.consumed.values())
    assert f"Together {sum(taken.tokens for taken in account.consumed.values()):,} tokens".replace(",", " ") in card


def test_what_it_took_is_told_to_the_digit_as_the_report_tells_it(card: str, account: Account) -> None:
    listed = read_json(account.run / "report" / "numbers.json")["numbers"]
    shown = {one["pointer"]: one["text"] for one in listed if one["file"] == ACCOUNT}
    told = card.partition("## Time, energy, carbon and cost\n")[2].partition("\n## ")[0]
    for name in ("attempts", "hours", "device_hours", "usd", "kwh_with_pue", "kg_co2e"):
        assert shown[f"/total/{name}"] in told
    for name in ("usd_per_device_hour", "pue", "grid_kg_co2e_per_kwh"):
        assert shown[f"/rates/{name}"] in told
    for stage in account.recipe.train:
        row = next(line for line in card.splitlines() if line.startswith(f"| {stage.name} | {stage.objective} |"))
        assert row.endswith(f"| {shown[f'/by_stage/{stage.name}/hours']} |")


def test_without_an_account_the_card_says_so_and_how_to_get_one(run_copy: Path, account: Account, closure: Closure) -> None:
    shutil.rmtree(run_copy / "account")
    card = written(Account(run_copy, account.recipe, account.sources, account.selection), closure)
    assert "This run has no account of its attempts yet; pellucid report RECIPE makes one" in card
    assert "CO2e" not in card and "US$" not in card
    row = next(line for line in card.splitlines() if line.startswith("| pretrain | "))
    assert row.endswith("| – |")


def test_every_link_leads_to_a_file_that_a_release_has(card: str, account: Account) -> None:
    links = set(re.findall(r"\]\((?!https://)([^)]+)\)", card))
    assert links == {one.card for one in account.sources}


def test_openness_left_out_files_and_missing_words_are_told(
    account_of: Callable[..., Account], closure: Closure, finished_run: Path
) -> None:
    card = written(account_of(finished_run, without=("documents",)), closure)
    assert "**No licence is stated**" in card and "**Unclassified**" in card and "release.licence" in card
    assert "| asked: --without documents |" in card
    assert "No intended use was stated" in card and "| Made by | – |" in card


def test_a_run_that_does_not_verify_is_said_to_be_one(account: Account, closure: Closure) -> None:
    card = written(account, closure, faults=["plan/plan.json was altered"])
    assert "does not verify** (1 faults" in card and "- `plan/plan.json was altered`" in card


def test_what_the_publisher_says_stands_in_it(account_of: Callable[..., Account], closure: Closure, finished_run: Path) -> None:
    release = {
        "licence": "MIT",
        "author": "Ada <b>Lovelace</b>",
        "intended_use": "To be looked at.",
        "limits": ("It cannot count.",),
    }
    card = written(account_of(finished_run, **release), closure)
    assert "To be looked at." in card and "- It cannot count." in card
    assert "Ada &lt;b&gt;Lovelace&lt;/b&gt;" in card


def test_scores_and_exports_name_their_checkpoints(card: str, account: Account) -> None:
    step = account.heldout["checkpoint"]["step"]
    assert account.scored == f"pretrain/step-{step}" and (account.shipped or "").startswith("self_knowledge/step-")
    assert f"Bits per byte of the checkpoint {account.scored} (" in card
    assert f"the exports are of {account.shipped}, which was trained further and not scored so" in card
    assert f"All of them hold the checkpoint {account.shipped}." in card


def test_code_is_only_spoken_of_where_it_is_and_a_remark_takes_nothing_away(account: Account, closure: Closure) -> None:
    remark = "The code in code/ is b; artifacts of the run were made by a_b."
    assert "PYTHONPATH=code" not in written(account, closure, code=False)
    told = written(account, closure, code_remark=remark)
    assert "Without Pellucid installed: `PYTHONPATH=code python -B -m pellucid verify .`" in told and remark in told


def test_components_that_no_class_requires_are_said_to_be_such(card: str) -> None:
    row = next(line for line in card.splitlines() if line.startswith("| Supporting libraries"))
    assert "not required" in row
    assert "not required" not in next(line for line in card.splitlines() if line.startswith("| Datasets"))


def test_words_of_the_recipe_steer_nothing(account: Account, closure: Closure) -> None:
    words = "<script>x</script> \u202e ![](http://evil.example/t.png) \x1b[31m"
    release = account.recipe.release.model_copy(update={"intended_use": words, "limits": (words,), "author": words})
    recipe = account.recipe.model_copy(update={"description": words, "release": release})
    source = account.sources[0]
    sources = [replace(source, licences={words: 3}), *account.sources[1:]]
    odd = Account(account.run, recipe, sources, account.selection)
    for told in (written(odd, closure, faults=[words], code_remark=words), card_of(odd, sources[0])):
        assert not {"\x1b", "\u202e"} & set(told)
        prose = re.sub(r"`[^`\n]*`", "", told)
        assert "<script" not in prose and "![](" not in prose


def test_the_machine_is_that_of_training(card: str, account: Account) -> None:
    (machine,) = trained_on(account)
    assert f"Trained on: {plain(machine)}." in card
